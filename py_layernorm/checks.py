"""Every check of an argument, once. An error names the argument, what was expected, what came."""

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

Axis = int | Sequence[int]

# Complex, string and 8-bit float inputs have no layer normalisation here.
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
    except Exception:  # an int of 5,000 digits, which Python does not print, or a faulty class
        text = "a value that has no text"
    return text if len(text) <= 200 else text[:200] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def axis(value: Any, name: str = "axis") -> Axis:
    """`value` with plain ints: an int, or a list or tuple of at least one int, none twice.

    Raises:
        TypeError: for anything but an int or a list or tuple of ints (a bool is not an int here).
        ValueError: for an empty list, or one that holds the same number twice.
    """
    if _is_int(value):
        return int(value)
    if not isinstance(value, (list, tuple)) or not all(_is_int(v) for v in value):
        raise TypeError(f"{name} must be an int or a list/tuple of ints. {received(name, value)}")
    if not value:
        raise ValueError(f"{name} must name at least one axis. {received(name, value)}")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} must not name the same axis twice. {received(name, value)}")
    ints = [int(v) for v in value]
    return tuple(ints) if isinstance(value, tuple) else ints


def resolve_axes(value: Axis, shape: Sequence[int | None], name: str = "axis") -> tuple[int, ...]:
    """The axes of a tensor of `shape` that `value` names, counted from 0, in increasing order.

    Raises:
        ValueError: for an axis out of range, or two numbers for the same axis (`[-1, 2]`).
    """
    rank = len(shape)
    axes = [value] if isinstance(value, int) else list(value)
    if rank == 0:
        raise ValueError(f"an input of rank 0 has no axis. Received: {name}={cut(value)}")
    for a in axes:
        if not -rank <= a < rank:
            raise ValueError(
                f"{name} must lie between {-rank} and {rank - 1} for an input of rank {rank}. "
                f"Received: {name}={cut(value)} with an input of shape {tuple(shape)}"
            )
    resolved = tuple(sorted(a % rank for a in axes))
    if len(set(resolved)) < len(resolved):
        raise ValueError(
            f"{name} must not name the same axis twice. "
            f"Received: {name}={cut(value)} with an input of shape {tuple(shape)}"
        )
    return resolved


def param_shape(axes: Sequence[int], shape: Sequence[int | None], name: str) -> tuple[int, ...]:
    """The shape of weights that span `axes` of an input of `shape`.

    Raises:
        ValueError: if one of those axes has no known length.
    """
    lengths = tuple(shape[a] for a in axes)
    if None in lengths:
        raise ValueError(
            f"gamma and beta span {name}={list(axes)}, so the input's length along it must be "
            f"known. Received: an input of shape {tuple(shape)}. Give that length, or turn both "
            "off with center=False and scale=False."
        )
    return lengths  # type: ignore[return-value]


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
        ValueError: for a name that Keras does not know, for what is not callable, and for None
            unless `optional`.

    Warns:
        UserWarning: if a file cannot bring it back, so that nobody learns it first at load.
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
    if callable(value) and not comes_back(found, get):
        warnings.warn(
            f"{name} is a {type(value).__name__} that load_model() cannot bring back from a .keras "
            "file: a model that holds this layer can be saved as weights only, by save_weights(). "
            f"Keras's own {kind}s, and those registered by "
            "keras.saving.register_keras_serializable(), do come back.",
            UserWarning,
            stacklevel=_levels_to_caller(),
        )
    return found


def _levels_to_caller() -> int:
    """The `stacklevel` with which a warning of the calling function names the user's line."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].startswith("py_layernorm"):
        level, frame = level + 1, frame.f_back
    return level + 1


def comes_back(value: Any, get: Callable[[Any], Any]) -> bool:
    """Whether Keras, asked to save `value`, a callable, loads the same again, by `get`.

    It does write files with functions and objects that it does not know, and fails, or takes
    another of that name, when it loads them.
    """
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


def is_whole(value: object) -> bool:
    """Whether no element of a tensor or an array is left out."""
    return type(value).__name__ not in ("RaggedTensor", "SparseTensor", "MaskedArray")


def dense(value: object, name: str) -> None:
    """Raise TypeError unless `value` is one tensor or NumPy array whose elements are all there."""
    if not (is_tensor(value) and is_whole(value)):
        raise TypeError(
            f"{name} must be a tensor or a NumPy array, dense and a single one; numpy.asarray "
            f"makes one of a list of numbers. {received(name, value)}"
        )


def dtype(value: object, name: str) -> str:
    """The name of an array's dtype.

    Raises:
        TypeError: for complex numbers, strings and all else that is no real number.
    """
    found = getattr(value, "dtype", None)
    text = str(getattr(found, "name", found)).rpartition(".")[2]  # "torch.float32" to "float32"
    if text not in INPUT_DTYPES:
        raise TypeError(
            f"{name} must hold real numbers: one of {', '.join(INPUT_DTYPES)}. "
            f"Received: {name} of dtype {text}"
        )
    return text


def rank_is_known(value: Any, name: str) -> None:
    """Raise ValueError for a tensor whose rank is unknown: its axes cannot be counted."""
    if value.shape is None or getattr(value.shape, "rank", 0) is None:
        raise ValueError(
            f"{name} must have a known rank. Received: {name} of shape {value.shape}. "
            "Set it with tf.ensure_shape or Tensor.set_shape."
        )
