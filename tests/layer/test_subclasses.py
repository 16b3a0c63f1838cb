"""Whatever works on a subclass of Keras's layer works on a subclass of ours."""

import keras
import numpy as np
import pytest

import py_layernorm
from py_layernorm.layer import LayerNormalization

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
BASES = [keras.layers.LayerNormalization, LayerNormalization]


def with_training(base):
    class Layer(base):
        def call(self, inputs, training=False):
            y = super().call(inputs)
            return y * 2 if training else y

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()(x, training=True)), X


def with_mask(base):
    class Layer(base):
        def call(self, inputs, mask=None):
            y = super().call(inputs)
            return y if mask is None else y * keras.ops.cast(mask, y.dtype)[..., None]

    x = keras.Input((3, 4))
    masked = keras.layers.Masking()(x)
    values = X.copy()
    values[:, 1] = 0
    return keras.Model(x, Layer()(masked)), values


def with_another_input(base):
    class Layer(base):
        def build(self, inputs_shape, other_shape):
            super().build(inputs_shape)

        def call(self, inputs, other):
            return super().call(inputs) + other

        def compute_output_shape(self, inputs_shape, other_shape):
            return inputs_shape

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()(x, x)), X


def with_a_keyword_input(base):
    class Layer(base):
        def call(self, inputs, other=None):
            return super().call(inputs) + (0 if other is None else other)

        def compute_output_spec(self, inputs, other=None):
            return keras.KerasTensor(inputs.shape, self.compute_dtype)

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()(x, other=x)), X


def with_a_list(base):
    class Layer(base):
        def build(self, input_shape):
            super().build(input_shape[0])

        def call(self, inputs):
            return super().call(inputs[0]) + inputs[1]

        def compute_output_shape(self, input_shape):
            return super().compute_output_shape(input_shape[0])

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()([x, x])), X


def with_lists_in_and_out(base):
    class Layer(base):
        def build(self, input_shape):
            super().build(input_shape[0])

        def call(self, inputs):
            return [super(Layer, self).call(x) for x in inputs]

        def compute_output_shape(self, input_shape):
            return [super(Layer, self).compute_output_shape(s) for s in input_shape]

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()([x, x])[1]), X


def with_a_dict(base):
    class Layer(base):
        def build(self, input_shape):
            super().build(input_shape["a"])

        def call(self, inputs):
            return {name: super(Layer, self).call(x) for name, x in inputs.items()}

        def compute_output_shape(self, input_shape):
            return dict(input_shape)

    x = keras.Input((3, 4))
    return keras.Model(x, Layer()({"a": x, "b": x})["b"]), X


def in_a_sequential(base):
    class Layer(base):
        def call(self, inputs, training=None):
            return super().call(inputs) * (2 if training else 1)

    return keras.Sequential([keras.Input((3, 4)), Layer()]), X


def with_dense_input_of_its_own(base):
    """Code of its own comes first: it may take what the layer itself does not."""

    class Layer(base):
        def build(self, input_shape):
            super().build((*input_shape[:-1], 4))

        def call(self, inputs):
            return super().call(keras.ops.one_hot(keras.ops.cast(inputs, "int32")[..., 0], 4))

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], 4)

    x = keras.Input((3, 1))
    return keras.Model(x, Layer()(x)), np.abs(X[..., :1]).astype("int64") % 4


def with_two_outputs(base):
    class Layer(base):
        def call(self, inputs):
            return super().call(inputs), inputs

        def compute_output_shape(self, input_shape):
            return input_shape, input_shape

    x = keras.Input((3, 4))
    return keras.Model(x, keras.layers.Add()(Layer()(x))), X


KINDS = [
    with_training,
    with_mask,
    with_another_input,
    with_a_keyword_input,
    with_a_list,
    with_lists_in_and_out,
    with_a_dict,
    in_a_sequential,
    with_dense_input_of_its_own,
    with_two_outputs,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_subclass_works_like_one_of_kerass_layer(kind):
    answers = []
    for base in BASES:
        model, x = kind(base)
        model.compile("sgd", "mse")
        y = model.predict(x, verbose=0)
        model.fit(x, y + 1, epochs=2, verbose=0)
        answers.append((y, model.predict(x, verbose=0), [w.shape for w in model.weights]))
    (stock, trained, shapes), (ours, ours_trained, ours_shapes) = answers
    assert shapes == ours_shapes
    np.testing.assert_allclose(ours, stock, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours_trained, trained, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("base", BASES, ids=["keras", "ours"])
def test_a_subclass_is_saved_and_loaded(kind, base, tmp_path):
    model, x = kind(base)
    (mine,) = {type(layer) for layer in model.layers if isinstance(layer, base)}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", {"Layer": mine})
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_sparse_input_is_refused_while_the_model_is_made():
    """Keras's own layer fails only when the model predicts."""
    x = keras.Input((4,), sparse=True)
    for call in (
        LayerNormalization(),
        py_layernorm.layer_norm,
        py_layernorm.layer_layer_normalization,
    ):
        with pytest.raises(TypeError, match=r"single dense tensor.*sparse tensor.*Received: "):
            call(x)
