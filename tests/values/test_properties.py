"""Properties that hold for every input, each tested on a thousand inputs with Hypothesis."""

import numpy as np
import reference
import ulps
from cases import engines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import py_layernorm

EXAMPLES = 1000
# Two results may each be off by the limit.
LIMIT = 2 * ulps.LIMIT["float32"]

# Eighths up to 1,000: sums with the like are exact in float32.
EIGHTHS = st.integers(-8000, 8000).map(lambda number: number / 8)
X = st.tuples(st.integers(1, 3), st.integers(1, 19)).flatmap(
    lambda shape: arrays("float32", shape, elements=EIGHTHS)
)
EPSILON = st.sampled_from([1e-7, 1e-3, 0.5])


def holds(check, *strategies, on=None):
    """Run `check` on EXAMPLES examples, the same ones each time, with each engine, and count."""
    passed = dict.fromkeys(on or engines(), 0)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*strategies))
    def run(example):
        for engine in passed:
            with py_layernorm.use_engine(engine):
                check(*example)
            passed[engine] += 1

    run()
    assert min(passed.values()) >= EXAMPLES


def norm(x, **keywords):
    return py_layernorm.layer_norm(x, **keywords).numpy()


def agree(y, wanted, x, epsilon):
    """Within the roundings of both, x being what one of them was computed of."""
    size = reference.sizes(x, np.zeros_like(x), epsilon=epsilon)[0]
    assert (np.abs(y.astype("float64") - wanted) <= LIMIT * ulps.ULP["float32"] * size).all()


def test_shifts():
    def check(x, shift, epsilon):
        agree(norm(x + np.float32(shift), epsilon=epsilon), norm(x, epsilon=epsilon), x, epsilon)

    holds(check, X, EIGHTHS, EPSILON)


def test_scales():
    """By a power of two, with epsilon scaled by its square: bit for bit."""

    def check(x, power, epsilon):
        scale = 2.0**power
        scaled = norm(x * np.float32(scale), epsilon=epsilon * scale**2)
        np.testing.assert_array_equal(scaled, norm(x, epsilon=epsilon))

    holds(check, X, st.integers(-20, 20), EPSILON)


def test_permutations_of_the_features():
    def check(x, random, epsilon):
        order = list(range(x.shape[1]))
        random.shuffle(order)
        agree(norm(x[:, order], epsilon=epsilon), norm(x, epsilon=epsilon)[:, order], x, epsilon)

    holds(check, X, st.randoms(use_true_random=False), EPSILON)


def test_rows_are_independent():
    """Bit for bit, whatever the other rows hold, NaN and infinity included."""

    def check(x, other, epsilon):
        among = [np.full((2 * len(x) + 1, x.shape[1]), np.float32(o)) for o in (1, other)]
        for mixed in among:
            mixed[1::2] = x
        one, two = (norm(mixed, epsilon=epsilon)[1::2] for mixed in among)
        np.testing.assert_array_equal(one, two)

    holds(check, X, st.floats(width=32), EPSILON)


def test_engines_are_equal():
    """Within the roundings of both, values and gradients."""

    def check(x, dy, epsilon):
        dy = np.resize(np.float32(dy), x.shape)
        gamma = np.linspace(-1, 2, x.shape[1], dtype="float32")
        came = ulps.run(x, dy, gamma, gamma, epsilon=epsilon)
        with py_layernorm.use_engine("portable"):
            wanted = ulps.run(x, dy, gamma, gamma, epsilon=epsilon)
        sizes = reference.sizes(x, dy, gamma, gamma, epsilon=epsilon)
        for value, value_wanted, size in zip(came, wanted, sizes, strict=True):
            off = np.abs(value.numpy().astype("float64") - value_wanted)
            assert (off <= LIMIT * ulps.ULP["float32"] * size).all()

    holds(check, X, st.lists(EIGHTHS, min_size=1, max_size=9), EPSILON, on=["auto"])
