"""Arrays as NumPy can lay them out, and lengths at which vectors, strips and loops end."""

import numpy as np
import pytest
import ulps
from cases import to_dtype

import py_layernorm

RANDOM = np.random.default_rng(0)


def unaligned(x):
    """A copy of `x` that begins one byte after an address of its own."""
    memory = np.zeros(x.nbytes + 1, "uint8")
    copy = memory[1:].view(x.dtype).reshape(x.shape)
    copy[...] = x
    assert not copy.flags.aligned
    return copy


def read_only(x):
    copy = x.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "strided": lambda x: np.repeat(np.repeat(x, 3, axis=0), 2, axis=1)[::3, ::2],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "zero-stride rows": lambda x: np.broadcast_to(x[:1], x.shape),
    "zero-stride columns": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "Fortran": np.asfortranarray,
    "unaligned": unaligned,
    "read-only": read_only,
    "a part": lambda x: np.pad(x, 2)[2:-2, 2:-2],
}


def memory_of(x):
    """The bytes of the array that `x` is a view of, the ones between its elements included."""
    base = x
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base.tobytes()


@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, dtype, engine):
    """The same bits as for a plain copy, and not a byte of the input changed."""
    laid = LAYOUTS[layout](to_dtype(RANDOM.normal(size=(12, 37)), dtype))
    dy = LAYOUTS[layout](to_dtype(RANDOM.normal(size=(12, 37)), dtype))
    gamma = LAYOUTS[layout](RANDOM.normal(size=(12, 37)))[1]
    before = list(map(memory_of, (laid, dy, gamma)))
    came = ulps.run(laid, dy, gamma, gamma)
    # The function and the layer take the array itself, not a tensor.
    direct = py_layernorm.layer_norm(laid, gamma, gamma)
    layer = py_layernorm.LayerNormalization(center=False, scale=False, dtype=dtype)
    plain = layer(laid)
    assert list(map(memory_of, (laid, dy, gamma))) == before
    copies = [np.array(a, order="C") for a in (laid, dy, gamma)]
    wanted = ulps.run(*copies, copies[2])
    for value, value_wanted in zip((*came, direct), (*wanted, wanted[0]), strict=True):
        np.testing.assert_array_equal(value, value_wanted)
    np.testing.assert_array_equal(plain, layer(copies[0]))


# Vectors of 4 to 64 elements and the blocks made of them, plus and minus one; primes.
LENGTHS = sorted(
    {0, 1, 2, 3, 5, 7, 11, 13, 101, 251, 509, 1021, 4099}
    | {width + off for width in (4, 8, 16, 32, 64, 128, 256, 1024) for off in (-1, 0, 1)}
)


@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize("inner", [(), (1,), (3,), (17,)], ids=str)
def test_lengths(inner, dtype, engine):
    for n in LENGTHS:
        shape = (3, n, *inner)
        x, dy = (to_dtype(RANDOM.normal(size=shape), dtype) for _ in range(2))
        gamma, beta = RANDOM.normal(size=(2, n)).astype(
            "float64" if dtype == "float64" else "float32"
        )
        came = ulps.run(x, dy, gamma, beta, axis=1)
        if n == 0:
            assert [value.shape for value in came] == [shape, shape, (0,), (0,)]
        else:
            # TensorFlow adds up along any but the last axis term by term, and the roundings of
            # n terms come to sqrt(n) of one.
            factor = max(1, n**0.5 / 8) if engine == "portable" else 1
            wanted = ulps.expected(x, dy, gamma, beta, axis=1)
            faults = ulps.faults(came, wanted, factor)
            assert not faults, (n, faults)


@pytest.mark.parametrize("dtype", ulps.ULP)
def test_rows_of_one(dtype, engine):
    """beta, nothing for gamma to learn, and for x no more than a rounding."""
    x, dy = (to_dtype(RANDOM.normal(size=(5, 1)), dtype) for _ in range(2))
    gamma, beta = RANDOM.normal(size=(2, 1)).astype("float32")
    y, dx, dgamma, dbeta = ulps.run(x, dy, gamma, beta)
    np.testing.assert_array_equal(y, np.tile(to_dtype(beta, dtype), (5, 1)))
    assert not np.any(dgamma)
    assert not ulps.faults((y, dx, dgamma, dbeta), ulps.expected(x, dy, gamma, beta))


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 5), (0, 0)], ids=str)
def test_no_rows(shape, engine):
    x = np.zeros(shape, "float32")
    gamma = np.ones(shape[-1], "float32")
    y, dx, dgamma, dbeta = ulps.run(x, x, gamma, gamma)
    assert y.shape == dx.shape == shape
    for value in (dgamma, dbeta):
        np.testing.assert_array_equal(value, np.zeros(shape[-1]))
