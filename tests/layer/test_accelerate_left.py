"""Layers that `accelerate` leaves as they were, with the reason in its report."""

import functools
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_accelerated_models import RAGGED, Within, X, stack

from py_layernorm import accelerate, restore

KERAS_LAYER = keras.layers.LayerNormalization

layers = keras.layers


@pytest.mark.parametrize(
    ("make", "x", "why"),
    [
        (
            lambda: keras.Input((None, 6), ragged=True),
            RAGGED,
            "inputs must be a single dense",
        ),
        (lambda: keras.Input((6,), dtype="complex64"), tf.complex(X[0], X[0]), "real numbers"),
        (lambda: keras.Input((1,)), X[0, :, :1], "gamma must have the shape"),
    ],
    ids=["ragged", "complex", "weights of another length"],
)
def test_a_graph_that_holds_such_input_is_left(make, x, why, tmp_path):
    norm = KERAS_LAYER(name="norm", axis=1 if "gamma" in why else -1)
    inputs = make()
    if "gamma" in why:
        norm.build((None, 6))
    model = keras.Model(inputs, norm(inputs))
    before = model(x)
    report = accelerate(model)
    assert report.changed == []
    assert why in report.left["norm"]
    model.save(tmp_path / "model.keras")
    for y in (model(x), keras.models.load_model(tmp_path / "model.keras")(x)):
        flat = (y.flat_values, before.flat_values) if hasattr(y, "flat_values") else (y, before)
        np.testing.assert_array_equal(*flat)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"epsilon": None}, "take epsilon=None for different numbers"),
        ({"dtype": "complex64"}, "dtype must be one of float16"),
        ({"dtype": "int32"}, "dtype must be one of float16"),
    ],
    ids=["epsilon", "complex", "int"],
)
def test_arguments_that_ours_refuses_are_left(arguments, why):
    model = stack(KERAS_LAYER(**arguments, name="norm"))
    before = model(X)
    assert why in accelerate(model).left[model.layers[0].path]
    np.testing.assert_array_equal(model(X), before)


def doubled(original):
    @functools.wraps(original)
    def method(*args, **kwargs):
        return original(*args, **kwargs) * 2

    return method


@pytest.mark.parametrize("where", ["instance", "class", "base class", "mock"])
def test_a_method_that_was_replaced_is_left_in_force(where, monkeypatch):
    norm = KERAS_LAYER(name="norm")
    target, name = {
        "instance": (norm, "call"),
        "class": (KERAS_LAYER, "call"),
        "base class": (keras.layers.Layer, "compute_output_spec"),
        "mock": (KERAS_LAYER, "call"),
    }[where]
    replaced = doubled(getattr(target, name))
    if where == "mock":
        replaced = mock.Mock(side_effect=lambda x: x * 2)
    if where == "base class":
        replaced = functools.partialmethod(target.compute_output_spec)
    monkeypatch.setattr(target, name, replaced)
    model = Within(norm)
    before = model(X)
    report = accelerate(model)
    assert list(report.left.values()) == [f"its {name}() was replaced"]
    np.testing.assert_array_equal(model(X), before)


def test_layers_of_one_name_are_all_reported():
    """They share a path as long as they are not built, or when a composite layer builds by hand."""

    class Mine(KERAS_LAYER):
        pass

    class Block(layers.Layer):
        def __init__(self, name):
            super().__init__(name=name)
            self.parts = [Mine(name="norm"), Mine(name="norm"), KERAS_LAYER(name="norm")]
            self.last = KERAS_LAYER(name="last")

        def call(self, x):
            return x

    model = keras.Sequential([Block("a"), Block("b"), KERAS_LAYER(name="alone")], name="model")
    report = accelerate(model)
    why = "Mine is a subclass with code of its own"
    expected = {f"model/{block}/norm[{i}]": why for block in "ab" for i in (0, 1)}
    assert report.left == expected
    changed = [f"model/{block}/{part}" for block in "ab" for part in ("norm[2]", "last")]
    assert sorted(report.changed) == sorted([*changed, "alone"])
    assert str(report).count("left as it was") == 4
    assert restore(model).changed == report.changed
