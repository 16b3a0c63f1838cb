"""What an adapter of the kernel does about arguments that the kernel does not take itself."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from py_layernorm.axes import Axes
from py_layernorm.engines import portable


def layer_norm(
    kernel: Callable[..., Any],
    x: Any,
    gamma: Any,
    beta: Any,
    axes: Axes,
    epsilon: float,
    dtype: str,
) -> Any:
    """An engine, by `kernel(x, gamma, beta, first, last, epsilon)`.

    The kernel normalises over the neighbouring axes [first, last), which the weights span; it
    returns `x`'s dtype, and takes weights in float64 for float64 and in float32 for all others.
    Other axes are moved to the end for it and back; weights that span other axes are applied by
    stock ops, in at least float32.
    """
    inside = axes.aligned or (gamma is None and beta is None)
    came = keras.backend.standardize_dtype(x.dtype)
    if not inside or came != dtype:
        x = ops.cast(x, "float64" if "float64" in (came, dtype) else "float32")
        came = keras.backend.standardize_dtype(x.dtype)  # JAX may have no float64
    weight = "float64" if came == "float64" else "float32"
    gamma, beta = (None if p is None else ops.cast(p, weight) for p in (gamma, beta))

    others = [a for a in range(axes.rank) if a not in axes.normalised]
    order = [*others, *axes.normalised]
    first, last = axes.begin, axes.end
    if not axes.contiguous:
        x = ops.transpose(x, order)
        first, last = len(others), axes.rank
    y = kernel(x, gamma if inside else None, beta if inside else None, first, last, epsilon)
    if not axes.contiguous:
        y = ops.transpose(y, [order.index(a) for a in range(axes.rank)])
    if not inside:
        y = portable.affine(y, gamma, beta, axes.spanned)
    return ops.cast(y, dtype)
