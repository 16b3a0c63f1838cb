"""Layer normalisation in stock ops: every Keras backend, every dtype, XLA, exported models."""

from typing import Any

import keras
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
    digits of whatever spread the row has. So: subtract first, which is exact for numbers that
    close, then correct the mean once by the mean of what is left.
    """
    wide = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    x = ops.cast(x, wide)
    mean = ops.mean(x, axis=axes, keepdims=True)
    gamma, beta = (None if p is None else ops.cast(p, wide) for p in (gamma, beta))

    trailing = axes == tuple(range(len(x.shape) - len(axes), len(x.shape)))
    if keras.backend.backend() == "torch" and trailing and param_axes == axes:
        from torch.nn.functional import layer_norm

        # Shifting a row changes neither its norm nor any derivative, so the shift is a constant.
        y = layer_norm(x - mean.detach(), x.shape[axes[0] :], gamma, beta, epsilon)
        return ops.cast(y, dtype)

    d = x - mean
    d = d - ops.mean(d, axis=axes, keepdims=True)
    y = d * ops.rsqrt(ops.mean(ops.square(d), axis=axes, keepdims=True) + epsilon)
    return ops.cast(affine(y, gamma, beta, param_axes), dtype)


def affine(y: Any, gamma: Any, beta: Any, param_axes: tuple[int, ...]) -> Any:
    """`y * gamma + beta`, each over `param_axes` of `y`, or left out where it is None."""
    if gamma is not None:
        y = y * spread(gamma, param_axes, len(y.shape))
    if beta is not None:
        y = y + spread(beta, param_axes, len(y.shape))
    return y


def spread(param: Any, param_axes: tuple[int, ...], rank: int) -> Any:
    """`param` with the length 1 along all axes of a tensor of `rank` but `param_axes`."""
    shape = [1] * rank
    for axis, length in zip(param_axes, ops.shape(param), strict=True):
        shape[axis] = length
    return ops.reshape(param, shape)
