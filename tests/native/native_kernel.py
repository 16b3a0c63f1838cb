"""The native kernel's library as ctypes sees it, and what its values are held against."""

import ctypes
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import reference

import py_layernorm

# What was compiled is in the first folder of an editable install; the sources are in the other. A
# build by hand can be tested from where it is.
FOLDER = Path(os.environ.get("PY_LAYERNORM_NATIVE", Path(py_layernorm.__path__[0]) / "native"))
LIBRARY = FOLDER / "libpy_layernorm_kernel.so"
ISAS = ("avx512", "avx2", "baseline")
DTYPES = ("float32", "float64", "bfloat16", "float16")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def numpy_dtype(name):
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


class Kernel:
    """The library's functions, on NumPy arrays of shape [outer, n, inner]."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.py_layernorm_isa.restype = ctypes.c_char_p
        self.library.py_layernorm_version.restype = ctypes.c_char_p

    @property
    def isa(self):
        return self.library.py_layernorm_isa().decode()

    def threads(self, count):
        self.library.py_layernorm_set_threads(count)

    def forward(self, x, gamma=None, beta=None, epsilon=1e-3, in_place=False):
        outer, _, inner = x.shape
        y = x if in_place else np.empty_like(x)
        mean, rstd = np.full((2, outer * inner), np.nan)
        status = self.library.py_layernorm_forward(
            *self._geometry(x), address(x), address(gamma), address(beta),
            ctypes.c_double(epsilon), address(y), address(mean), address(rstd),
        )  # fmt: skip
        assert status == 0
        return y, mean, rstd

    def backward(self, dy, x, gamma, mean, rstd, in_place=False):
        weight = "float64" if x.dtype == "float64" else "float32"
        dx = dy if in_place else np.empty_like(dy)
        dgamma, dbeta = np.full((2, x.shape[1]), np.nan, dtype=weight)
        status = self.library.py_layernorm_backward(
            *self._geometry(x), address(dy), address(x), address(gamma), address(mean),
            address(rstd), address(dx), address(dgamma), address(dbeta),
        )  # fmt: skip
        assert status == 0
        return dx, dgamma, dbeta

    @staticmethod
    def _geometry(x):
        number = [numpy_dtype(name) for name in DTYPES].index(x.dtype)
        return (number, *(ctypes.c_int64(length) for length in x.shape))


def address(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


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
