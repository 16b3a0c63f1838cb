"""Rolling back: on any error, in Python and, for R, after the call."""

import keras
import numpy as np
import pytest

import py_layernorm
from py_layernorm.r import bridge
from py_layernorm.rollback import undo_kept, undone_on_error


def compiled_model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)
    return model


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_is_undone_and_raised(error):
    undone = []
    with pytest.raises(error), undone_on_error(lambda: undone.append(1)):
        raise error
    assert undone == [1]


def test_alterations_are_undone_once_and_the_latest_first():
    undone = []
    with undo_kept() as undo:
        for i in range(3):
            with undone_on_error(lambda i=i: undone.append(i)):
                pass
    with undone_on_error(lambda: undone.append("after the block")):
        pass
    assert undone == []
    undo()
    undo()
    assert undone == [2, 1, 0]


@pytest.mark.parametrize("built", [True, False])
def test_what_the_r_package_undoes(built):
    model = compiled_model() if built else keras.Sequential([keras.layers.Dense(3)])
    if not built:
        model.compile("sgd", "mse")
    layers, weights = list(model.layers), list(model.weights)
    functions = model.train_function, model.predict_function
    result, texts, undo = bridge.call("layer_layer_normalization", object=model)
    assert result is None
    assert [text.split(":")[0][-5:] for text in texts] == ["added"]
    assert len(model.layers) == 2
    undo()
    assert model.layers == layers
    assert [id(w) for w in model.weights] == [id(w) for w in weights]
    assert model.built is built
    assert (model.train_function, model.predict_function) == functions


def test_without_a_warning_there_is_nothing_to_undo():
    model = keras.Sequential([keras.Input((4,))])
    assert bridge.call("layer_layer_normalization", object=model) == (None, [], None)


def test_accelerate_and_restore_can_be_undone():
    norm = keras.layers.LayerNormalization()
    model = keras.Sequential([keras.Input((4,)), norm])
    with undo_kept() as undo:
        py_layernorm.accelerate(model)
    assert type(norm) is py_layernorm.LayerNormalization
    undo()
    assert type(norm) is keras.layers.LayerNormalization
