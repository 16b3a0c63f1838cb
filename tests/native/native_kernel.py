"""The native kernel under test, and what its values are compared with."""

import os
from pathlib import Path

import ml_dtypes
import numpy as np
import reference

from py_layernorm.engines import kernel

# A build by hand can be tested from where it is.
FOLDER = os.environ.get("PY_LAYERNORM_NATIVE")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def library():
    """The library under test; FileNotFoundError if there is none."""
    return Path(FOLDER, kernel.KERNEL) if FOLDER else kernel.find(kernel.KERNEL)


def numpy_dtype(name):
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def data(shape, dtype="float32", offset=0.0, scale=1.0, seed=0):
    """x and dy in dtype; gamma and beta."""
    random = np.random.default_rng(seed)
    weight = "float64" if dtype == "float64" else "float32"
    x, dy = random.normal(size=(2, *shape))
    gamma, beta = random.normal(size=(2, shape[1])).astype(weight)
    return (
        (scale * x + offset).astype(numpy_dtype(dtype)),
        dy.astype(numpy_dtype(dtype)),
        gamma,
        beta,
    )


def expected(x, dy, gamma=None, beta=None, epsilon=1e-3):
    """y, mean, rstd, dx, dgamma and dbeta by the reference."""
    wide = reference.wide(x)
    rstd = 1 / np.sqrt(wide.var(axis=1) + wide.dtype.type(epsilon))
    return (
        reference.layer_norm(x, gamma, beta, 1, epsilon),
        wide.mean(axis=1).ravel(),
        rstd.ravel(),
        *reference.gradients(x, dy, gamma, 1, epsilon),
    )


def error(value, reference):
    """max |value - reference| over max |reference|."""
    value = value.astype(reference.dtype)
    assert value.shape == reference.shape
    assert np.isfinite(value).all()
    return float(np.abs(value - reference).max() / np.abs(reference).max())


def run(kernel, x, dy, gamma=None, beta=None, epsilon=1e-3):
    y, mean, rstd = kernel.forward(x, gamma, beta, epsilon)
    return y, mean, rstd, *kernel.backward(dy, x, gamma, mean, rstd)


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))
