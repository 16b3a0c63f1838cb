"""The values of the function and the layer, on each engine, against the float64 reference."""

import keras
import numpy as np
import pytest
import reference
from cases import CASES, TOLERANCE, Case, relative_error

import py_layernorm

INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint32"]


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_function(case, engine):
    x, gamma, beta, _ = case.arrays()
    y = py_layernorm.layer_norm(x, gamma, beta, **case.function_arguments)
    assert keras.backend.standardize_dtype(y.dtype) == case.dtype
    assert relative_error(to_numpy(y), case.expected()) <= TOLERANCE[case.dtype]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case, engine):
    x, gamma, beta, _ = case.arrays()
    layer = py_layernorm.LayerNormalization(**case.layer_arguments)
    layer.build(case.shape)
    layer.set_weights([w for w in (gamma, beta) if w is not None])
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == case.dtype
    # A half-precision policy keeps half-precision weights: the reference gets the same ones.
    gamma, beta = (None if w is None else to_numpy(w) for w in (layer.gamma, layer.beta))
    expected = reference.layer_norm(x, gamma, beta, **case.function_arguments)
    assert relative_error(to_numpy(y), expected) <= TOLERANCE[case.dtype]


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.dtype in ("float32", "float64") and 0 not in c.shape], ids=str
)
def test_gradients(case, engine):
    import tensorflow as tf

    x, gamma, beta, dy = case.arrays()
    weights = [tf.constant(w) for w in (gamma, beta) if w is not None]
    x_tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch([x_tensor, *weights])
        values = iter(weights)
        y = py_layernorm.layer_norm(
            x_tensor,
            None if gamma is None else next(values),
            None if beta is None else next(values),
            **case.function_arguments,
        )
        loss = tf.reduce_sum(y * dy)
    dx, *dweights = tape.gradient(loss, [x_tensor, *weights])
    expected_dx, dgamma, dbeta = reference.gradients(x, dy, gamma, **case.function_arguments)
    # Sums over thousands of products, each rounded; dx is a difference of such sums. A row of one
    # has dx = 0, where only the absolute error says anything.
    limit = {"float32": 2e-5, "float64": 1e-12}[case.dtype]
    assert np.abs(dx - expected_dx).max() <= limit * max(1, np.abs(expected_dx).max())
    expected = [d for d, w in ((dgamma, gamma), (dbeta, beta)) if w is not None]
    for came, wanted in zip(dweights, expected, strict=True):
        assert np.abs(came - wanted).max() <= limit * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_not_truncated(dtype, engine):
    x = (np.arange(24).reshape(4, 6) ** 2 % 7).astype(dtype)
    layer = py_layernorm.LayerNormalization()
    for y in (layer(x), py_layernorm.layer_norm(x), layer(keras.ops.convert_to_tensor(x))):
        assert keras.backend.standardize_dtype(y.dtype) == "float32"
        assert relative_error(to_numpy(y), reference.layer_norm(x)) <= TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_integers_are_converted_to_the_compute_dtype_first(dtype, engine):
    """Which rounds 257 to 256 in bfloat16: the layer sees what a cast before it would give."""
    x = np.array([[257, 258, 300, 2049], [4099, 1, 2, 8197]])
    layer = py_layernorm.LayerNormalization(dtype=dtype)
    np.testing.assert_array_equal(layer(x), layer(keras.ops.cast(x, dtype)))


def test_epsilon_none_is_the_square_of_keras_epsilon(engine):
    keras.config.set_epsilon(0.25)
    x = np.array([[1.0, 2.0, 4.0]])
    expected = reference.layer_norm(x, epsilon=0.0625)
    assert relative_error(py_layernorm.layer_norm(x, epsilon=None), expected) < 1e-14
    layer = py_layernorm.LayerNormalization(epsilon=None, dtype="float64")
    keras.config.set_epsilon(1e-7)  # read when the layer is made, not later
    assert relative_error(layer(x), expected) < 1e-14
    assert layer.get_config()["epsilon"] == 0.0625


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_statistics_in_float32(dtype, engine):
    x = Case((4, 256), offset=300.0, dtype="float32").arrays()[0]
    half = dtype.removeprefix("mixed_")
    layer = py_layernorm.LayerNormalization(dtype=dtype)
    for given in (x, keras.ops.cast(x, half)):  # an array is not converted first
        y = layer(given)
        assert keras.backend.standardize_dtype(y.dtype) == half
        assert layer.gamma.dtype == "float32"
        assert relative_error(to_numpy(y), reference.layer_norm(to_numpy(given))) <= TOLERANCE[half]


def test_float64_input_of_a_float32_layer_keeps_its_digits(engine):
    x = np.random.default_rng(0).normal(size=(4, 32)) + 1e9
    y = py_layernorm.LayerNormalization()(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    assert relative_error(to_numpy(y), reference.layer_norm(x)) <= 2e-7


@pytest.mark.parametrize("param_axis", [None, 1])
def test_weights_of_lengths_that_are_unknown_while_tracing(param_axis, engine):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None)), tf.TensorSpec((None,))])
    def traced(x, gamma):
        return py_layernorm.layer_norm(x, gamma, param_axis=param_axis)

    x = np.random.default_rng(0).normal(size=(2, 8, 8)).astype("float32")
    gamma = np.arange(8, dtype="float32")
    expected = reference.layer_norm(x, gamma, param_axis=param_axis)
    assert relative_error(traced(x, gamma), expected) <= TOLERANCE["float32"]


@pytest.mark.parametrize("param_axis", [None, 1])
@pytest.mark.parametrize("length", [1, 7])
def test_weights_that_turn_out_to_be_of_another_length(length, param_axis, engine):
    """Where no length is known while tracing; one weight is not spread over a whole row."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None)), tf.TensorSpec((None,))])
    def traced(x, gamma):
        return py_layernorm.layer_norm(x, gamma, param_axis=param_axis)

    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(np.ones((2, 8, 8), "float32"), np.ones(length, "float32"))


def test_in_a_tf_function_with_unknown_lengths(engine):
    import tensorflow as tf

    layer = py_layernorm.LayerNormalization()
    layer.build((None, None, 8))
    compiled = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 8))])
    x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    assert relative_error(compiled(x), reference.layer_norm(x)) <= TOLERANCE["float32"]
