"""Which Keras serves: by the objects of a call, by the process's setting, and never both."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import py_layernorm
from py_layernorm import which_keras
from py_layernorm.keras2 import LayerNormalization

X = np.ones((2, 3), dtype="float32")


def sequential(which):
    return which.Sequential([which.Input((3,))])


OF_KERAS_2 = {
    "input": lambda: tf_keras.Input((3,)),
    "output": lambda: tf_keras.layers.Dense(2)(tf_keras.Input((3,))),
    "sequential": lambda: sequential(tf_keras),
}
OF_KERAS_3 = {
    "input": lambda: keras.Input((3,)),
    "variable": lambda: keras.Variable(X),
    "sequential": lambda: sequential(keras),
}
BOTH = r"of Keras [23] \((tf_)?keras\).*Keras [23] \((tf_)?keras\).*Received: "


@pytest.mark.parametrize("make", OF_KERAS_2.values(), ids=OF_KERAS_2)
def test_objects_of_keras_2_get_its_layer(make):
    thing = make()
    result = py_layernorm.layer_layer_normalization(thing)
    assert which_keras.of(result) is tf_keras
    if isinstance(result, tf_keras.Sequential):
        assert result is thing
        assert type(result.layers[-1]) is LayerNormalization
        assert isinstance(result.layers[-1], tf_keras.layers.LayerNormalization)
    else:
        model = tf_keras.Model(tf_keras.utils.get_source_inputs(thing), result)
        assert [w.name.split("/")[-1] for w in model.layers[-1].weights] == ["gamma:0", "beta:0"]
        assert model(X).shape == (2, result.shape[-1])


@pytest.mark.parametrize("make", OF_KERAS_3.values(), ids=OF_KERAS_3)
def test_objects_of_keras_3_get_its_layer(make):
    result = py_layernorm.layer_layer_normalization(make())
    assert which_keras.of(result) is not tf_keras


def test_without_an_object_the_layer_is_of_keras_3():
    for call in (py_layernorm.layer_layer_normalization, py_layernorm.LayerNormalization):
        assert isinstance(call(), keras.layers.LayerNormalization)
    assert which_keras.default() is keras


@pytest.mark.parametrize("two", OF_KERAS_2.values(), ids=OF_KERAS_2)
@pytest.mark.parametrize("three", OF_KERAS_3.values(), ids=OF_KERAS_3)
def test_the_two_are_never_mixed_in_compose_layer(two, three):
    two, three = two(), three()
    model = two if isinstance(two, tf_keras.Sequential) else None
    with pytest.raises(TypeError, match=f"object and layer must be objects of the same.*{BOTH}"):
        py_layernorm.compose_layer(two, keras.layers.Dense(2))
    with pytest.raises(TypeError, match=f"object and layer must be objects of the same.*{BOTH}"):
        py_layernorm.compose_layer(three, tf_keras.layers.Dense(2))
    assert model is None or not model.layers


@pytest.mark.parametrize(
    "call",
    [
        lambda: py_layernorm.LayerNormalization()(tf_keras.Input((3,))),
        lambda: LayerNormalization()(keras.Input((3,))),
        lambda: LayerNormalization()(keras.Variable(X)),
        lambda: py_layernorm.layer_norm(tf_keras.Input((3,)), keras.Variable(X[0])),
        lambda: py_layernorm.layer_norm(keras.Input((3,)), tf_keras.Input(batch_shape=(3,))),
        lambda: py_layernorm.layer_norm(X, keras.Variable(X[0]), tf_keras.Input(batch_shape=(3,))),
        lambda: LayerNormalization(gamma_initializer=keras.initializers.Ones()),
        lambda: LayerNormalization(gamma_initializer=keras.initializers.Ones),
        lambda: LayerNormalization(beta_regularizer=keras.regularizers.L2(0.1)),
        lambda: LayerNormalization(dtype=keras.DTypePolicy("mixed_float16")),
        lambda: LayerNormalization(activity_regularizer=keras.regularizers.L2(0.1)),
        lambda: py_layernorm.LayerNormalization(gamma_constraint=tf_keras.constraints.NonNeg()),
        lambda: py_layernorm.LayerNormalization(
            dtype=tf_keras.mixed_precision.Policy("mixed_float16")
        ),
        lambda: py_layernorm.layer_layer_normalization(
            sequential(tf_keras), beta_initializer=keras.initializers.Ones()
        ),
        lambda: py_layernorm.layer_layer_normalization(
            keras.Input((3,)), beta_initializer=tf_keras.initializers.Ones()
        ),
    ],
)
def test_the_two_are_never_mixed(call):
    with pytest.raises(TypeError, match=BOTH):
        call()


def test_tensors_of_neither_take_either_layer():
    for layer in (keras.layers.Dense(2), tf_keras.layers.Dense(2)):
        assert py_layernorm.compose_layer(tf.constant(X), layer).shape == (2, 2)
        assert py_layernorm.compose_layer(None, layer) is layer


def test_a_class_that_only_looks_like_keras_2s():
    fake = type("Sequential", (), {"__module__": "tf_keras_of_mine.sequential"})
    assert which_keras.of(fake()) is None
    with pytest.raises(TypeError, match="object must be None"):
        py_layernorm.layer_layer_normalization(fake())


def test_keras_3_must_run_on_tensorflow_too(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    x, model = tf_keras.Input((3,)), sequential(tf_keras)
    model.add(tf_keras.layers.LayerNormalization())
    for call in (
        LayerNormalization,
        lambda: py_layernorm.layer_layer_normalization(x),
        lambda: py_layernorm.layer_norm(x),
        lambda: py_layernorm.layer_layer_normalization(model),
        lambda: py_layernorm.accelerate(model),
    ):
        with pytest.raises(RuntimeError, match=r"must run on TensorFlow.*Received: KERAS_B.*=jax"):
            call()
    assert len(model.layers) == 1
