"""Every wrong argument has its error: which argument, what was expected, what came."""

import keras
import numpy as np
import pytest
from bad_arguments import AT_BUILD, AT_CONSTRUCTION

import py_layernorm

LAYER, HELPER = py_layernorm.LayerNormalization, py_layernorm.layer_layer_normalization
X = np.ones((2, 3), dtype="float32")


@pytest.mark.parametrize("make", [LAYER, HELPER], ids=["layer", "helper"])
@pytest.mark.parametrize(("argument", "value", "error", "expected"), AT_CONSTRUCTION)
def test_at_construction(make, argument, value, error, expected):
    with pytest.raises(error) as caught:
        make(**{argument: value})
    message = str(caught.value)
    assert message.startswith(f"{argument} must ")
    assert expected in message
    assert f"Received: {argument}=" in message
    assert f"({type(value).__name__})" in message


def in_layer_norm(argument):
    return argument in ("axis", "param_axis", "epsilon")


@pytest.mark.parametrize(
    ("argument", "value", "error", "expected"),
    [row for row in AT_CONSTRUCTION if in_layer_norm(row[0])],
)
@pytest.mark.parametrize("x", [X, keras.Input((3,))], ids=["array", "symbolic"])
def test_in_layer_norm(x, argument, value, error, expected):
    with pytest.raises(error, match=expected) as caught:
        py_layernorm.layer_norm(x, **{argument: value})
    assert f"Received: {argument}=" in str(caught.value)


def test_rms_scaling_is_another_layer():
    with pytest.raises(ValueError, match=r"rms_scaling must be False.*RMSNormalization"):
        LAYER(rms_scaling=True)
    for value in ("no", 0, [], None):
        with pytest.raises(TypeError, match=r"rms_scaling must be True or False.*Received: rms_"):
            LAYER(rms_scaling=value)
    assert LAYER(rms_scaling=False).get_config()["axis"] == -1


def test_name_must_be_a_string():
    with pytest.raises(ValueError, match="`name` must be a string"):
        LAYER(name=3)


def test_an_unknown_argument_is_named():
    with pytest.raises((TypeError, ValueError), match="epsilom"):
        LAYER(epsilom=1e-3)


@pytest.mark.parametrize(("arguments", "shape", "message"), AT_BUILD)
def test_at_build(arguments, shape, message):
    layer = LAYER(**arguments)
    before = layer.get_config()
    with pytest.raises(ValueError, match=message):
        layer.build(shape)
    assert not layer.built
    assert layer.get_config() == before
    with pytest.raises(ValueError, match=message.split(".*")[0]):
        layer(keras.KerasTensor(shape))


def test_an_unknown_length_is_fine_without_weights():
    x = keras.Input((None, 4))
    assert LAYER(axis=1, center=False, scale=False)(x).shape == (None, None, 4)


NOT_REAL = {
    "complex": np.ones((2, 3), dtype="complex64"),
    "string": np.array([["a", "b"]]),
    "object": np.array([[None, 1]], dtype=object),
    "symbolic string": keras.KerasTensor((2, 3), dtype="string"),
    "symbolic complex": keras.KerasTensor((2, 3), dtype="complex64"),
}


@pytest.mark.parametrize("x", NOT_REAL.values(), ids=NOT_REAL)
@pytest.mark.parametrize(
    "call",
    [
        lambda x: LAYER()(x),
        lambda x: LAYER(center=False, scale=False)(x),
        py_layernorm.layer_norm,
        HELPER,
    ],
    ids=["layer", "bare layer", "function", "helper"],
)
def test_input_must_hold_real_numbers(call, x):
    with pytest.raises((TypeError, ValueError), match=r"must hold real numbers|Failed to convert"):
        call(x)


@pytest.mark.parametrize("x", [None, [1.0, 2.0], "x", 1.0, {"x": 1}])
def test_layer_norm_wants_an_array(x):
    with pytest.raises(TypeError, match=r"x must be a single dense tensor.*Received: x="):
        py_layernorm.layer_norm(x)


@pytest.mark.parametrize("x", [X, keras.Input(shape=(3,))], ids=["array", "symbolic"])
@pytest.mark.parametrize("argument", ["gamma", "beta"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(4), ValueError, r"must have the shape \(3,\).*of shape \(4,\)"),
        (np.ones((1, 3)), ValueError, r"must have the shape \(3,\).*of shape \(1, 3\)"),
        (np.ones(()), ValueError, r"must have the shape \(3,\).*of shape \(\)"),
        ([1.0, 1.0, 1.0], TypeError, "must be a single dense tensor or NumPy array or None"),
        (2.0, TypeError, "must be a single dense tensor or NumPy array or None"),
        (np.ones(3, dtype="complex64"), TypeError, "must hold real numbers"),
    ],
)
def test_gamma_and_beta_of_layer_norm(x, argument, value, error, message):
    with pytest.raises(error, match=f"{argument} {message}"):
        py_layernorm.layer_norm(x, **{argument: value})


@pytest.mark.parametrize("call", [lambda x: LAYER()(x), py_layernorm.layer_norm])
@pytest.mark.parametrize("kind", ["ragged", "sparse", "masked", "list", "dict"])
def test_input_must_be_one_dense_tensor(call, kind):
    import tensorflow as tf

    x = {
        "ragged": lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]),
        "sparse": lambda: tf.sparse.from_dense(X),
        "masked": lambda: np.ma.masked_array(X, X > 0),
        "list": lambda: [tf.constant(X)],
        "dict": lambda: {"a": tf.constant(X)},
    }[kind]()
    with pytest.raises(TypeError, match=r"must be a single dense tensor or NumPy array"):
        call(x)


@pytest.mark.parametrize("argument", ["gamma", "beta"])
def test_gamma_and_beta_must_be_dense(argument, engine):
    import tensorflow as tf

    for value in (tf.sparse.from_dense(X[0]), np.ma.masked_array(X[0], X[0] > 0)):
        with pytest.raises(TypeError, match=f"{argument} must be .* dense.*Received"):
            py_layernorm.layer_norm(X, **{argument: value})


def test_a_built_layer_does_not_fit_another_model():
    layer = LAYER()
    layer.build((None, 7))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"gamma must have the shape \(3,\).*of shape \(7,\)"):
        py_layernorm.compose_layer(model, layer)
    assert model.predict(X, verbose=0).shape == (2, 3)


def test_the_dtype_must_be_a_float():
    with pytest.raises(ValueError, match=r"dtype must be one of float16, .*Received: dtype=int32"):
        LAYER(dtype="int32")


def test_a_rank_that_is_unknown():
    import tensorflow as tf

    function = tf.function(py_layernorm.layer_norm, input_signature=[tf.TensorSpec(None)])
    with pytest.raises(ValueError, match="x must have a known rank"):
        function(np.ones((2, 3)))


def test_a_layer_called_on_another_length_than_it_was_built_for():
    layer = LAYER()
    layer.build((None, 4))
    with pytest.raises(ValueError, match=r"gamma must have the shape \(5,\)"):
        layer(np.ones((2, 5)))


@pytest.mark.parametrize("name", ["Auto", "", "native", None, 1, ["auto"]])
def test_use_engine_wants_a_known_name(name):
    before = py_layernorm.engines.get_engine()
    with pytest.raises(ValueError, match=r"must be one of auto, fused, portable.*Received"):
        py_layernorm.use_engine(name)
    assert py_layernorm.engines.get_engine() == before


def test_a_value_that_cannot_be_printed_is_still_an_error_that_names_the_argument():
    for value in (10**5000, -(10**5000)):
        with pytest.raises(ValueError, match=r"axis must lie.*a value that cannot be printed"):
            py_layernorm.layer_norm(np.ones((2, 3)), axis=value)
