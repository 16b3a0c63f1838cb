"""The same bits from run to run, for any number of threads, and wherever a batch is cut."""

import itertools

import numpy as np
import pytest
import reference
import ulps
from cases import to_dtype

from py_layernorm import engines

SHAPES = [
    ((4096, 64), -1),
    ((500, 768), -1),
    ((7, 30011), -1),
    ((2, 200_003), -1),
    ((8, 64, 196), 1),
    ((5, 12, 12, 32), (1, 2)),
    ((23, 6, 40), (0, 2)),
]
THREADS = (1, 2, 3, 7)


def arguments(shape, axis, dtype):
    random = np.random.default_rng(0)
    x, dy = (to_dtype(random.normal(size=shape) + 3, dtype) for _ in range(2))
    axes = axis if isinstance(axis, tuple) else (axis,)
    gamma, beta = random.normal(size=(2, *(shape[a] for a in axes)))
    weight = "float64" if dtype == "float64" else "float32"
    return x, dy, gamma.astype(weight), beta.astype(weight)


def bits(values):
    return [value.numpy().tobytes() for value in values]


@pytest.fixture
def kernel():
    """The library that the op calls; the number of its threads is as it was afterwards."""
    from py_layernorm.engines import kernel, tensorflow

    tensorflow.load()
    loaded = kernel.Kernel()
    before = loaded.threads
    yield loaded
    loaded.threads = before


@pytest.mark.skipif(engines.fused_unavailable() is not None, reason="the threads are the op's own")
@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_threads(shape, axis, dtype, kernel):
    call = arguments(shape, axis, dtype)
    seen = []
    for count in THREADS:
        kernel.threads = count
        assert kernel.threads == count
        seen.append(bits(ulps.run(*call, axis=axis)))
    assert all(one == seen[0] for one in seen)


@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_runs(shape, axis, dtype, engine):
    call = arguments(shape, axis, dtype)
    first = bits(ulps.run(*call, axis=axis))
    assert all(bits(ulps.run(*call, axis=axis)) == first for _ in range(4))


@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((23, 64), -1), ((23, 768), -1), ((23, 5003), -1), ((23, 37, 19), 1), ((23, 5, 7, 8), (1, 3))],
    ids=str,
)
def test_splits_of_the_batch(shape, axis, dtype, engine):
    """Bit for bit; TensorFlow's own ops round a last bit by a number's place among the others."""
    x, dy, gamma, beta = arguments(shape, axis, dtype)
    whole = ulps.run(x, dy, gamma, beta, axis=axis)[:2]
    sizes = reference.sizes(x, dy, gamma, beta, axis=axis)[:2]
    for cuts in ((0, 1, 23), (0, 3, 10, 23), (0, 11, 22, 23), range(24)):
        parts = [
            ulps.run(x[begin:end], dy[begin:end], gamma, beta, axis=axis)[:2]
            for begin, end in itertools.pairwise(cuts)
        ]
        for value, size, pieces in zip(whole, sizes, zip(*parts, strict=True), strict=True):
            value, pieces = value.numpy(), np.concatenate(pieces)
            if engine == "fused":
                assert value.tobytes() == pieces.tobytes()
            else:
                off = np.abs(value.astype(size.dtype) - pieces.astype(size.dtype))
                assert (off <= 2 * ulps.LIMIT[dtype] * ulps.ULP[dtype] * size).all()
