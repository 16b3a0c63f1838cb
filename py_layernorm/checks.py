"""Every refusal of an argument. An error names the argument, what was expected and what came."""

import contextlib
import functools
import math
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from py_layernorm import keras_internals
from py_layernorm.axes import Axes, Axis, listed, resolve

# Complex, string and 8-bit float inputs are not supported.
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
INPUT_DTYPES = (
    *FLOAT_DTYPES,
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def received(name: str, value: object) -> str:
    """`Received: axis=1.5 (float)`, the end of every message; long values are cut."""
    return f"Received: {name}={cut(value)} ({type(value).__name__})"


def cut(value: object) -> str:
    """The text of a value, at most 200 characters of it."""
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits, which Python does not print, or a broken class
        text = "a value that cannot be printed"
    return text if len(text) <= 200 else text[:200] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


# Below, the usual case comes first: an eager call on a small tensor spends its time in Python.


def axis(value: Any, name: str = "axis") -> Axis:
    """`value` with plain ints: an int, or a list or tuple of at least one int, none twice.

    Raises:
        TypeError: for anything but an int or a list or tuple of ints (a bool is not an int here).
        ValueError: for an empty list, or one that holds the same number twice.
    """
    if type(value) is int or _is_int(value):
        return int(value)
    if not isinstance(value, (list, tuple)) or not all(_is_int(v) for v in value):
        raise TypeError(f"{name} must be an int or a list/tuple of ints. {received(name, value)}")
    if not value:
        raise ValueError(f"{name} must name at least one axis. {received(name, value)}")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} must not name the same axis twice. {received(name, value)}")
    ints = [int(v) for v in value]
    return tuple(ints) if isinstance(value, tuple) else ints


_fitting: dict[tuple[Any, Any, int], Axes] = {}  # what was found to fit a rank


def axes(axis: Axis, param_axis: Axis | None, shape: Sequence[int | None]) -> Axes:
    """The `Axes` that the two arguments name in an input of `shape`.

    Raises:
        ValueError: for an axis out of range, or two numbers for the same axis (`[-1, 2]`).
    """
    rank = len(shape)
    key = (
        axis if isinstance(axis, int) else tuple(axis),
        param_axis if param_axis is None or isinstance(param_axis, int) else tuple(param_axis),
        rank,
    )
    if key in _fitting:
        return _fitting[key]
    named = {"axis": axis} if param_axis is None else {"axis": axis, "param_axis": param_axis}
    for name, value in named.items():
        numbers, came = listed(value), f"Received: {name}={cut(value)}"
        if rank == 0:
            raise ValueError(f"an input of rank 0 has no axis. {came}")
        if not all(-rank <= a < rank for a in numbers):
            raise ValueError(
                f"{name} must lie between {-rank} and {rank - 1} for an input of rank {rank}. "
                f"{came} with an input of shape {tuple(shape)}"
            )
        if len({a % rank for a in numbers}) < len(numbers):
            raise ValueError(
                f"{name} must not name the same axis twice. "
                f"{came} with an input of shape {tuple(shape)}"
            )
    found = resolve(listed(axis), None if param_axis is None else listed(param_axis), rank)
    if len(_fitting) < 1000:
        _fitting[key] = found
    return found


def weight_shape(axes: Axes, shape: Sequence[int | None], name: str) -> tuple[int, ...]:
    """The shape of the weights of a layer for an input of `shape`.

    Raises:
        ValueError: if one of their axes has no known length.
    """
    lengths = tuple(map(shape.__getitem__, axes.spanned))
    if None in lengths:
        raise ValueError(
            f"gamma and beta span {name}={list(axes.spanned)}, so the input's length along it must "
            f"be known. Received: an input of shape {tuple(shape)}. Specify that length, or turn "
            "both off with center=False and scale=False."
        )
    return lengths  # type: ignore[return-value]


def weights(gamma: Any, beta: Any, axes: Axes, shape: Sequence[int | None]) -> None:
    """Refuse a gamma or beta that does not fit an input of `shape`; None fits any.

    Raises:
        TypeError: if one is not a dense tensor or array of real numbers.
        ValueError: if one has another shape.
    """
    if gamma is None and beta is None:
        return
    expected = tuple(map(shape.__getitem__, axes.spanned))
    for name, value in (("gamma", gamma), ("beta", beta)):
        if value is None:
            continue
        tensor(value, name, optional=True)
        came = tuple(value.shape)
        if expected != came and (
            len(came) != len(expected)
            or any(None not in (e, c) and e != c for e, c in zip(expected, came, strict=True))
        ):
            raise ValueError(
                f"{name} must have the shape {expected}: the lengths of the input, of shape "
                f"{tuple(shape)}, along the axes {list(axes.spanned)}. "
                f"Received: {name} of shape {came}"
            )


def built_shape(config: Any) -> Sequence[int | None]:
    """The shape that a layer in a file was built for.

    Raises:
        ValueError: if there is none; Keras would take the layer for built without its weights.
    """
    shape = config.get("input_shape") if isinstance(config, dict) else None
    if not isinstance(shape, (list, tuple)) or not all(
        n is None or (_is_int(n) and n >= 0) for n in shape
    ):
        raise ValueError(
            "build_config must hold the input_shape that the layer was built for, a list of "
            f"lengths and None. {received('build_config', config)}"
        )
    return shape


def epsilon(value: Any) -> float:
    """`value` as a float; None means `keras.backend.epsilon()**2`.

    Raises:
        ValueError: for anything but None or a finite number that is not negative.
    """
    if type(value) is float and 0 <= value < math.inf:
        return value
    if value is None:
        return float(keras.backend.epsilon()) ** 2
    number = isinstance(value, (int, float, np.integer, np.floating))
    try:
        fine = number and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    except OverflowError:  # an int that no float can hold
        fine = False
    if not fine:
        raise ValueError(
            "epsilon must be a finite number, zero or greater, or None for "
            f"keras.backend.epsilon()**2. {received('epsilon', value)}"
        )
    return float(value)


def flag(value: Any, name: str) -> bool:
    """`value` as a bool.

    Raises:
        TypeError: for anything but True and False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False. {received(name, value)}")
    return bool(value)


def from_registry(get: Callable[[Any], Any], value: Any, name: str, optional: bool) -> Any:
    """What Keras's `get` (of initializers, regularizers, constraints) makes of `value`.

    Raises:
        ValueError: for a name that Keras does not know, for a value that is not callable, and for
            None unless `optional`.

    Warns:
        UserWarning: if loading a file cannot restore it: otherwise users learn it only at load.
    """
    kind = name.split("_")[1]
    try:
        found = get(value)
    except (ValueError, TypeError):
        found = None
        known = False
    else:
        known = callable(found) or (optional and value is None)
    if not known:
        raise ValueError(
            f"{name} must be a Keras {kind}: an instance, a name such as "
            f"'{ {'initializer': 'ones', 'regularizer': 'l2', 'constraint': 'non_neg'}[kind] }', "
            f"or a callable{', or None' if optional else ''}. {received(name, value)}"
        )
    if callable(value) and not is_restored(found, get):
        warnings.warn(
            f"{name} is a {type(value).__name__} that load_model() cannot restore from a .keras "
            "file: a model with this layer can only be saved as weights, by save_weights(). "
            f"Keras's own {kind}s, and those registered by "
            "keras.saving.register_keras_serializable(), are restored.",
            UserWarning,
            stacklevel=keras_internals.levels_to_caller(),
        )
    return found


# id of an object and Keras's `get`: the object, the name that Keras knew it by, and whether files
# restore it.
_restored: dict[tuple[int, Callable[[Any], Any]], tuple[weakref.ref, str, bool]] = {}


def is_restored(value: Any, get: Callable[[Any], Any]) -> bool:
    """Whether Keras, asked to save `value`, a callable, loads the same again, by `get`.

    Keras does write files with functions and objects that it does not know, and fails, or takes
    another of the same name, when it loads them. Each object is tried once, and once more when it
    has been registered under another name.
    """
    key, name = (id(value), get), keras.saving.get_registered_name(_registrable(value))
    if key in _restored and _restored[key][1] == name:
        return _restored[key][2]
    answer = _try_to_restore(value, get)
    with contextlib.suppress(TypeError):  # what cannot be referenced weakly is tried every time
        _restored[key] = (weakref.ref(value, lambda _: _restored.pop(key, None)), name, answer)
    return answer


def _registrable(value: Any) -> Any:
    """What would be registered with Keras: a function, or the class of an object."""
    return value if hasattr(value, "__name__") else type(value)


def _try_to_restore(value: Any, get: Callable[[Any], Any]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's own, about lambdas
            config = keras.saving.serialize_keras_object(value)
        loaded = get(config)
    except Exception:  # of whatever kind the object's own methods raise
        return False
    return loaded is value or (hasattr(value, "get_config") and type(loaded) is type(value))


def is_tensor(value: object) -> bool:
    """Whether `value` is a NumPy array, a tensor of Keras's backend or a symbolic one."""
    return isinstance(value, (np.ndarray, keras.KerasTensor, keras.Variable)) or bool(
        keras.ops.is_tensor(value)
    )


def is_dense_tensor(value: object) -> bool:
    """Whether `value` is one tensor or array, and stores every element."""
    if isinstance(value, keras.KerasTensor):
        return not keras_internals.is_sparse_or_ragged(value)
    sparse = ("RaggedTensor", "SparseTensor", "MaskedArray", "JAXSparse", "BCOO")
    return type(value).__name__ not in sparse and is_tensor(value)


_dense_types: set[type] = set()  # whose every instance is a dense tensor


def tensor(value: Any, name: str, optional: bool = False) -> str:
    """The name of the dtype of a dense tensor or array of real numbers, of known rank.

    Raises:
        TypeError: for anything else.
        ValueError: for a tensor of unknown rank, whose axes cannot be counted.
    """
    kind = type(value)
    if kind not in _dense_types:
        if not is_dense_tensor(value):
            raise TypeError(
                f"{name} must be a single dense tensor or NumPy array{' or None' * optional}. "
                f"{_instead_of_tensor(value)}{received(name, value)}"
            )
        if not issubclass(kind, keras.KerasTensor):
            _dense_types.add(kind)
    found = dtype_name(getattr(value, "dtype", None))
    if found not in INPUT_DTYPES:
        raise TypeError(
            f"{name} must hold real numbers: one of {', '.join(INPUT_DTYPES)}. "
            f"Received: {name} of dtype {found}"
        )
    shape = value.shape
    if shape is None or getattr(shape, "rank", 0) is None:
        raise ValueError(
            f"{name} must have a known rank. Received: {name} of shape {shape}. "
            "Set it with tf.ensure_shape or Tensor.set_shape."
        )
    return found


@functools.lru_cache
def dtype_name(dtype: object) -> str:
    """The name of a dtype of whatever library: "float32" for torch.float32."""
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def _instead_of_tensor(value: object) -> str:
    """What to pass instead of a value that is not one dense tensor."""
    kind = type(value).__name__
    if kind == "RaggedTensor" or getattr(value, "ragged", False):
        return "Pad it first, for example with its method to_tensor(). "
    if kind == "MaskedArray":
        return "Its method filled() makes one. "
    if kind == "SparseTensor" or getattr(value, "sparse", False):
        return "keras.ops.convert_to_tensor(x, sparse=False) makes one of a sparse tensor. "
    return "numpy.asarray makes one of a list of numbers. "


def compute_dtype(layer: keras.layers.Layer) -> None:
    """Raise ValueError unless `layer` computes in floats that have a layer normalisation here."""
    if layer.compute_dtype not in FLOAT_DTYPES:
        raise ValueError(
            f"dtype must be one of {', '.join(FLOAT_DTYPES)}, or a policy that computes in one. "
            f"Received: dtype={layer.compute_dtype}"
        )
