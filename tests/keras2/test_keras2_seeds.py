"""The systems that this layer comes from, on Keras 2 itself; see tests/values/test_seeds.py.

1. A hand-written Keras layer of the years before Keras had one.
2. The documentation of tf.keras.layers.LayerNormalization (TensorFlow 2.4).
3. A tutorial: tf.contrib.layers.layer_norm, and a BiLSTM's output.
4. R's layer_layer_normalization: its signature and its three return values.
"""

import inspect

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras

import py_layernorm
from py_layernorm.keras2 import LayerNormalization

SIGNATURE = (
    ("axis", -1),
    ("epsilon", 0.001),
    ("center", True),
    ("scale", True),
    ("beta_initializer", "zeros"),
    ("gamma_initializer", "ones"),
    ("beta_regularizer", None),
    ("gamma_regularizer", None),
    ("beta_constraint", None),
    ("gamma_constraint", None),
    ("trainable", True),
    ("name", None),
)


class TestHandWrittenLayer:
    """center, scale, epsilon=None for K.epsilon()**2, masks, get_config, integers."""

    def test_arguments(self):
        arguments = {
            "center": True,
            "scale": True,
            "epsilon": None,
            "gamma_initializer": "ones",
            "beta_initializer": "zeros",
            "gamma_regularizer": None,
            "beta_regularizer": None,
            "gamma_constraint": None,
            "beta_constraint": None,
        }
        config = LayerNormalization(**arguments).get_config()
        assert set(arguments) <= set(config)
        assert config["epsilon"] == tf_keras.backend.epsilon() ** 2 == 1e-7**2

    def test_formula(self):
        x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
        layer = LayerNormalization(
            epsilon=None,
            gamma_initializer=tf_keras.initializers.Constant(3.0),
            beta_initializer=tf_keras.initializers.Constant(-1.0),
        )
        mean = x.mean(axis=-1, keepdims=True)
        std = np.sqrt(np.square(x - mean).mean(axis=-1, keepdims=True) + 1e-14)
        np.testing.assert_allclose(layer(x), (x - mean) / std * 3 - 1, atol=1e-5)

    @pytest.mark.parametrize("center", [True, False])
    @pytest.mark.parametrize("scale", [True, False])
    def test_weights_span_the_last_axis(self, center, scale):
        layer = LayerNormalization(center=center, scale=scale)
        layer.build((None, 5, 7))
        assert [(w.name, w.shape) for w in layer.weights] == [
            (f"{name}:0", (7,)) for name, has in (("gamma", scale), ("beta", center)) if has
        ]

    def test_output_shape(self):
        assert LayerNormalization().compute_output_shape((None, 3, 4)) == (None, 3, 4)

    def test_the_last_cells_integers(self):
        """K.mean of int32 [[1, 2], ...] is [[1], ...]: averaged in integers, every row is off."""
        x = tf.constant([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
        assert tf_keras.backend.mean(x, -1, keepdims=True).numpy().ravel().tolist() == [1, 3, 5, 7]
        y = LayerNormalization(epsilon=None)(x)
        np.testing.assert_allclose(y, np.tile([-1.0, 1.0], (2, 2, 1)), atol=1e-6)


class TestTfKerasDocumentation:
    """Signature, two examples, and the note on Group Normalization."""

    def test_constructor(self):
        found = inspect.signature(LayerNormalization).parameters.values()
        assert (
            tuple((p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD)
            == SIGNATURE
        )
        every = LayerNormalization(*(default for _, default in SIGNATURE))
        kerass = tf_keras.layers.LayerNormalization(name=every.name)
        assert every.get_config() == kerass.get_config()

    def test_first_example(self):
        data = tf.constant(np.arange(10).reshape(5, 2) * 10, dtype=tf.float32)
        # Printed as -1 and 1; epsilon makes them less by 2e-5.
        np.testing.assert_allclose(LayerNormalization(axis=1)(data), [[-1.0, 1.0]] * 5, atol=3e-5)

    def test_second_example(self):
        layer = LayerNormalization(axis=[1, 2, 3])
        layer.build([5, 20, 30, 40])
        assert layer.beta.shape == (20, 30, 40)
        assert layer.gamma.shape == (20, 30, 40)

    def test_input_shape_argument(self):
        layer = LayerNormalization(input_shape=(4,))
        model = py_layernorm.compose_layer(tf_keras.Sequential(), layer)
        assert model.input_shape == (None, 4)

    def test_group_normalization_needs_param_axis(self):
        """Over height, width and channel, with weights that span the channel only."""
        random = np.random.default_rng(0)
        x = random.normal(size=(2, 5, 6, 4)).astype("float32")
        gamma, beta = random.normal(size=(2, 4)).astype("float32")
        group = tf_keras.layers.GroupNormalization(groups=1, epsilon=1e-3)
        ours = LayerNormalization(axis=[1, 2, 3], param_axis=-1)
        for layer in (group, ours):
            layer.build(x.shape)
            layer.set_weights([gamma, beta])
        np.testing.assert_allclose(ours(x), group(x), atol=3e-6)

    def test_the_documented_module(self):
        """`tf.keras` itself, where TensorFlow is told to use Keras 2, is `tf_keras`."""
        assert tf_keras.layers.LayerNormalization in LayerNormalization.__mro__
        assert isinstance(LayerNormalization(), tf.Module)


class TestTutorial:
    @pytest.mark.parametrize("begin_params_axis", [1, 2, 3, -1])
    @pytest.mark.parametrize("begin_norm_axis", [1, 2, 3])
    def test_begin_norm_axis_and_begin_params_axis(self, begin_norm_axis, begin_params_axis):
        random = np.random.default_rng(0)
        x = random.normal(size=(2, 3, 4, 5)).astype("float32")
        gamma, beta = random.normal(size=(2, *x.shape[begin_params_axis:])).astype("float32")
        layer = LayerNormalization(
            axis=list(range(begin_norm_axis, 4)),
            param_axis=list(range(begin_params_axis % 4, 4)),
            epsilon=1e-12,
        )
        layer.build(x.shape)
        layer.set_weights([gamma, beta])
        mean, variance = tf.nn.moments(x, list(range(begin_norm_axis, 4)), keepdims=True)
        expected = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)
        np.testing.assert_allclose(layer(x), expected, rtol=0, atol=3e-6)

    def test_bilstm_followed_by_layer_normalisation(self):
        x = np.random.default_rng(0).normal(size=(16, 10, 3)).astype("float32")
        model = tf_keras.Sequential([tf_keras.Input((10, 3))])
        bilstm = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(8, return_sequences=True))
        py_layernorm.compose_layer(model, bilstm)
        py_layernorm.layer_layer_normalization(model)
        y = model.predict(x, verbose=0)
        assert y.shape == (16, 10, 16)
        np.testing.assert_allclose(y, reference.layer_norm(bilstm(x)), rtol=0, atol=1e-5)
        model.add(tf_keras.layers.Dense(1))
        model.compile(tf_keras.optimizers.Adam(0.01), "mse")
        losses = model.fit(x, x[:, :, :1], epochs=3, verbose=0).history["loss"]
        assert losses[-1] < losses[0]


class TestRHelper:
    """Three return values, by kind of `object`."""

    def test_nothing_gives_the_layer(self, monkeypatch):
        monkeypatch.setattr(py_layernorm.which_keras, "default", lambda: tf_keras)
        assert type(py_layernorm.layer_layer_normalization()) is LayerNormalization

    def test_a_sequential_gives_the_model_with_one_layer_more(self):
        model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
        assert py_layernorm.layer_layer_normalization(model, name="norm") is model
        assert [layer.name for layer in model.layers][1:] == ["norm"]

    def test_a_tensor_gives_the_output(self):
        x = tf_keras.Input((3,))
        every = dict(SIGNATURE, name="norm")
        model = tf_keras.Model(x, py_layernorm.layer_layer_normalization(x, **every))
        data = np.arange(6, dtype="float32").reshape(2, 3)
        np.testing.assert_allclose(model(data), reference.layer_norm(data), atol=1e-6)
