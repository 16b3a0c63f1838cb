"""oneDNN's data, whose moments are exact in any order of summation, at oneDNN's limits.

Written after what tests/benchdnn/lnorm of oneDNN does, over the shapes of its CI.
"""

import numpy as np
import pytest
import reference
import ulps
from cases import to_dtype

FORWARD, BACKWARD = 5e-7, 2e-7
SHAPES = [(15, 3), (30, 300), (256, 768), (257, 768), (128, 1, 1024), (6, 2, 128, 1024)]
# Half precision: the limits times the bits that it has less.
COARSER = {"float32": 1, "float16": 2.0**13, "bfloat16": 2.0**16}
FLAGS = [(False, False), (True, False), (False, True), (True, True)]  # center, scale


def weights(n, center, scale):
    """gamma and beta of powers of two."""
    k = np.arange(n)
    gamma = (2.0 ** (k % 7) / 8).astype("float32")
    beta = ((k % 3 - 1) * 2.0 ** (k % 7) / 512).astype("float32")
    return gamma if scale else None, beta if center else None


def means(rows):
    return 0.25 * 2.0 ** (np.arange(rows) % 7)[:, None]


def forward_data(shape, dtype):
    """Pairs at the same distance, of few bits, from the mean, which is a power of two."""
    rows, n = int(np.prod(shape[:-1])), shape[-1]
    r, k = np.arange(rows)[:, None], np.arange(n)[None]
    m = means(rows)
    sign = np.where(k % 2 == 0, 1, -1)
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype]
    flexible = (bits - int(np.ceil(np.log2(n)))) // 2 - 1
    if flexible >= 3:
        pair = (k + r * 478) // 2
        x = m * (1 + sign * ((pair * 1637) & (2**flexible - 1)) / 2**flexible)
    else:
        pair = np.random.default_rng(0).integers(0, 2, (rows, (n + 1) // 2))
        x = m + sign * 0.25 * (1 + 3 * np.repeat(pair, 2, axis=1)[:, :n])
    if n % 2:
        x[:, -1] = m[:, 0]
    return to_dtype(x.reshape(shape), dtype)


def backward_data(shape, dtype):
    """x at mean -+ 0.5, 1 or 2, which is the deviation; dy of powers of two."""
    rows, n = int(np.prod(shape[:-1])), shape[-1]
    random = np.random.default_rng(0)
    deviation = 2.0 ** (np.arange(rows) % 3 - 1)[:, None]
    x = means(rows) + np.where(np.arange(n) % 2 == 0, -deviation, deviation)
    dy = random.choice([-1, 1], shape) * 0.0625 * 2.0 ** random.integers(0, 7, shape)
    return to_dtype(x.reshape(shape), dtype), to_dtype(dy, dtype)


@pytest.mark.parametrize("dtype", COARSER)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape, dtype, engine):
    x = forward_data(shape, dtype)
    assert np.unique(x.astype("float32")).size > 2
    for center, scale in FLAGS if shape != SHAPES[-1] else FLAGS[-1:]:
        gamma, beta = weights(shape[-1], center, scale)
        y = ulps.run(x, x, gamma, beta, epsilon=1 / 16)[0].numpy().astype("float64")
        wanted = reference.layer_norm(x, gamma, beta, epsilon=1 / 16)
        # Where the sum with beta cancels, the product is what can be right.
        size = np.maximum(np.abs(wanted), np.abs(wanted - (0 if beta is None else beta)))
        assert (np.abs(y - wanted) <= FORWARD * COARSER[dtype] * size).all()


@pytest.mark.parametrize("dtype", COARSER)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(shape, dtype, engine):
    """By the norm of the difference, as oneDNN does."""
    x, dy = backward_data(shape, dtype)
    for center, scale in FLAGS if shape != SHAPES[-1] else FLAGS[-1:]:
        gamma, beta = weights(shape[-1], center, scale)
        _, *came = ulps.run(x, dy, gamma, beta, epsilon=0.0)
        wanted = reference.gradients(x, dy, gamma, epsilon=0.0)
        for value, value_wanted in zip(came, wanted, strict=True):
            if value is not None:
                limit = BACKWARD * COARSER[value.dtype.name]
                off = np.linalg.norm(value.numpy().astype("float64") - value_wanted)
                assert off <= limit * np.linalg.norm(value_wanted)
