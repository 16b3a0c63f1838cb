"""Layer normalisation in NumPy, written as the formula: every engine is compared with it.

In float64; for float64 input in long double, which has 64 bits or more where the machine has it.
"""

import numpy as np


def layer_norm(x, gamma=None, beta=None, axis=-1, epsilon=1e-3, param_axis=None):
    """y = (x - mean) / sqrt(var + epsilon) * gamma + beta."""
    x = wide(x)
    normed, _ = _normalise(x, resolve(axis, x.ndim), epsilon)
    gamma, beta = (_spread(p, x, axis, param_axis) for p in (gamma, beta))
    y = normed if gamma is None else normed * gamma
    return y if beta is None else y + beta


def gradients(x, dy, gamma=None, axis=-1, epsilon=1e-3, param_axis=None):
    """dx, dgamma and dbeta of `sum(dy * layer_norm(x, gamma, beta))`, as textbooks have it."""
    x, dy = wide(x), wide(dy)
    axes = resolve(axis, x.ndim)
    normed, rstd = _normalise(x, axes, epsilon)
    g = dy if gamma is None else dy * _spread(gamma, x, axis, param_axis)
    dx = rstd * (
        g - g.mean(axis=axes, keepdims=True) - normed * (g * normed).mean(axis=axes, keepdims=True)
    )
    others = _others(x, axis, param_axis)
    return dx, (dy * normed).sum(axis=others), dy.sum(axis=others)


def sizes(x, dy, gamma=None, beta=None, axis=-1, epsilon=1e-3, param_axis=None):
    """How large the terms are that y, dx, dgamma and dbeta are sums of: the unit of their errors.

    x - mean is as exact as the largest of its row, hence the row's largest |normed| in all. For
    float64, the mean itself is kept in float64, and x - mean is as exact as the largest x.
    """
    x, dy = wide(x), wide(dy)
    axes = resolve(axis, x.ndim)
    normed, rstd = _normalise(x, axes, epsilon)
    largest = np.abs(normed).max(axis=axes, keepdims=True)
    if x.dtype == np.longdouble:
        largest = np.maximum(largest, rstd * np.abs(x).max(axis=axes, keepdims=True))
    gamma, beta = (_spread(p, x, axis, param_axis) for p in (gamma, beta))
    y = largest * np.abs(1 if gamma is None else gamma) + np.abs(0 if beta is None else beta)
    g = np.abs(dy if gamma is None else dy * gamma)
    mean_g = g.mean(axis=axes, keepdims=True)
    dx = rstd * (g.max(axis=axes, keepdims=True) + mean_g + largest**2 * mean_g)
    others = _others(x, axis, param_axis)
    dgamma, dbeta = (np.abs(dy * factor).sum(axis=others) for factor in (largest, 1))
    return y, dx, dgamma, dbeta


def wide(x):
    """`x` in the dtype that the reference computes in."""
    x = np.asarray(x)
    return x.astype(np.longdouble if x.dtype in (np.float64, np.longdouble) else np.float64)


def resolve(axis, rank):
    """An int or a sequence of ints as axes counted from 0, in increasing order."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return tuple(sorted(a % rank for a in axes))


def _normalise(x, axes, epsilon):
    """(x - mean) * rstd, and rstd."""
    d = x - x.mean(axis=axes, keepdims=True)
    # Once more, for rows at an offset: what the mean's own rounding left in.
    d = d - d.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt((d**2).mean(axis=axes, keepdims=True) + x.dtype.type(epsilon))
    return d * rstd, rstd


def _spread(param, x, axis, param_axis):
    """gamma or beta with the length 1 along the axes of `x` that it does not span."""
    if param is None:
        return None
    axes = resolve(axis if param_axis is None else param_axis, x.ndim)
    return wide(param).reshape([x.shape[a] if a in axes else 1 for a in range(x.ndim)])


def _others(x, axis, param_axis):
    """The axes of `x` that gamma and beta do not span."""
    axes = resolve(axis if param_axis is None else param_axis, x.ndim)
    return tuple(a for a in range(x.ndim) if a not in axes)
