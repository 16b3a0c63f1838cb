"""Composition: what is returned, and what is unchanged after a failure."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_versions import KERAS

import py_layernorm


def make_model(compiled=False):
    model = keras.Sequential([keras.Input((4, 6)), keras.layers.Dense(3)])
    if compiled:
        model.compile(keras.optimizers.Adam(0.1), "mse")
        model.fit(np.ones((2, 4, 6)), np.ones((2, 4, 3)), verbose=0)
    return model


def state(model):
    """All that a failed call must not change, the layers' and the weights' identities included."""
    return {
        "layers": list(map(id, model.layers)),
        "flattened": list(map(id, model._flatten_layers())),
        "weights": list(map(id, model.weights)),
        "values": [w.copy() for w in map(np.asarray, model.get_weights())].__repr__(),
        "functional": id(model._functional),
        "built": model.built,
        "compiled": model.compiled,
        "optimizer": model.compiled and [v.numpy().tolist() for v in model.optimizer.variables],
        "config": model.get_config(),
    }


class FailsInBuild(keras.layers.Layer):
    def build(self, shape):
        self.weight = self.add_weight(shape=(3,))
        raise RuntimeError("no memory for this layer")


class FailsInCall(keras.layers.Layer):
    def call(self, x):
        raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (lambda: py_layernorm.LayerNormalization(axis=3), ValueError),
        (lambda: py_layernorm.LayerNormalization(axis=[1, 2], param_axis=7), ValueError),
        (lambda: keras.layers.Conv2D(3, 3), ValueError),
        (FailsInBuild, RuntimeError),
        (FailsInCall, KeyboardInterrupt),
        (lambda: keras.layers.Dense(2, name="dense"), ValueError),
        (lambda: keras.Input((5,)), TypeError),
    ],
    ids=["axis", "param_axis", "rank", "build", "interrupt", "name", "no layer"],
)
def test_a_failed_add_leaves_the_model_as_it_was(compiled, layer, error):
    keras.backend.clear_session()
    model = make_model(compiled)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    predicted = model.predict(x, verbose=0)
    before = state(model)
    with pytest.raises(error):
        py_layernorm.compose_layer(model, layer())
    assert state(model) == before
    np.testing.assert_array_equal(model.predict(x, verbose=0), predicted)
    if compiled:
        model.fit(x, predicted, verbose=0)
        model.compile("sgd", "mse")  # so that the next line has nothing to warn of
        model.compiled = False
    py_layernorm.layer_layer_normalization(model)
    assert model.predict(x, verbose=0).shape == (2, 4, 3)
    assert len(model.layers) == 2


@pytest.mark.skipif(KERAS > (3, 15), reason="known of Keras up to 3.15")
def test_keras_itself_leaves_a_broken_model():
    """What the atomic add is for."""
    model = make_model()
    with pytest.raises(ValueError, match="axis"):
        model.add(py_layernorm.LayerNormalization(axis=3))
    assert len(model.layers) == 2


def test_a_failed_add_to_a_model_that_was_never_built():
    model = keras.Sequential([keras.layers.Dense(3)])
    py_layernorm.layer_layer_normalization(model, axis=5)  # nothing to build yet
    with pytest.raises(ValueError, match="axis must lie between"):
        model(np.ones((2, 4)))
    model.pop()
    py_layernorm.layer_layer_normalization(model)
    assert model(np.ones((2, 4))).shape == (2, 3)


def test_a_compiled_model_must_be_compiled_again():
    model = make_model(compiled=True)
    with pytest.warns(UserWarning, match=r"compile it again") as caught:
        py_layernorm.layer_layer_normalization(model, name="norm")
    assert "'norm'" in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"compile it again") as caught:
        py_layernorm.compose_layer(model, keras.layers.Dense(1))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("compiled", [False, True])
def test_predictions_are_those_of_the_extended_model(compiled):
    """Keras keeps the function that it traced before: its `add` alone changes no prediction."""
    model = make_model(compiled)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    model.predict(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        py_layernorm.layer_layer_normalization(model)
        py_layernorm.compose_layer(model, keras.layers.Dense(2))
    y = model.predict(x, verbose=0)
    assert y.shape == (2, 4, 2)
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)


def test_training_a_model_that_was_not_compiled_again_is_an_error():
    model = make_model(compiled=True)
    with pytest.warns(UserWarning, match="its optimizer does not know the new weights"):
        py_layernorm.layer_layer_normalization(model)
    # Some versions of Keras fail while they word the error.
    with pytest.raises((ValueError, NotImplementedError), match=r"optimizer|numpy\(\)"):
        model.fit(np.ones((2, 4, 6)), np.ones((2, 4, 3)), verbose=0)


def test_a_model_that_is_not_compiled_is_extended_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        py_layernorm.layer_layer_normalization(make_model())


def test_a_failed_add_to_a_compiled_model_does_not_warn():
    model = make_model(compiled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="axis"):
            py_layernorm.layer_layer_normalization(model, axis=9)


def test_the_new_weights_are_trained_after_compiling_again():
    model = make_model(compiled=True)
    with pytest.warns(UserWarning, match="compile it again"):
        py_layernorm.layer_layer_normalization(model)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    before = model.layers[-1].get_weights()
    model.fit(np.random.default_rng(0).normal(size=(8, 4, 6)), np.ones((8, 4, 3)), verbose=0)
    for old, new in zip(before, model.layers[-1].get_weights(), strict=True):
        assert np.abs(old - new).max() > 1e-3


def test_a_subclass_of_sequential_is_a_sequential():
    class Mine(keras.Sequential):
        pass

    model = Mine([keras.Input((3,))])
    assert py_layernorm.layer_layer_normalization(model) is model


def test_a_loaded_model_is_extended_without_a_clash_of_names():
    """Keras counts names per process: a new one makes the names anew that the file holds."""
    model = keras.Sequential([keras.Input((3,))])
    keras.backend.clear_session()
    for _ in range(3):
        py_layernorm.layer_layer_normalization(model)
    keras.backend.clear_session()
    py_layernorm.layer_layer_normalization(model)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) == 4
    keras.backend.clear_session()
    with pytest.raises(ValueError, match="unique names"):  # a name that was asked for stays
        py_layernorm.layer_layer_normalization(model, name="layer_normalization")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Model(x := keras.Input((2,)), x + 1), r"object=model\.output"),
        (lambda: keras.layers.Dense(2), "layer's output tensor"),
        (lambda: "model", r"Received: object='model' \(str\)"),
        (lambda: [np.ones((2, 2)), np.ones((2, 2))], "one tensor at a time"),
        (lambda: (keras.Input((2,)),), "one tensor at a time"),
        (lambda: [1.0, 2.0], r"numpy\.asarray"),
        (lambda: -1, r"write axis=-1"),
        (lambda: True, r"array\)\. Received: object=True"),
        (lambda: {"a": 1}, r"\(dict\)"),
        (lambda: keras.Sequential, r"\(type\)"),
    ],
    ids=["model", "layer", "str", "arrays", "tensors", "list", "int", "bool", "dict", "class"],
)
def test_any_other_object_is_refused(make, message):
    with pytest.raises(TypeError, match=message) as caught:
        py_layernorm.layer_layer_normalization(make())
    assert "object must be None, a keras.Sequential or a tensor" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]), r"to_tensor\(\)"),
        (lambda: tf.sparse.from_dense(np.eye(3)), r"convert_to_tensor\(x, sparse=False\)"),
        (lambda: np.ma.masked_array([[1.0, 2.0]]), r"filled\(\) makes one"),
        (
            lambda: keras.Input((3,), sparse=True),
            r"object must be a single dense.*sparse=True",
        ),
        (
            lambda: keras.Input((None, 3), ragged=True),
            r"object must be a single dense.*ragged=True",
        ),
        (lambda: np.array([["a"]]), r"object must hold real numbers.*of dtype str"),
        (lambda: tf.constant([["a"]]), r"object must hold real numbers.*of dtype string"),
        (lambda: np.array([None]), r"object must hold real numbers.*of dtype object"),
        (lambda: np.ones((2, 2), "complex64"), r"object must hold real numbers.*complex64"),
        (lambda: [tf.ragged.constant([[1.0]])], "one tensor at a time"),
        (lambda: [keras.Input((3,), sparse=True)], "one tensor at a time"),
    ],
    ids=[
        *("ragged", "sparse", "masked", "sparse Input", "ragged Input", "NumPy strings", "strings"),
        *("objects", "complex", "list of ragged", "list of sparse"),
    ],
)
def test_tensors_that_cannot_be_normalised_are_refused_before_a_layer_is_made(make, message):
    keras.backend.clear_session()
    with pytest.raises(TypeError, match=message):
        py_layernorm.layer_layer_normalization(make())
    assert keras.layers.LayerNormalization().name == "layer_normalization"


def test_other_layers_take_the_tensors_that_ours_refuses():
    sparse = tf.sparse.from_dense(np.eye(3, dtype="float32"))
    assert py_layernorm.compose_layer(sparse, keras.layers.Dense(2)).shape == (3, 2)


def test_a_name_is_made_up_without_a_second_layer(monkeypatch):
    made = []
    original = py_layernorm.LayerNormalization.__init__
    monkeypatch.setattr(
        py_layernorm.LayerNormalization,
        "__init__",
        lambda self, *args, **kwargs: made.append(self) or original(self, *args, **kwargs),
    )
    model = keras.Sequential([keras.Input((3,), name="layer_normalization")])
    keras.backend.clear_session()
    for expected in ("layer_normalization_1", "layer_normalization_2"):
        py_layernorm.layer_layer_normalization(model)
        assert model.layers[-1].name == expected
    assert len(made) == 2
    assert py_layernorm.LayerNormalization().name == "layer_normalization_3"  # Keras counts on


@pytest.mark.parametrize("layer", ["dense", None, keras.layers.Dense, 3])
def test_compose_layer_wants_a_layer(layer):
    with pytest.raises(TypeError, match="layer must be a Keras layer"):
        py_layernorm.compose_layer(None, layer)


def test_kwargs_go_to_the_layer():
    layer = py_layernorm.layer_layer_normalization(param_axis=-1, axis=[1, 2], dtype="float64")
    assert layer.param_axis == -1
    assert layer.compute_dtype == "float64"


def test_the_bridge_hands_back_warnings():
    from py_layernorm.r import bridge

    model = make_model(compiled=True)
    result, caught, _ = bridge.call("layer_layer_normalization", object=model)
    assert result is None  # R has the model already
    assert len(model.layers) == 2
    assert len(caught) == 1
    assert "compile it again" in caught[0]
    assert bridge.call("layer_norm", np.ones((2, 3)))[1] == []
