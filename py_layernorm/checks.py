"""Checks of arguments. An error names the argument, what was expected and what was received."""

import functools
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from py_layernorm import keras2_internals, keras_internals
from py_layernorm.axes import Axes, Axis, listed, resolve

# Complex, string and 8-bit float inputs are not supported.
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
INPUT_DTYPES = (
    *FLOAT_DTYPES,
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
# Classes of tensors that do not store every element; the second of each is Keras 2's.
RAGGED = ("RaggedTensor", "RaggedKerasTensor")
SPARSE = ("SparseTensor", "SparseKerasTensor", "JAXSparse", "BCOO")


def received(name: str, value: object) -> str:
    """`Received: axis=1.5 (float)`, the end of every message; long values are truncated."""
    return f"Received: {name}={cut(value)} ({type(value).__name__})"


def cut(value: object) -> str:
    """The text of a value, truncated to 200 characters."""
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits, which Python does not print, or a broken class
        text = "a value that cannot be printed"
    return text if len(text) <= 200 else text[:200] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


# The usual case comes first below, because a small eager call spends its time in Python.


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


_fitting: dict[tuple[Any, Any, int], Axes] = {}  # arguments that have passed the checks


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
        ValueError: if the length of one of their axes is unknown.
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
    """Check that gamma and beta fit an input of `shape`; None fits any.

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
        ValueError: if there is none: Keras would treat the layer as built, without its weights.
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


def epsilon(value: Any, which: ModuleType = keras) -> float:
    """`value` as a float; None means `keras.backend.epsilon()**2`, of the Keras `which`.

    Raises:
        ValueError: for anything but None or a finite number that is not negative.
    """
    if type(value) is float and 0 <= value < math.inf:
        return value
    if value is None:
        return float(which.backend.epsilon()) ** 2
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


def is_tensor(value: object) -> bool:
    """Whether `value` is a NumPy array, a tensor of Keras's backend or a symbolic one."""
    return (
        isinstance(value, (np.ndarray, keras.Variable))
        or is_symbolic(value)
        or bool(keras.ops.is_tensor(value))
    )


def is_symbolic(value: object) -> bool:
    """Whether `value` is a symbolic tensor of either Keras."""
    return isinstance(value, keras.KerasTensor) or keras2_internals.is_symbolic(value)


def is_dense_tensor(value: object) -> bool:
    """Whether `value` is one tensor or array that stores every element."""
    if isinstance(value, keras.KerasTensor):
        return not keras_internals.is_sparse_or_ragged(value)
    return type(value).__name__ not in (*RAGGED, *SPARSE, "MaskedArray") and is_tensor(value)


_dense_types: set[type] = set()  # all instances of these are dense tensors


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
    """The name of a dtype of any library: "float32" for torch.float32."""
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def _instead_of_tensor(value: object) -> str:
    """What to pass instead of a value that is not one dense tensor."""
    kind = type(value).__name__
    if kind in RAGGED or getattr(value, "ragged", False):
        return "Pad it first, for example with its method to_tensor(). "
    if kind == "MaskedArray":
        return "Its method filled() makes one. "
    if kind in SPARSE or getattr(value, "sparse", False):
        return "keras.ops.convert_to_tensor(x, sparse=False) makes one of a sparse tensor. "
    return "numpy.asarray makes one of a list of numbers. "


def compute_dtype(layer: keras.layers.Layer) -> None:
    """Raise ValueError unless `layer` computes in a float dtype that is supported here."""
    if layer.compute_dtype not in FLOAT_DTYPES:
        raise ValueError(
            f"dtype must be one of {', '.join(FLOAT_DTYPES)}, or a policy that computes in one. "
            f"Received: dtype={layer.compute_dtype}"
        )
