"""A model that worked before `accelerate` works after it, and after `restore`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from py_layernorm import LayerNormalization, accelerate, restore

KERAS_LAYER = keras.layers.LayerNormalization

layers = keras.layers
X = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")
ROWS = np.where(np.arange(5)[None, :, None] < 3, X, 0)  # the last two steps are masked by Masking
RAGGED = tf.RaggedTensor.from_row_splits(X[0], [0, 1, 5])


class Within(keras.Model):
    """A model whose graph is not known before it is called."""

    def __init__(self, norm=None, **arguments):
        super().__init__()
        self.norm = norm or KERAS_LAYER(**arguments)

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x)


@keras.saving.register_keras_serializable("tests")
class Cell(layers.Layer):
    """A recurrent cell with a norm inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 6
        self.norm = KERAS_LAYER()
        self.dense = layers.Dense(6)

    def build(self, shape):
        self.norm.build((None, 6))
        self.dense.build((None, 6))

    def call(self, x, states):
        state = self.norm(self.dense(x) + states[0])
        return state, [state]


def with_norm(**attributes):
    """A masked model whose norm has other attributes than at first."""
    norm = KERAS_LAYER()
    for name, value in attributes.items():
        setattr(norm, name, value)
    return stack(layers.Masking(), norm, layers.GRU(3))


def stack(*parts):
    return keras.Sequential([keras.Input((5, 6)), *parts])


def shared():
    norm, x = KERAS_LAYER(), keras.Input((5, 6))
    short = layers.Cropping1D((0, 3))(x)
    return keras.Model(x, layers.Concatenate(axis=1)([norm(norm(x)), norm(short)]))


def gamma_frozen():
    model = stack(layers.Dense(6), KERAS_LAYER())
    model.layers[-1].gamma.trainable = False
    return model


def lora():
    model = stack(layers.Dense(6), KERAS_LAYER())
    model.layers[0].enable_lora(2)
    return model


def quantized(mode):
    model = stack(layers.Dense(6), KERAS_LAYER())
    model(X)
    model.layers[0].quantize(mode)  # the model's own quantize() warns of the layers that have none
    with pytest.raises(NotImplementedError):
        model.layers[1].quantize(mode)
    return model


MODELS = {
    "recurrent cell": lambda: stack(layers.RNN(Cell(), return_sequences=True)),
    "bidirectional": lambda: stack(layers.Bidirectional(layers.RNN(Cell()))),
    "stacked cells": lambda: stack(layers.RNN(layers.StackedRNNCells([Cell(), Cell()]))),
    "time distributed": lambda: stack(layers.Masking(), layers.TimeDistributed(KERAS_LAYER())),
    "mask": with_norm,
    "supports_masking": lambda: with_norm(supports_masking=False),
    "autocast": lambda: with_norm(autocast=True),
    "input_spec": lambda: with_norm(input_spec=layers.InputSpec(ndim=3)),
    "frozen": lambda: with_norm(trainable=False),
    "gamma frozen": gamma_frozen,
    "activity regularizer": lambda: stack(KERAS_LAYER(activity_regularizer="l2")),
    "shared, two shapes": shared,
    "lora": lora,
    "int8": lambda: quantized("int8"),
    "float8": lambda: quantized("float8"),
    "policy map": lambda: stack(KERAS_LAYER(dtype=keras.dtype_policies.DTypePolicyMap())),
    "mixed": lambda: stack(
        layers.Dense(6, dtype="mixed_bfloat16"), KERAS_LAYER(dtype="mixed_bfloat16")
    ),
    "not built": lambda: keras.Sequential([layers.Dense(6), KERAS_LAYER(axis=[1, 2])]),
}


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_computes_and_trains_as_before(name, engine):
    """The numbers of an accelerated model beside those of one that stays Keras's."""
    results = []
    for change in (lambda _: None, accelerate):
        keras.utils.set_random_seed(0)
        model = MODELS[name]()
        x = ROWS if name in ("time distributed", "mask", "supports_masking") else X
        changed = change(model)
        assert changed is None or changed.changed, changed
        first = model(x)
        losses = sum(map(float, model.losses))
        if name != "int8":
            model.compile("sgd", "mse", jit_compile=False)
            model.fit(x, np.ones(first.shape), verbose=0)
        results.append([first, losses, model.predict(x, verbose=0)])
    assert len(restore(model).changed) == len(changed.changed)
    results[1].append(model.predict(x, verbose=0))
    tolerance = 2e-2 if name == "mixed" else 1e-4
    for before, after in zip([*results[0], results[0][-1]], results[1], strict=True):
        np.testing.assert_allclose(
            np.asarray(after, "float64"), np.asarray(before, "float64"), atol=tolerance
        )


@pytest.mark.parametrize(
    ("arguments", "first", "x"),
    [
        ({}, X, RAGGED),
        ({}, None, RAGGED),
        ({"axis": 1, "center": False, "scale": False}, X[0], RAGGED),
        ({}, X, tf.complex(X, X)),
        ({"axis": 1}, X[0, :, :1], X[0]),  # Keras broadcasts weights of 1, if axis is not negative
        ({"axis": 1}, X[0], X[0, :, :1]),
    ],
    ids=["ragged", "ragged first", "ragged axis", "complex", "weights of 1", "input of 1"],
)
def test_input_that_ours_refuses_is_served_as_before(arguments, first, x, engine):
    model, changed = Within(**arguments), Within(**arguments)
    assert len(accelerate(changed).changed) == 1
    for each in (model, changed):
        if first is not None:
            each(first)
    before = model(x)
    for function in (changed, tf.function(changed)):
        after = function(x)
        assert type(after) is type(before)
        flat = (
            (after.flat_values, before.flat_values)
            if isinstance(x, tf.RaggedTensor)
            else (after, before)
        )
        np.testing.assert_array_equal(*flat)
    assert len(restore(changed).changed) == 1
    assert type(changed(x)) is type(before)
    assert "_accelerated" not in vars(changed.norm)


def test_our_own_layer_still_refuses_what_an_accelerated_one_serves():
    for x in (RAGGED, tf.complex(X, X)):
        with pytest.raises(TypeError, match="must"):
            LayerNormalization()(x)
    built = LayerNormalization()
    built(X[0, :, :1])
    with pytest.raises(ValueError, match="gamma must have the shape"):
        built(X[0])


def test_what_keras_refuses_too_is_keras_own_error():
    model = Within()
    accelerate(model)
    with pytest.raises(ValueError, match="Attempt to convert a value"):
        model(tf.sparse.from_dense(X[0]))


def test_a_model_without_layers_of_keras_is_no_concern(tmp_path):
    tf.saved_model.save(stack(KERAS_LAYER()), tmp_path)
    loaded = layers.TFSMLayer(tmp_path, call_endpoint="serving_default")
    model = stack(loaded)
    assert str(accelerate(model)) == "0 layers accelerated"
    assert model(X)["output_0"].shape == X.shape


def test_a_distributed_model():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = stack(layers.Dense(6), KERAS_LAYER())
        model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    before = model.predict(X, verbose=0)
    assert len(accelerate(model).changed) == 1
    np.testing.assert_allclose(model.predict(X, verbose=0), before, atol=1e-5)
    model.fit(X, X, verbose=0)
