"""What is saved and loaded: configurations, weights files shared with Keras's layer, models."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import py_layernorm

LAYER = py_layernorm.LayerNormalization

ARGUMENTS = [
    {},
    {"axis": 1},
    {"axis": [1, 2]},
    {"axis": (-1, 1)},
    {"axis": np.int64(1)},
    {"axis": [np.int32(1), 2]},
    {"axis": [1, 2], "param_axis": -1},
    {"axis": -1, "param_axis": [1, 2]},
    {"epsilon": None},
    {"epsilon": 0},
    {"epsilon": np.float32(0.5)},
    {"center": False},
    {"scale": np.False_},
    {"trainable": False},
    {"name": "mine"},
    {"dtype": "mixed_bfloat16"},
    {"gamma_initializer": "random_normal", "gamma_regularizer": "l2"},
    {"beta_regularizer": keras.regularizers.L1(0.5), "beta_constraint": "non_neg"},
    {"gamma_constraint": keras.constraints.MaxNorm(2.0)},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_config_is_what_was_passed_before_and_after_build(arguments):
    layer = LAYER(**arguments)
    before = layer.get_config()
    for name in ("axis", "param_axis"):
        if name in arguments:
            assert before[name] == arguments[name]
            assert type(before[name]) in (int, list, tuple)
    layer.build((None, 3, 4))
    assert layer.get_config() == before
    again = LAYER.from_config(before)
    assert again.get_config() == before
    again.build((None, 3, 4))
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_a_saved_model_predicts_the_same(arguments, tmp_path):
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(4)])
    py_layernorm.layer_layer_normalization(model, **arguments)
    model.set_weights([np.random.default_rng(0).uniform(size=w.shape) for w in model.weights])
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert type(loaded.layers[-1]) is LAYER
    came, saved = loaded.layers[-1].get_config(), model.layers[-1].get_config()
    for config in (came, saved):  # JSON has no tuples
        config["axis"] = np.ravel(config["axis"]).tolist()
    assert came == saved
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("extra", [{}, {"center": False}, {"scale": False}, {"axis": [1, 2]}])
@pytest.mark.parametrize("ours_first", [True, False])
def test_weights_files_go_both_ways(extra, ours_first, tmp_path):
    def model(layer_class):
        return keras.Sequential(
            [keras.Input((3, 4)), keras.layers.Dense(4), layer_class(name="norm", **extra)]
        )

    classes = [LAYER, keras.layers.LayerNormalization]
    source, target = map(model, classes if ours_first else reversed(classes))
    source.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in source.weights])
    path = tmp_path / "model.weights.h5"
    source.save_weights(path)
    target.load_weights(path)
    for a, b in zip(source.weights, target.weights, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(a, b)
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(source(x), target(x), atol=1e-5)


def test_keras_layer_can_be_made_of_our_config_and_ours_of_keras():
    """A file of ours opens without us, with Keras's layer as custom object for ours."""
    theirs = keras.layers.LayerNormalization.from_config(LAYER(axis=[1]).get_config())
    assert theirs.axis == [1]
    assert LAYER.from_config(theirs.get_config()).axis == [1]


def test_a_keras_file_opens_in_a_process_without_py_layernorm(tmp_path):
    model = keras.Sequential([keras.Input((4,))])
    py_layernorm.layer_layer_normalization(model)
    path = tmp_path / "model.keras"
    model.save(path)
    code = (
        "import keras, sys; keras.models.load_model(sys.argv[1], custom_objects="
        "{'py_layernorm>LayerNormalization': keras.layers.LayerNormalization});"
        "assert 'py_layernorm' not in sys.modules; print('opened')"
    )
    # -I: neither this folder nor PYTHONPATH, so that nothing imports the package by chance.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, path], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "opened", done.stderr


def test_a_functional_model_saves_layer_norm_itself(tmp_path):
    x = keras.Input((3, 4))
    y = py_layernorm.layer_norm(x, gamma=np.arange(4.0), axis=[1, 2], param_axis=-1, epsilon=None)
    model = keras.Model(x, y)
    model.save(tmp_path / "model.keras")
    data = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(data), model(data))


@keras.saving.register_keras_serializable(package="tests")
class Conditioned(LAYER):
    """A subclass with two inputs: Keras's build configuration then holds two shapes."""

    def build(self, inputs_shape, condition_shape):
        super().build(inputs_shape)

    def call(self, inputs, condition):
        return super().call(inputs) * condition

    def compute_output_spec(self, inputs, condition):
        return super().compute_output_spec(inputs)


def test_a_subclass_with_two_inputs_is_loaded(tmp_path):
    x, condition = keras.Input((4,)), keras.Input((1,))
    model = keras.Model([x, condition], Conditioned()(x, condition))
    model.save(tmp_path / "model.keras")
    data = [np.ones((2, 4)), np.ones((2, 1))]
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(data), model(data))


def test_a_truncated_file_is_an_error_and_changes_nothing(tmp_path):
    model = keras.Sequential([keras.Input((4,))])
    py_layernorm.layer_layer_normalization(model)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:200])
    before = model.get_weights()
    with pytest.raises(OSError, match="truncated"):
        model.load_weights(path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_exported_models_need_nothing_of_ours(tmp_path):
    model = keras.Sequential([keras.Input((4,))])
    py_layernorm.layer_layer_normalization(model)
    model.export(tmp_path / "exported")
    code = (
        "import sys, numpy, tensorflow as tf; m = tf.saved_model.load(sys.argv[1]);"
        "assert 'py_layernorm' not in sys.modules;"
        "print(m.serve(numpy.ones((2, 4), 'float32')).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path / "exported"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(2, 4)", done.stderr
