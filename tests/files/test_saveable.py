"""A function that no file can restore is reported when the layer is made, not at load."""

import functools
import warnings

import keras
import numpy as np
import pytest
from keras_versions import BRINGS_FUNCTIONS_BACK, TAKES_FUNCTIONS

import py_layernorm

LAYER, HELPER = py_layernorm.LayerNormalization, py_layernorm.layer_layer_normalization


def local(shape, dtype=None):
    return keras.ops.full(shape, 2.0, dtype=dtype)


def relu(weights):
    """A function of its own by the name of one of Keras's, which a file would bring back."""
    return keras.ops.sum(weights)


@keras.saving.register_keras_serializable("tests")
def registered(shape, dtype=None):
    return keras.ops.full(shape, 3.0, dtype=dtype)


class Unregistered(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 4.0, dtype=dtype)


class WithoutConfig:
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 5.0, dtype=dtype)


LOST = [
    ("gamma_initializer", local),
    ("beta_initializer", lambda shape, dtype=None: keras.ops.ones(shape)),
    ("gamma_initializer", Unregistered()),
    ("gamma_initializer", WithoutConfig()),
    ("beta_initializer", functools.partial(local)),
    ("gamma_regularizer", lambda weights: keras.ops.sum(weights)),
    ("beta_regularizer", relu),
    ("beta_constraint", lambda weights: keras.ops.minimum(weights, 1.0)),
]
KEPT = [
    ("gamma_initializer", keras.initializers.Constant(2.0)),
    ("beta_initializer", keras.initializers.Ones),
    ("gamma_initializer", "random_normal"),
    ("gamma_regularizer", keras.regularizers.L2(0.01)),
    ("gamma_regularizer", "l1"),
    ("beta_constraint", keras.constraints.MaxNorm(2.0)),
    ("beta_constraint", None),
]
(KEPT if BRINGS_FUNCTIONS_BACK else LOST).append(("gamma_initializer", registered))


def model_with(argument, value):
    model = keras.Sequential([keras.Input((4,))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HELPER(model, **{argument: value})


@pytest.mark.parametrize("make", [LAYER, HELPER], ids=["layer", "helper"])
@pytest.mark.parametrize(("argument", "value"), LOST)
def test_a_warning_names_the_argument_and_the_line(make, argument, value):
    with pytest.warns(UserWarning, match=f"^{argument} is a .*restore.*register") as caught:
        make(**{argument: value})
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("argument", "value"), KEPT)
def test_what_a_file_brings_back_is_no_reason_to_warn(argument, value, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LAYER(**{argument: value})
    model = model_with(argument, value)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()


# Of the LOST, those with which this Keras makes weights.
USABLE = [
    (argument, value) for argument, value in LOST if TAKES_FUNCTIONS or "initializer" in argument
]


@pytest.mark.parametrize(("argument", "value"), USABLE)
def test_the_warning_is_true(argument, value, tmp_path):
    """A whole file does not bring the layer back as it was; one of weights brings its weights."""
    model = model_with(argument, value)
    path = tmp_path / "model.keras"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's own, about lambdas
            model.save(path)
        loaded = keras.models.load_model(path)
    except (TypeError, ValueError):
        pass
    else:
        assert getattr(loaded.layers[0], argument) is not value

    model.set_weights([np.arange(4.0) + i for i in range(2)])
    model.save_weights(tmp_path / "model.weights.h5")
    again = model_with(argument, value)
    again.load_weights(tmp_path / "model.weights.h5")
    for old, new in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Counted(keras.initializers.Initializer):
    """An initializer that counts how often it is saved."""

    saved = 0

    def __call__(self, shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    def get_config(self):
        type(self).saved += 1
        return {}


def test_an_object_is_tried_once_however_many_layers_use_it():
    Counted.saved = 0
    value = Counted()
    for _ in range(5):
        with pytest.warns(UserWarning, match="restore"):
            LAYER(gamma_initializer=value)
    assert Counted.saved == 1
    with pytest.warns(UserWarning, match="restore"):
        LAYER(gamma_initializer=Counted())
    assert Counted.saved == 2


def test_an_object_that_is_registered_later_is_tried_again():
    class Later(Counted):
        pass

    value = Later()
    with pytest.warns(UserWarning, match="restore"):
        LAYER(gamma_initializer=value)
    keras.saving.register_keras_serializable("later")(Later)
    LAYER(gamma_initializer=value)
