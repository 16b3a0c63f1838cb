"""Canaries: each private name of Keras 2 that this package uses is still there."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from py_layernorm import keras2_internals, keras_internals, rollback


def test_is_keras_tensor():
    assert keras2_internals.is_symbolic(tf_keras.Input((3,)))
    assert keras2_internals.is_symbolic(tf_keras.Input((None, 3), ragged=True))
    for value in (tf.constant(1.0), np.ones(2), None, tf_keras.layers.Dense(2), tf_keras):
        assert not keras2_internals.is_symbolic(value)


def test_model_is_compiled():
    model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
    assert model._is_compiled is False
    assert not keras2_internals.is_compiled(model)
    model.compile("sgd", "mse")
    assert keras2_internals.is_compiled(model)


def test_functional():
    x = tf_keras.Input((3,))
    assert type(tf_keras.Model(x, x)) is keras2_internals.functional_class()


def test_functional_is_gone(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf_keras.src.engine.functional", None)
    assert keras2_internals.functional_class() is None


def test_backend_unique_object_name(monkeypatch):
    tf_keras.backend.clear_session()
    new_name = keras_internals.new_name
    assert new_name(tf_keras, "LayerNormalization", ()) == "layer_normalization"
    taken = {"layer_normalization_1", "layer_normalization_2"}
    assert new_name(tf_keras, "LayerNormalization", taken) == "layer_normalization_3"
    assert tf_keras.layers.LayerNormalization().name == "layer_normalization_4"
    monkeypatch.setitem(__import__("sys").modules, "tf_keras.src.backend", None)
    assert new_name(tf_keras, "LayerNormalization", ()) is None


def test_layers_within_layers():
    inner = tf_keras.layers.Dense(2)
    wrapped = tf_keras.layers.TimeDistributed(inner)
    model = tf_keras.Sequential([wrapped])
    assert keras_internals.flatten_layers(model) == [model, wrapped, inner]
    assert keras_internals.sublayers(model) == [wrapped]
    assert keras_internals.sublayers(wrapped) == [inner]


def test_node_keras_inputs():
    layer = tf_keras.layers.Dense(2)
    inputs = [tf_keras.Input((3,)), tf_keras.Input((4, 3))]
    for tensor in inputs:
        layer(tensor)
    found = keras_internals.symbolic_inputs(layer)
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in inputs]


def test_compiled_functions_can_be_forgotten():
    model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = np.ones((2, 3)), np.ones((2, 2))
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    names = ("train_function", "test_function", "predict_function", "train_tf_function")
    assert all(callable(getattr(model, name)) for name in names)
    keras_internals.forget_compiled_functions(model)
    assert [getattr(model, name) for name in names] == [None] * 4
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("name", ["call", "build", "__call__"])
def test_the_code_of_a_layer_is_keras_own(name):
    """What tells a method that somebody replaced from Keras's own, wrapped by Keras."""
    method = getattr(tf_keras.layers.LayerNormalization(), name)
    assert getattr(method, "__func__", method).__globals__["__name__"].startswith("tf_keras.")


def test_what_holds_lists_and_dicts():
    """A layer's lists, dicts and counts of references are put back when a change is undone."""
    layer = tf_keras.layers.Dense(2)
    layer.list, layer.dict = [1], {"a": 1}
    kinds = [type(layer.list), type(layer.dict), type(layer._obj_reference_counts)]
    assert [kind.__name__ for kind in kinds] == list(keras2_internals.HELD_IN)
    memory = rollback.Memory(layer)
    layer.list.append(2)
    layer.dict["b"] = 2
    layer.part = tf_keras.layers.Dense(3)
    counted = len(layer._obj_reference_counts)
    memory.restore()
    assert (list(layer.list), dict(layer.dict)) == ([1], {"a": 1})
    assert len(layer._obj_reference_counts) == counted - 1
    assert not hasattr(layer, "part")
