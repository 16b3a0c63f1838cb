"""The native op called directly with what does not fit: an error, never a read out of bounds."""

import numpy as np
import pytest
import tensorflow as tf

from py_layernorm import engines
from py_layernorm.engines import tensorflow

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5)).astype("float32")
GAMMA, BETA = RANDOM.normal(size=(2, 5)).astype("float32")


def call(x=X, params=(GAMMA, BETA), scale=True, begin=1, end=2, bits=0, stats=1, more=()):
    return tensorflow.load().py_layernorm(
        x=tf.constant(x),
        params=list(map(tf.constant, params)),
        S=stats,
        settings=[begin, end, bits, int(scale), *more],
    )


NEGATIVE = int(np.array(-1.0).view("int64"))
NAN = int(np.array(np.nan).view("int64"))

WRONG = [
    {"params": (GAMMA[:4], BETA)},
    {"params": (GAMMA, BETA[:4])},
    {"params": (np.ones((5, 2), "float32"), BETA)},
    {"params": (np.float32(1), BETA)},
    {"stats": 2},
    {"stats": -1},
    {"params": ()},
    {"params": (GAMMA, BETA, BETA)},
    {"params": (GAMMA, BETA), "scale": False},
    {"params": (GAMMA, BETA), "scale": False, "stats": 0},
    {"params": (GAMMA.astype("float64"), BETA.astype("float64"))},
    {"x": X.astype("float64")},
    {"x": np.float32(1.0)},
    {"begin": -1},
    {"begin": 2, "end": 2},
    {"begin": 2, "end": 1},
    {"end": 3},
    {"begin": 0, "end": 2},
    {"begin": 2**40, "end": 2**40 + 1},
    {"bits": NEGATIVE},
    {"bits": NAN},
    {"scale": 2},
    {"scale": -1},
    {"more": [0]},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_the_op_refuses_what_does_not_fit(wrong):
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(**wrong)


def test_lengths_whose_product_no_tensor_can_have_are_refused():
    """Beside a length of 0 they are a tensor like any other; its dbeta could not be."""
    none = tf.zeros((2, 0), tf.float64)
    for length in (2**40, 2**30):  # the product of two is beyond 64 bits, and within them
        x = tf.zeros((0, length, length))
        with pytest.raises(tf.errors.InvalidArgumentError, match="at most"):
            call_gradient(dy=x, x=x, gamma=[], stats=none, settings=[1, 3, 0, 0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at most 2\^58 rows"):
        call(tf.zeros((2**29, 2**30, 0)), (), False, begin=2, end=3)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        call(tf.zeros((2**40, 0)), (), False)


@pytest.mark.parametrize("n", [5, 0])
def test_statistics_are_an_output_only_where_they_are_asked_for(n):
    x, params = X[:, :n], (GAMMA[:n], BETA[:n])
    y, (stats,) = call(x, params)
    alone, nothing = call(x, params, stats=0)
    assert not nothing
    np.testing.assert_array_equal(y, alone)
    assert stats.shape == (2, 6)


@pytest.mark.parametrize("scale", [True, False])
def test_one_weight_is_gamma_or_beta(scale):
    y, plain = call(params=(GAMMA,), scale=scale).y, call(params=(), scale=False).y
    np.testing.assert_array_equal(y, plain * GAMMA if scale else plain + GAMMA)


def call_gradient(**wrong):
    arguments = {
        "dy": X,
        "x": X,
        "gamma": [GAMMA],
        "stats": np.ones((2, 6)),
        "center": True,
        "settings": [1, 2, 0, 1],
        "G": tf.float32,
        **wrong,
    }
    for name in ("dy", "x", "stats"):  # an array would be given the dtype that is due
        arguments[name] = tf.constant(arguments[name])
    arguments["gamma"] = list(map(tf.constant, arguments["gamma"]))
    return tensorflow.load().py_layernorm_grad(**arguments)


WRONG_GRADIENT = [
    {"dy": X[:5]},
    {"dy": X[:, :4]},
    {"dy": X.reshape(5, 6)},
    {"gamma": [GAMMA[:3]]},
    {"gamma": [GAMMA, GAMMA]},
    {"gamma": [GAMMA.astype("float64")]},
    {"dy": X.astype("float64")},
    {"x": X.astype("float16")},
    {"stats": np.ones((2, 6), "float32")},
    {"x": np.float32(1.0), "dy": np.float32(1.0)},
    {"G": tf.float64},
    {"stats": np.ones((2, 5))},
    {"stats": np.ones((2, 7))},
    {"stats": np.ones((1, 6))},
    {"stats": np.ones((6, 2))},
    {"stats": np.ones(12)},
    {"settings": [1, 2, NEGATIVE, 1]},
    {"settings": [1, 2, NAN, 1]},
    {"settings": [0, 1, 0, 1]},
    {"settings": [-1, 2, 0, 1]},
    {"settings": [1, 5, 0, 1]},
    {"settings": [1, 2, 0, 2]},
    {"settings": [1, 2, 0]},
    {"settings": []},
]


@pytest.mark.parametrize("wrong", WRONG_GRADIENT, ids=str)
def test_the_gradient_op_refuses_what_does_not_fit(wrong):
    with pytest.raises(tf.errors.InvalidArgumentError):
        call_gradient(**wrong)


def test_the_gradient_op_takes_what_fits():
    assert [t.shape for t in call_gradient()] == [(6, 5), (5,), (5,)]
