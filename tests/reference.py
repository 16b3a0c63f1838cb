"""Layer normalisation in float64 NumPy, as the formula reads: what every engine is held against."""

import numpy as np


def layer_norm(x, gamma=None, beta=None, axis=-1, epsilon=1e-3, param_axis=None):
    """y = (x - mean) / sqrt(var + epsilon) * gamma + beta, all of it in float64."""
    x = np.asarray(x, dtype="float64")
    axes = resolve(axis, x.ndim)
    mean = x.mean(axis=axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    y = (x - mean) / np.sqrt(var + epsilon)
    spread = [1] * x.ndim
    for a in axes if param_axis is None else resolve(param_axis, x.ndim):
        spread[a] = x.shape[a]
    if gamma is not None:
        y = y * np.asarray(gamma, dtype="float64").reshape(spread)
    if beta is not None:
        y = y + np.asarray(beta, dtype="float64").reshape(spread)
    return y


def resolve(axis, rank):
    """An int or a sequence of ints as axes counted from 0, in increasing order."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return tuple(sorted(a % rank for a in axes))


def gradients(x, dy, gamma=None, axis=-1, epsilon=1e-3, param_axis=None):
    """dx, dgamma and dbeta of `sum(dy * layer_norm(x, gamma, beta))`, as textbooks have it."""
    x, dy = np.asarray(x, dtype="float64"), np.asarray(dy, dtype="float64")
    axes = resolve(axis, x.ndim)
    param_axes = axes if param_axis is None else resolve(param_axis, x.ndim)
    mean = x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)
    normed = (x - mean) * rstd
    spread = [x.shape[a] if a in param_axes else 1 for a in range(x.ndim)]
    g = dy if gamma is None else dy * np.asarray(gamma, dtype="float64").reshape(spread)
    dx = rstd * (
        g - g.mean(axis=axes, keepdims=True) - normed * (g * normed).mean(axis=axes, keepdims=True)
    )
    others = tuple(a for a in range(x.ndim) if a not in param_axes)
    return dx, (dy * normed).sum(axis=others), dy.sum(axis=others)
