"""Every wrong argument has the error that it has with Keras 3."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from bad_arguments import AT_BUILD, AT_CONSTRUCTION

import py_layernorm
from py_layernorm import registry
from py_layernorm.keras2 import LayerNormalization

X = np.ones((2, 3), dtype="float32")


def helper(**arguments):
    return py_layernorm.layer_layer_normalization(tf_keras.Input((3,)), **arguments)


@pytest.mark.parametrize("make", [LayerNormalization, helper], ids=["layer", "helper"])
@pytest.mark.parametrize(("argument", "value", "error", "expected"), AT_CONSTRUCTION)
def test_at_construction(make, argument, value, error, expected):
    with pytest.raises(error) as caught:
        make(**{argument: value})
    message = str(caught.value)
    assert message.startswith(f"{argument} must ")
    assert expected in message
    assert f"Received: {argument}=" in message
    assert f"({type(value).__name__})" in message


@pytest.mark.parametrize(
    ("argument", "value", "error", "expected"),
    [row for row in AT_CONSTRUCTION if row[0] in ("axis", "param_axis", "epsilon")],
)
def test_in_layer_norm(argument, value, error, expected):
    with pytest.raises(error, match=expected) as caught:
        py_layernorm.layer_norm(tf_keras.Input((3,)), **{argument: value})
    assert f"Received: {argument}=" in str(caught.value)


@pytest.mark.parametrize(("arguments", "shape", "message"), AT_BUILD)
def test_at_build(arguments, shape, message):
    layer = LayerNormalization(**arguments)
    before = layer.get_config()
    with pytest.raises(ValueError, match=message):
        layer.build(shape)
    assert not layer.built
    assert layer.get_config() == before
    if shape:  # Keras 2 has no symbolic tensor of rank 0
        with pytest.raises(ValueError, match=message.split(".*")[0]):
            layer(tf_keras.Input(batch_shape=shape))


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], (1, -1), [-1]], ids=str)
def test_the_axis_stays_as_it_was_passed(axis):
    layer = LayerNormalization(axis=axis, param_axis=axis)
    layer.build((None, 4, 5))
    for name in ("axis", "param_axis"):
        assert layer.get_config()[name] == axis
        assert type(layer.get_config()[name]) is type(axis)
    assert LayerNormalization.from_config(layer.get_config()).axis == axis


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3), dtype="complex64"), "must hold real numbers"),
        (np.array([["a", "b", "c"]]), "must hold real numbers"),
        (tf.ragged.constant([[1.0], [2.0, 3.0]]), r"single dense tensor.*to_tensor\(\)"),
        (tf.sparse.from_dense(X), "single dense tensor.*sparse=False"),
        (tf_keras.Input((None, 3), ragged=True), r"single dense tensor.*to_tensor\(\)"),
        (tf_keras.Input((3,), sparse=True), "single dense tensor.*sparse=False"),
        ([X], "single dense tensor"),
        (None, "single dense tensor"),
        ("x", "single dense tensor"),
    ],
    ids=[
        *("complex", "string", "ragged", "sparse", "ragged Input", "sparse Input"),
        *("list", "None", "str"),
    ],
)
def test_input_must_be_one_dense_tensor_of_real_numbers(x, message, built):
    layer = LayerNormalization()
    if built:
        layer.build((None, 3))
    with pytest.raises(TypeError, match=f"inputs {message}|inputs must be a {message}"):
        layer(x)
    assert layer.built == built
    with pytest.raises(TypeError, match=message):
        py_layernorm.layer_norm(x)


def test_gamma_and_beta_of_layer_norm():
    for argument in ("gamma", "beta"):
        with pytest.raises(ValueError, match=rf"{argument} must have the shape \(3,\)"):
            py_layernorm.layer_norm(tf_keras.Input((3,)), **{argument: np.ones(4)})


def test_epsilon_none_is_that_of_keras_2():
    tf_keras.backend.set_epsilon(1e-3)
    assert LayerNormalization(epsilon=None).epsilon == 1e-3**2
    x = tf_keras.Input((3,))
    y = py_layernorm.layer_norm(x, epsilon=None)
    assert tf_keras.Model(x, y).layers[-1].epsilon == 1e-3**2


def test_the_dtype_must_be_a_float():
    with pytest.raises(ValueError, match=r"dtype must be one of float16, .*Received: dtype=int32"):
        LayerNormalization(dtype="int32")


def test_a_layer_called_on_another_length_than_it_was_built_for():
    layer = LayerNormalization()
    layer.build((None, 4))
    with pytest.raises(ValueError, match=r"gamma must have the shape \(5,\)"):
        layer(np.ones((2, 5)))


def test_what_a_file_cannot_restore_is_warned_of_at_the_users_line():
    with pytest.warns(UserWarning, match=r"gamma_initializer.*tf_keras\.saving") as caught:
        LayerNormalization(gamma_initializer=lambda shape, dtype=None: tf.ones(shape, dtype))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("value", [tf_keras.initializers.Ones(), tf_keras.initializers.Zeros()])
def test_what_a_file_restores_is_not_warned_of(value):
    assert registry.is_restored(tf_keras, value, tf_keras.initializers.get)
    assert LayerNormalization(gamma_initializer=value).gamma_initializer is value
