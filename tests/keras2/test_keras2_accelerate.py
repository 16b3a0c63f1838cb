"""accelerate and restore on models of Keras 2."""

import importlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import py_layernorm
from py_layernorm import accelerate, restore
from py_layernorm.keras2 import LayerNormalization

KERAS_LAYER = tf_keras.layers.LayerNormalization
X = np.random.default_rng(1).normal(size=(8, 5, 6)).astype("float32")
Y = np.random.default_rng(2).normal(size=(8, 2)).astype("float32")


class Block(tf_keras.layers.Layer):
    """A composite layer, as in many models: its norm is not in the model's list of layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [KERAS_LAYER(name="inner"), tf_keras.layers.Dense(6)]

    def call(self, x):
        return x + self.parts[1](self.parts[0](x))


def make_model():
    inputs = tf_keras.Input((5, 6))
    nested = tf_keras.Sequential([tf_keras.Input((5, 6)), KERAS_LAYER(axis=[2], name="nested")])
    x = KERAS_LAYER(name="outer")(inputs)
    x = Block(name="block")(nested(x))
    x = KERAS_LAYER(axis=1, center=False, name="by_column")(x)
    x = tf_keras.layers.TimeDistributed(KERAS_LAYER(name="wrapped"))(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(tf_keras.layers.Flatten()(x)))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def classes(model):
    return [type(layer) for layer in model._flatten_layers() if isinstance(layer, KERAS_LAYER)]


def identities(model):
    return {
        "weights": list(map(id, model.weights)),
        "names": [layer.name for layer in model._flatten_layers()],
        "layers": list(map(id, model._flatten_layers())),
        "optimizer": [v.numpy().tolist() for v in model.optimizer.variables],
    }


def test_every_layer_is_reached_and_everything_else_stays():
    model = make_model()
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    model.fit(X, Y, verbose=0)
    before, predicted = identities(model), model.predict(X, verbose=0)
    report = accelerate(model)
    assert str(report).startswith("5 layers accelerated: ")
    assert not report.left
    assert classes(model) == [LayerNormalization] * 5
    assert identities(model) == before
    np.testing.assert_allclose(model.predict(X, verbose=0), predicted, rtol=1e-4, atol=1e-4)
    model.fit(X, Y, verbose=0)
    trained = model.predict(X, verbose=0)
    assert len(restore(model).changed) == 5
    assert classes(model) == [KERAS_LAYER] * 5
    np.testing.assert_allclose(model.predict(X, verbose=0), trained, rtol=1e-4, atol=1e-4)
    model.fit(X, Y, verbose=0)


def test_compiled_functions_are_made_anew(monkeypatch):
    model = make_model()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.predict(X, verbose=0)
    accelerate(model)
    called = []
    original = LayerNormalization.call
    monkeypatch.setattr(
        LayerNormalization, "call", lambda self, x: called.append(self.name) or original(self, x)
    )
    for use in (lambda: model.predict(X, verbose=0), lambda: model.fit(X, Y, verbose=0)):
        called.clear()
        use()
        assert {"outer", "inner", "nested", "by_column", "wrapped"} <= set(called)


def stack(*layers):
    return tf_keras.Sequential([tf_keras.Input((5, 6)), *layers])


def replaced(name):
    layer = KERAS_LAYER(name="norm")
    setattr(layer, name, lambda x: x)
    return layer


class Mine(KERAS_LAYER):
    pass


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: Mine(name="norm"), "Mine is a subclass with code of its own"),
        (lambda: replaced("call"), r"its call\(\) was replaced"),
        (lambda: KERAS_LAYER(name="norm", axis=[2, 1]), "Keras orders gamma and beta wrongly"),
        (lambda: KERAS_LAYER(name="norm", epsilon=-1), "epsilon must be a finite number"),
    ],
    ids=["subclass", "replaced", "order", "epsilon"],
)
def test_layers_that_are_left(layer, why):
    model = stack(layer())
    report = accelerate(model)
    assert not report.changed
    assert list(report.left) == ["norm"]
    assert why.replace("\\", "") in report.left["norm"]


def test_ours_that_kerass_layer_cannot_replace_are_left():
    model = stack(
        LayerNormalization(name="a", axis=[1, 2], param_axis=-1), LayerNormalization(name="b")
    )
    report = restore(model)
    assert report.changed == ["b"]
    assert "param_axis" in report.left["a"]


def test_input_that_ours_rejects_is_still_computed_by_keras():
    """Keras 2's layer takes ragged tensors."""
    ragged = tf.ragged.constant([[[1.0, 2.0]], [[3.0, 5.0], [6.0, 8.0]]], ragged_rank=1)
    for built in (True, False):
        model = tf_keras.Sequential([KERAS_LAYER()])
        if built:
            expected = model(ragged)
        assert accelerate(model).changed
        assert tf.reduce_max(tf.abs(model(ragged) - expected).flat_values) < 1e-6
        assert accelerate(model).changed == []


def test_ragged_input_in_the_graph_leaves_the_layer():
    inputs = tf_keras.Input((None, 2), ragged=True)
    model = tf_keras.Model(inputs, KERAS_LAYER(name="norm")(inputs))
    assert "single dense tensor" in accelerate(model).left["norm"]


# Keras 2's own layer fails in `predict` with axis=[1, 2]: "scale must be 1D tensor".
@pytest.mark.parametrize("axis", [-1, 1, [1]], ids=str)
@pytest.mark.parametrize("built", [False, True])
def test_restored_layers_compute_by_keras_code(built, axis):
    model = (
        stack(LayerNormalization(axis=axis))
        if built
        else tf_keras.Sequential([LayerNormalization(axis=axis)])
    )
    if built:
        model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.weights])
        y = model.predict(X, verbose=0)
    assert len(restore(model).changed) == 1
    if not built:
        y = stack(LayerNormalization(axis=axis)).predict(X, verbose=0)
    np.testing.assert_allclose(model.predict(X, verbose=0), y, rtol=1e-4, atol=1e-4)


def test_advice_on_xla(monkeypatch):
    monkeypatch.setattr(py_layernorm.engines, "unavailable_under_xla", lambda: "XLA is too old")
    model = stack(KERAS_LAYER())
    model.compile("sgd", "mse", jit_compile=True)
    assert "compile it again with jit_compile=False" in str(accelerate(model))


def test_the_model_must_be_one():
    for wrong in (tf_keras.layers.Dense(2), tf_keras.Model, "model", None):
        with pytest.raises(TypeError, match=r"model must be a Keras model\. Received: model="):
            accelerate(wrong)


def test_a_failure_leaves_every_layer_as_it_was(monkeypatch):
    model = make_model()
    before = classes(model)
    module = importlib.import_module("py_layernorm.accelerate")
    monkeypatch.setattr(module, "_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        accelerate(model)
    assert classes(model) == before
