"""Keras 2's files come back with the same numbers, also in a new process; weights both ways."""

import json
import pickle
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import py_layernorm
from py_layernorm.keras2 import LayerNormalization

SHAPE = (3, 4)
X = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # Keras's layers add in another order from model to model


def filled(model):
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def sequential():
    return filled(
        tf_keras.Sequential(
            [
                tf_keras.Input(SHAPE),
                LayerNormalization(axis=[1, 2], param_axis=-1, epsilon=0.5),
                LayerNormalization(axis=(1, 2), gamma_regularizer="l2", dtype="float64"),
                LayerNormalization(axis=1, center=False, beta_constraint="non_neg"),
            ]
        )
    )


def functional():
    x = tf_keras.Input(SHAPE)
    y = py_layernorm.layer_norm(x, np.arange(4.0) + 1.0, axis=-1, epsilon=None)
    return filled(tf_keras.Model(x, py_layernorm.layer_layer_normalization(y, axis=[2])))


def wrapped():
    layers = tf_keras.layers
    parts = [
        layers.TimeDistributed(LayerNormalization()),
        layers.Bidirectional(layers.SimpleRNN(2)),
    ]
    return filled(tf_keras.Sequential([tf_keras.Input(SHAPE), sequential(), *parts]))


def nested():
    x = tf_keras.Input(SHAPE)
    return tf_keras.Model(x, functional()(sequential()(x)))


def accelerated():
    model = tf_keras.Sequential([tf_keras.Input(SHAPE), tf_keras.layers.LayerNormalization()])
    py_layernorm.accelerate(model)
    return filled(model)


MODELS = [sequential, functional, wrapped, nested, accelerated]
FORMATS = ["model.keras", "model.h5", "model"]


def save(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that .h5 and SavedModels are old
        model.save(path)


def configs(model):
    """Of all layers; JSON has lists for tuples."""
    layers = [part for part in model._flatten_layers() if not isinstance(part, tf_keras.Model)]
    return json.dumps([layer.get_config() for layer in layers])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", MODELS)
def test_files_come_back(make, name, tmp_path):
    if make is wrapped and name == "model":
        pytest.skip("Keras takes ten seconds to write an RNN so")
    model = make()
    model.compile("adam", "mse")
    save(model, tmp_path / name)
    loaded = tf_keras.models.load_model(tmp_path / name)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), model.predict(X, verbose=0), **CLOSE)
    assert [type(p) for p in loaded._flatten_layers()] == [type(p) for p in model._flatten_layers()]
    assert configs(loaded) == configs(model)
    loaded.fit(X, model.predict(X, verbose=0), verbose=0)


@pytest.mark.parametrize("make", MODELS)
def test_json_pickle_and_clones(make):
    model = make()
    y = model.predict(X, verbose=0)
    copies = [
        tf_keras.models.model_from_json(model.to_json()),
        tf_keras.models.clone_model(model),
        pickle.loads(pickle.dumps(model)),
    ]
    for copy in copies:
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(copy.predict(X, verbose=0), y, **CLOSE)


@pytest.mark.parametrize("way", ["save", "export", "tf.saved_model"])
def test_nothing_that_leaves_the_process_holds_the_native_op(way, tmp_path):
    model = functional()
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    model.predict(X, verbose=0)
    if way == "save":
        save(model, tmp_path / "model")
    elif way == "export":
        model.export(tmp_path / "model")
    else:
        tf.saved_model.save(model, tmp_path / "model")
    assert b"PyLayernorm" not in (tmp_path / "model" / "saved_model.pb").read_bytes().replace(
        b"PyLayernorm:0", b""
    )


def pair(axis):
    """Keras 2's own layer and ours in models of the same names, with different weights."""
    models = []
    for kind in (tf_keras.layers.LayerNormalization, LayerNormalization):
        layers = [tf_keras.Input(SHAPE), kind(axis=axis, name="norm")]
        models.append(tf_keras.Sequential(layers, name="model"))
        models[-1].set_weights([w + len(models) for w in models[-1].get_weights()])
    return models


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "checkpoint"])
@pytest.mark.parametrize("axis", [-1, [1, 2]], ids=str)
@pytest.mark.parametrize("ours_first", [True, False])
def test_weights_both_ways(ours_first, axis, name, tmp_path):
    kerass, ours = pair(axis)
    source, target = (ours, kerass) if ours_first else (kerass, ours)
    source.save_weights(str(tmp_path / name))
    target.load_weights(str(tmp_path / name))
    for w, v in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(w, v)
    np.testing.assert_allclose(source(X), target(X), rtol=1e-5, atol=1e-5)


def test_kerass_layer_takes_our_config():
    ours = LayerNormalization(axis=[1, 2], epsilon=None, gamma_regularizer="l2", name="norm")
    kerass = tf_keras.layers.LayerNormalization.from_config(ours.get_config())
    assert kerass.epsilon == tf_keras.backend.epsilon() ** 2
    assert LayerNormalization.from_config(kerass.get_config()).get_config() == ours.get_config()


def test_weights_that_do_not_fit_leave_the_layer_as_it_was():
    layer = LayerNormalization()
    layer.build((None, 4))
    layer.set_weights([np.full(4, 2.0), np.full(4, 3.0)])
    with pytest.raises(ValueError, match="shape"):
        layer.load_own_variables({"0": np.ones(4, "float32"), "1": np.ones(7, "float32")})
    np.testing.assert_array_equal(layer.get_weights(), [[2.0] * 4, [3.0] * 4])


@pytest.mark.parametrize("config", [None, {}, {"input_shape": "ab"}, {"input_shape": [None, -1]}])
def test_a_file_without_the_shape_is_refused(config):
    with pytest.raises(ValueError, match="build_config must hold the input_shape"):
        LayerNormalization().build_from_config(config)
