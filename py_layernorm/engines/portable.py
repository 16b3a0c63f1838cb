"""Layer normalisation in standard Keras ops: every backend and dtype, XLA, exported models."""

from typing import Any

import keras
import numpy as np
from keras import ops

from py_layernorm.axes import Axes


def layer_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    axes: Axes,
    epsilon: float,
    dtype: str,
) -> Any:
    """y = (x - mean) / sqrt(var + epsilon) * gamma + beta; see the package's docstring for names.

    A float32 mean of a row at offset 1e6 is off by up to 0.1, and `x*inv - mean*inv` loses the
    digits of the row's spread. So a number of the row's own size is subtracted first, which is
    exact for numbers that are close to it, and then the mean of what is left. The row's first
    element serves: it lies within a few deviations of the mean, or is an outlier that makes the
    deviation large. Unlike a mean, it costs nothing.
    """
    wide = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    x = ops.cast(x, wide)
    first = first_of_rows(x, axes.normalised)
    # A shift changes neither the result nor any derivative, so it may be a constant.
    d = x - ops.stop_gradient(first)
    gamma, beta = (None if p is None else ops.cast(p, wide) for p in (gamma, beta))

    if keras.backend.backend() == "torch" and axes.trailing and axes.aligned:
        import torch.nn.functional

        y = torch.nn.functional.layer_norm(d, d.shape[axes.begin :], gamma, beta, epsilon)
        return ops.cast(y, dtype)

    d = d - ops.mean(d, axis=axes.normalised, keepdims=True)
    y = d * ops.rsqrt(ops.mean(ops.square(d), axis=axes.normalised, keepdims=True) + epsilon)
    return ops.cast(affine(y, gamma, beta, axes.spanned), dtype)


def first_of_rows(x: Any, axes: tuple[int, ...]) -> Any:
    """The first element of each row of `x`, of length 1 along `axes`; nothing of an empty row."""
    rank = len(x.shape)
    if rank <= 8:
        return x[tuple(slice(0, 1) if a in axes else slice(None) for a in range(rank))]
    for a in axes:  # TensorFlow slices at most 8 axes
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
    """`param` with length 1 along every axis of `y` except `param_axes`.

    There it must have the lengths of `y`, which may not be known before the call is computed.
    """
    lengths = ops.shape(y)
    return ops.reshape(param, [n if a in param_axes else 1 for a, n in enumerate(lengths)])
