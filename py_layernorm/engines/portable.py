"""Layer normalisation in stock ops: every Keras backend, every dtype, XLA, exported models."""

from typing import Any

import keras
import numpy as np
from keras import ops


def layer_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    axes: tuple[int, ...],
    param_axes: tuple[int, ...],
    epsilon: float,
    dtype: str,
) -> Any:
    """y = (x - mean) / sqrt(var + epsilon) * gamma + beta; see the package's docstring for names.

    A float32 mean of a row at offset 1e6 is off by up to 0.1, and `x*inv - mean*inv` loses the
    digits of whatever spread the row has. So a number of the row's own size is subtracted first,
    which is exact for numbers that are close, and the mean of what is left is subtracted then.
    The row's first element serves: it lies within a few deviations of the mean, or is an outlier
    that makes the deviation large. Unlike a mean it costs nothing.
    """
    wide = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    x = ops.cast(x, wide)
    first = first_of_rows(x, axes)
    # Shifting a row changes neither its norm nor any derivative, so the shift is a constant.
    d = x - ops.stop_gradient(first)
    gamma, beta = (None if p is None else ops.cast(p, wide) for p in (gamma, beta))

    trailing = axes == tuple(range(len(x.shape) - len(axes), len(x.shape)))
    if keras.backend.backend() == "torch" and trailing and param_axes == axes:
        import torch.nn.functional

        y = torch.nn.functional.layer_norm(d, d.shape[axes[0] :], gamma, beta, epsilon)
        return ops.cast(y, dtype)

    d = d - ops.mean(d, axis=axes, keepdims=True)
    y = d * ops.rsqrt(ops.mean(ops.square(d), axis=axes, keepdims=True) + epsilon)
    return ops.cast(affine(y, gamma, beta, param_axes), dtype)


def first_of_rows(x: Any, axes: tuple[int, ...]) -> Any:
    """The first element of each row of `x`, with the length 1 along `axes`; of no row, nothing."""
    rank = len(x.shape)
    if rank <= 8:
        return x[tuple(slice(0, 1) if a in axes else slice(None) for a in range(rank))]
    for a in axes:  # TensorFlow slices no more than 8 axes
        x = ops.take(x, np.arange(1)[: x.shape[a]], axis=a)
    return x


def affine(y: Any, gamma: Any, beta: Any, param_axes: tuple[int, ...]) -> Any:
    """`y * gamma + beta`, each over `param_axes` of `y`, or left out where it is None."""
    if gamma is not None:
        y = y * spread(gamma, param_axes, y)
    if beta is not None:
        y = y + spread(beta, param_axes, y)
    return y


def spread(param: Any, param_axes: tuple[int, ...], y: Any) -> Any:
    """`param` with the length 1 along all axes of `y` but `param_axes`.

    There it has the lengths of `y`: where those were unknown until now, it may not fit.
    """
    lengths = ops.shape(y)
    return ops.reshape(param, [n if a in param_axes else 1 for a, n in enumerate(lengths)])
