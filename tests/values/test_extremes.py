"""Values at the ends of what the dtypes hold, and rows that are not finite."""

import ml_dtypes
import numpy as np
import pytest
import reference
import ulps
from cases import to_dtype

import py_layernorm

SHAPES = [((6, 37), 1), ((3, 37, 5), 1), ((6, 4, 9), (1, 2)), ((4, 3, 5), (0, 2))]


def data(shape, dtype, axis=-1, seed=0):
    random = np.random.default_rng(seed)
    x, dy = (random.normal(size=shape) for _ in range(2))
    lengths = [shape[a] for a in reference.resolve(axis, len(shape))]
    gamma, beta = random.normal(size=(2, *lengths)).astype(
        "float64" if dtype == "float64" else "float32"
    )
    return x, to_dtype(dy, dtype), gamma, beta


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_a_row_that_is_not_finite_changes_no_other(shape, axis, dtype, bad, engine):
    x, dy, gamma, beta = data(shape, dtype, axis)
    x = to_dtype(x, dtype)
    y, dx, *_ = (t.numpy() for t in ulps.run(x, dy, gamma, beta, axis=axis))
    axes = reference.resolve(axis, len(shape))
    for place in (0, 2):  # the first element of all, and one within: the shortest axis has 3
        spoilt = x.copy()
        spoilt[(place,) * len(shape)] = bad
        # Which elements are in the row: those that share its indices along the other axes.
        row = tuple(slice(None) if a in axes else place for a in range(len(shape)))
        others = np.ones(shape, bool)
        others[row] = False
        came = [t.numpy() for t in ulps.run(spoilt, dy, gamma, beta, axis=axis)]
        for before, after in zip((y, dx), came, strict=False):
            np.testing.assert_array_equal(after[others], before[others])
            assert np.isnan(after[row].astype("float64")).all()


@pytest.mark.parametrize("dtype", ulps.ULP)
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_constant_rows_give_exactly_beta(shape, axis, dtype, engine):
    _, dy, gamma, beta = data(shape, dtype, axis)
    axes = reference.resolve(axis, len(shape))
    rows = [1 if a in axes else n for a, n in enumerate(shape)]
    lengths = [n if a in axes else 1 for a, n in enumerate(shape)]
    wanted = np.broadcast_to(to_dtype(beta, dtype).reshape(lengths), shape)
    for size in (0.0, 1e-4, 1.0, 1e3, 6e4, float(ml_dtypes.finfo(dtype).max)):
        level = to_dtype(size * np.random.default_rng(1).uniform(0.5, 1, rows), dtype)
        x = np.ascontiguousarray(np.broadcast_to(level, shape))
        y, _, dgamma, _ = ulps.run(x, dy, gamma, beta, axis=axis)
        np.testing.assert_array_equal(y, wanted)
        assert not np.any(dgamma)


def run_at(dtype, scale, offset, epsilon):
    """The faults of rows of 3 to 300 numbers at that scale and offset."""
    faults = []
    for n in (3, 64, 300):
        x, dy, gamma, beta = data((16, n), dtype)
        x = to_dtype(scale * x + offset, dtype)
        came = ulps.run(x, dy, gamma, beta, epsilon=epsilon)
        faults.append(ulps.faults(came, ulps.expected(x, dy, gamma, beta, epsilon=epsilon)))
    return [found for found in faults if found]


@pytest.mark.parametrize("offset", [1.0, -1e2, 1e4, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_offsets(dtype, offset, engine):
    assert not run_at(dtype, 1.0, offset, 1e-3)


# float32 cannot hold the squares of numbers beyond about 1e18, nor, where epsilon is 0, of those
# below 1e-18. The fused engine scales such rows; stock ops would take a fifth longer for all rows.
def beyond_the_portable_engine(dtype, scale, epsilon):
    return dtype != "float64" and (scale > 1e17 or (scale < 1e-17 and epsilon == 0))


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
@pytest.mark.parametrize("scale", [10.0**power for power in range(-30, 31, 6)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_scales(dtype, scale, epsilon, engine):
    faults = run_at(dtype, scale, 0.0, epsilon)
    limited = engine == "portable" and beyond_the_portable_engine(dtype, scale, epsilon)
    assert bool(faults) == limited, faults  # what docs/guide.md says of the limit is still true


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_scales_of_float64(scale, engine):
    faults = run_at("float64", scale, 0.0, 0.0)
    assert bool(faults) == (engine == "portable"), faults  # the same limit, in float64


def test_beyond_the_limit_other_rows_are_right(engine):
    x, dy, gamma, beta = data((4, 37), "float32")
    wanted = ulps.run(to_dtype(x, "float32"), dy, gamma, beta)
    x[2] *= 1e30
    came = ulps.run(to_dtype(x, "float32"), dy, gamma, beta)
    for value, value_wanted in zip(came[:2], wanted[:2], strict=True):
        np.testing.assert_array_equal(np.delete(value, 2, 0), np.delete(value_wanted, 2, 0))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_subnormals(dtype, engine):
    """TensorFlow's own ops take them for 0: right to the smallest normal number."""
    x, dy, gamma, beta = data((16, 37), dtype)
    x = to_dtype(1e-39 * x, dtype)
    assert 0 < np.abs(x.astype("float64")).max() < 1.2e-38
    y = ulps.run(x, dy, gamma, None)[0].numpy().astype("float64")
    assert np.abs(y - reference.layer_norm(x, gamma)).max() <= 1.2e-38 * 32 * np.abs(gamma).max()
    y, dx, *_ = ulps.run(x, dy, gamma, beta)
    assert not ulps.faults((y, dx, None, None), ulps.expected(x, dy, gamma, beta))
    if engine == "fused":
        y = ulps.run(x, dy, gamma, beta, epsilon=0.0)[0]
        wanted = ulps.expected(x, dy, gamma, beta, epsilon=0.0)
        assert not ulps.faults((y, None, None, None), wanted)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_float16_subnormals(epsilon, engine):
    x, dy, gamma, beta = data((16, 37), "float16")
    x = to_dtype(1e-5 * x, "float16")
    arguments = (x, to_dtype(1e-3 * dy, "float16"), gamma, beta)
    came = ulps.run(*arguments, epsilon=epsilon)
    if epsilon == 0:
        came = (came[0], None, *came[2:])  # dx is beyond float16
    assert not ulps.faults(came, ulps.expected(*arguments, epsilon=epsilon))


def test_float16_at_its_end(engine):
    """Numbers near 65504, whose sums and squares float16 cannot hold, and y's up to there."""
    random = np.random.default_rng(0)
    for n in (2, 37, 512):
        x = to_dtype(random.choice([-1, 1], (8, n)) * random.uniform(5e4, 65504, (8, n)), "float16")
        x[:, 0] = 65504
        dy = to_dtype(random.normal(size=(8, n)), "float16")
        gamma = random.uniform(0, 65504 / np.sqrt(n), n).astype("float32")
        arguments = (x, dy, gamma, np.zeros(n, "float32"))
        assert not ulps.faults(ulps.run(*arguments), ulps.expected(*arguments))
    beyond = py_layernorm.layer_norm(x, np.full(n, 65504 * 4, "float32")).numpy()
    assert set(np.unique(beyond)) == {-np.inf, np.inf}
