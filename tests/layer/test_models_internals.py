"""The private names of Keras that models need. A test that fails here names what Keras changed."""

import keras
import numpy as np
import pytest

from py_layernorm import keras_internals


class Composite(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(2, name="part")]

    def build(self, shape):
        self.parts[0].build(shape)

    def call(self, x):
        return self.parts[0](x)


def test_layer_flatten_layers():
    inner = Composite()
    model = keras.Sequential([inner])
    assert keras_internals.flatten_layers(model) == [model, inner, inner.parts[0]]


def test_layer_flatten_layers_is_gone(monkeypatch):
    """Composite layers are then not seen into, and nothing fails."""
    inner, nested = Composite(), keras.Sequential([keras.layers.Dense(2)])
    model = keras.Sequential([inner, nested, inner])
    monkeypatch.delattr(keras.layers.Layer, "_flatten_layers")
    assert keras_internals.flatten_layers(model) == [model, inner, nested, *nested.layers]


def test_layer_layers():
    inner = Composite()
    assert keras_internals.sublayers(inner) == inner.parts
    model = keras.Sequential([keras.Input((3,)), inner])
    assert keras_internals.sublayers(model)[1:] == [inner]
    assert isinstance(keras_internals.sublayers(model)[0], keras.layers.InputLayer)


def test_layer_tracker():
    stored = keras_internals.tracker(Composite()).stored_ids
    assert len(stored["layers"]) == 1


def test_layer_inbound_nodes():
    layer = keras.layers.Dense(2)
    inputs = [keras.Input((3,)), keras.Input((4, 3))]
    for tensor in inputs:
        layer(tensor)
    assert all(a is b for a, b in zip(keras_internals.symbolic_inputs(layer), inputs, strict=True))


def test_model_train_test_and_predict_function():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = np.ones((2, 3)), np.ones((2, 2))
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    names = ("train_function", "test_function", "predict_function")
    assert all(callable(getattr(model, name)) for name in names)
    keras_internals.forget_compiled_functions(model)
    assert [getattr(model, name) for name in names] == [None] * 3
    model.fit(x, y, verbose=0)


def test_naming_auto_name(monkeypatch):
    keras.backend.clear_session()
    assert keras_internals.new_name(keras, "LayerNormalization", ()) == "layer_normalization"
    taken = {"layer_normalization_1", "layer_normalization_2"}
    assert keras_internals.new_name(keras, "LayerNormalization", taken) == "layer_normalization_3"
    assert keras.layers.LayerNormalization().name == "layer_normalization_4"
    monkeypatch.setitem(__import__("sys").modules, "keras.src.utils.naming", None)
    assert keras_internals.new_name(keras, "LayerNormalization", ()) is None


@pytest.mark.parametrize("name", ["call", "build", "__call__"])
def test_the_code_of_a_layer_is_keras_own(name):
    """What tells a method that somebody replaced from Keras's own, wrapped by Keras."""
    method = getattr(keras.layers.LayerNormalization(), name)
    assert getattr(method, "__func__", method).__globals__["__name__"].startswith("keras.")
