"""Whether a call of `layer_norm` is in order, and its result right, decided apart from it."""

import numpy as np

REAL = ("float32", "float64", "bfloat16", "float16", "int32", "int64", "bool", "uint8")


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def is_real(value):
    """Whether `value` is a tensor or an array of real numbers; of rank 0, NumPy has no array."""
    import keras
    import tensorflow as tf

    kinds = (np.ndarray, tf.Tensor, keras.KerasTensor)
    if not isinstance(value, kinds):
        return False
    return keras.backend.standardize_dtype(value.dtype) in REAL


def axes_of(value, rank):
    """What an axis argument names, counted from 0 and in order; None if it is out of order."""
    axes = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in axes):
        return None
    axes = sorted(int(a) + rank * (a < 0) for a in axes)
    right = axes and len(set(axes)) == len(axes) and -1 < axes[0] <= axes[-1] < rank
    return axes if right else None


def is_epsilon(value):
    number = isinstance(value, (int, float, np.integer, np.floating))
    return value is None or (number and not isinstance(value, bool) and 0 <= value < np.inf)


def in_order(x, arguments):
    """Whether `layer_norm(x, **arguments)` is what the documentation allows."""
    if not is_real(x) or len(x.shape) == 0 or not is_epsilon(arguments.get("epsilon", 0)):
        return False
    param_axis = arguments.get("param_axis")
    axes = axes_of(arguments.get("axis", -1), len(x.shape))
    param_axes = axes if param_axis is None else axes_of(param_axis, len(x.shape))
    if axes is None or param_axes is None:
        return False
    due = [x.shape[a] for a in param_axes]
    for weight in (arguments.get("gamma"), arguments.get("beta")):
        if weight is not None:
            if not is_real(weight) or len(weight.shape) != len(due):
                return False
            if any(None not in (d, n) and d != n for d, n in zip(due, weight.shape, strict=True)):
                return False
    return True


def check_values(y, x, gamma=None, beta=None, **arguments):
    """Against the reference, where that and all that goes into it is finite."""
    import reference
    import tensorflow as tf
    import ulps

    x, gamma, beta = (None if v is None else np.asarray(v) for v in (x, gamma, beta))
    if arguments.get("epsilon", 0) is None:
        arguments["epsilon"] = 1e-14
    if x.dtype.name not in ulps.ULP:
        x = x.astype("float32")
    dtype = x.dtype.name
    # Rounded as the engine has them.
    weight = "float64" if dtype == "float64" else "float32"
    gamma, beta = (None if v is None else v.astype(weight) for v in (gamma, beta))
    with np.errstate(all="ignore"):
        wanted = reference.layer_norm(x, gamma, beta, **arguments)
        size = reference.sizes(x, x, gamma, beta, **arguments)[0]
        off = np.abs(np.asarray(y).astype(wanted.dtype) - wanted)
        held = np.isfinite(wanted) & (size < tf.as_dtype(dtype).max)
        # TensorFlow's ops take subnormal numbers for zero, and gamma multiplies what that loses.
        factor = 1 if gamma is None else np.abs(gamma[np.isfinite(gamma)]).max(initial=1)
        lost = np.maximum(ulps.SUBNORMAL[dtype], np.finfo(weight).tiny) * factor
        limit = ulps.LIMIT[dtype] * np.maximum(size * ulps.ULP[dtype], lost)
    expect((off <= limit)[held].all(), f"wrong values: {dtype} {x.shape} {arguments}")
