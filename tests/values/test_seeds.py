"""The systems that this layer comes from, each with its own figures.

1. A hand-written Keras layer of the years before Keras had one.
2. The documentation of tf.keras.layers.LayerNormalization (TensorFlow 2.4).
3. A tutorial: tf.nn.moments with tf.nn.batch_normalization against tf.contrib.layers.layer_norm,
   and layer normalisation of a BiLSTM's output.
4. R's layer_layer_normalization: tested in r_package/ and, argument by argument, here.
"""

import inspect
import itertools

import keras
import numpy as np
import pytest
import reference

import py_layernorm


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


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
        config = py_layernorm.LayerNormalization(**arguments).get_config()
        assert set(arguments) <= set(config)
        assert config["epsilon"] == keras.backend.epsilon() ** 2 == 1e-7**2

    def test_formula(self):
        x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
        layer = py_layernorm.LayerNormalization(
            epsilon=None,
            gamma_initializer=keras.initializers.Constant(3.0),
            beta_initializer=keras.initializers.Constant(-1.0),
        )
        mean = x.mean(axis=-1, keepdims=True)
        std = np.sqrt(np.square(x - mean).mean(axis=-1, keepdims=True) + 1e-14)
        np.testing.assert_allclose(to_numpy(layer(x)), (x - mean) / std * 3 - 1, atol=1e-5)

    @pytest.mark.parametrize("center", [True, False])
    @pytest.mark.parametrize("scale", [True, False])
    def test_weights_span_the_last_axis(self, center, scale):
        layer = py_layernorm.LayerNormalization(center=center, scale=scale)
        layer.build((None, 5, 7))
        assert [(w.name, w.shape) for w in layer.weights] == [
            (name, (7,)) for name, has in (("gamma", scale), ("beta", center)) if has
        ]

    def test_regularizers_and_constraints_act(self):
        layer = py_layernorm.LayerNormalization(
            gamma_regularizer=keras.regularizers.L1(0.5),
            beta_initializer="ones",
            beta_regularizer=keras.regularizers.L2(0.25),
            gamma_constraint=keras.constraints.MaxNorm(1.0),
        )
        layer.build((None, 4))
        assert sum(map(float, layer.losses)) == 4 * 0.5 + 4 * 0.25
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile("sgd", "mse")
        model.fit(np.ones((2, 4)), np.ones((2, 4)), verbose=0)
        assert np.linalg.norm(layer.gamma) <= 1 + 1e-6

    def test_masks_pass_through(self):
        layer = py_layernorm.LayerNormalization()
        embedding = keras.layers.Embedding(10, 4, mask_zero=True)
        x = embedding(np.array([[1, 2, 0], [3, 0, 0]]))
        assert layer.supports_masking
        y = layer(x)
        mask = keras.ops.convert_to_numpy(y._keras_mask)
        np.testing.assert_array_equal(mask, [[True, True, False], [True, False, False]])

    def test_output_shape(self):
        layer = py_layernorm.LayerNormalization()
        assert layer.compute_output_shape((None, 3, 4)) == (None, 3, 4)

    def test_the_last_cells_integers(self):
        """K.mean of int32 [[1, 2], ...] is [[1], ...]: averaged in integers, every row is off."""
        x = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype="int32")
        y = to_numpy(py_layernorm.LayerNormalization(epsilon=None)(keras.ops.convert_to_tensor(x)))
        np.testing.assert_allclose(y, np.tile([-1.0, 1.0], (2, 2, 1)), atol=1e-6)


class TestTfKerasDocumentation:
    """Signature, two examples, and the note on Group Normalization."""

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

    def parameters(self, function):
        found = inspect.signature(function).parameters.values()
        return tuple((p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD)

    def test_constructor(self):
        assert self.parameters(py_layernorm.LayerNormalization) == self.SIGNATURE
        every = py_layernorm.LayerNormalization(*(default for _, default in self.SIGNATURE))
        assert every.get_config()["epsilon"] == 0.001

    def test_helper(self):
        assert self.parameters(py_layernorm.layer_layer_normalization) == (
            ("object", None),
            *self.SIGNATURE,
        )

    def test_first_example(self):
        data = (np.arange(10).reshape(5, 2) * 10).astype("float32")
        output = to_numpy(py_layernorm.LayerNormalization(axis=1)(data))
        # Printed as -1 and 1; epsilon makes them less by 2e-5.
        np.testing.assert_allclose(output, [[-1.0, 1.0]] * 5, rtol=0, atol=3e-5)

    def test_second_example(self):
        layer = py_layernorm.LayerNormalization(axis=[1, 2, 3])
        layer.build([5, 20, 30, 40])
        assert layer.beta.shape == (20, 30, 40)
        assert layer.gamma.shape == (20, 30, 40)

    def test_mean_within_each_example_is_0_and_its_deviation_1(self):
        x = np.random.default_rng(0).normal(5, 3, size=(6, 1000)).astype("float32")
        y = to_numpy(py_layernorm.LayerNormalization()(x))
        np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-6)
        # epsilon takes 6e-5 of it; a division by n - 1 would take 5e-4.
        np.testing.assert_allclose(y.std(axis=1), 1, atol=1e-4)

    def test_input_shape_argument(self):
        with pytest.warns(UserWarning, match="input_shape"):
            layer = py_layernorm.LayerNormalization(input_shape=(4,))
        model = py_layernorm.compose_layer(keras.Sequential(), layer)
        assert model.input_shape == (None, 4)

    def test_group_normalization_needs_param_axis(self):
        """Over height, width and channel, with weights that span the channel only."""
        random = np.random.default_rng(0)
        x = random.normal(size=(2, 5, 6, 4)).astype("float32")
        gamma, beta = random.normal(size=(2, 4)).astype("float32")
        group = keras.layers.GroupNormalization(groups=1, epsilon=1e-3)
        ours = py_layernorm.LayerNormalization(axis=[1, 2, 3], param_axis=-1)
        for layer in (group, ours):
            layer.build(x.shape)
            layer.set_weights([gamma, beta])
        np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(group(x)), atol=2e-6)

        without = py_layernorm.LayerNormalization(axis=[1, 2, 3])
        without.build(x.shape)
        assert without.gamma.shape == (5, 6, 4)


class TestTutorial:
    """tf.contrib's layer_norm: epsilon 1e-12, begin_norm_axis, begin_params_axis; a BiLSTM."""

    X = np.array(
        [
            [[18.369314, 2.6570225, 20.402943], [10.403599, 2.7813416, 20.794857]],
            [[19.0327, 2.6398268, 6.3894367], [3.921237, 10.761424, 2.7887821]],
            [[11.466338, 20.210938, 8.242946], [22.77081, 11.555874, 11.183836]],
            [[8.976935, 10.204252, 11.20231], [-7.356888, 6.2725096, 1.1952505]],
        ],
        dtype="float32",
    )
    PRINTED = np.array(
        [
            [[0.574993, -1.4064413, 0.8314482], [-0.12501884, -1.1574404, 1.2824591]],
            [[1.3801125, -0.95738953, -0.422723], [-0.5402142, 1.4019756, -0.86176133]],
            [[-0.36398554, 1.3654773, -1.0014919], [1.4136491, -0.67222667, -0.7414224]],
            [[-1.2645674, 0.08396816, 1.1806011], [-1.3146634, 1.108713, 0.20595042]],
        ]
    )

    def test_printed_numbers(self, engine):
        for y in (
            py_layernorm.layer_norm(self.X, axis=2, epsilon=1e-12),
            py_layernorm.LayerNormalization(epsilon=1e-12)(self.X),
            py_layernorm.layer_layer_normalization(self.X, epsilon=1e-12),
        ):
            np.testing.assert_allclose(to_numpy(y), self.PRINTED, rtol=0, atol=1e-6)

    def test_moments_and_batch_normalization(self):
        import tensorflow as tf

        mean, variance = tf.nn.moments(self.X, axes=[2], keepdims=True)
        theirs = tf.nn.batch_normalization(self.X, mean, variance, None, None, 1e-12)
        ours = py_layernorm.layer_norm(self.X, epsilon=1e-12)
        np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=0, atol=1e-6)

    @pytest.mark.parametrize(
        ("begin_norm_axis", "begin_params_axis"), list(itertools.product(range(4), repeat=2))
    )
    def test_begin_norm_axis_and_begin_params_axis(
        self, begin_norm_axis, begin_params_axis, engine
    ):
        """tf.contrib normalised over all axes from one on, and spanned weights likewise."""
        random = np.random.default_rng(0)
        x = random.normal(size=(2, 3, 4, 5)).astype("float32")
        weights = x.shape[begin_params_axis:]
        gamma, beta = random.normal(size=(2, *weights)).astype("float32")
        layer = py_layernorm.LayerNormalization(
            axis=list(range(begin_norm_axis, 4)),
            param_axis=list(range(begin_params_axis, 4)),
            epsilon=1e-12,
        )
        layer.build(x.shape)
        layer.set_weights([gamma, beta])
        norm_axes = tuple(range(begin_norm_axis, 4))
        mean = x.mean(axis=norm_axes, keepdims=True, dtype="float64")
        std = np.sqrt(((x - mean) ** 2).mean(axis=norm_axes, keepdims=True) + 1e-12)
        expected = (x - mean) / std * gamma + beta  # gamma's axes are x's last: they broadcast
        np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=0, atol=3e-6)

    def test_bilstm_followed_by_layer_normalisation(self):
        x = np.random.default_rng(0).normal(size=(16, 10, 3)).astype("float32")
        model = keras.Sequential([keras.Input((10, 3))])
        bilstm = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True))
        py_layernorm.compose_layer(model, bilstm)
        py_layernorm.layer_layer_normalization(model)
        expected = reference.layer_norm(bilstm(x))
        y = model.predict(x, verbose=0)
        assert y.shape == (16, 10, 16)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        losses = model.fit(x, x[:, :, :1], epochs=5, verbose=0).history["loss"]
        assert losses[-1] < losses[0]


class TestRHelper:
    """Three return values, by kind of `object`; the R function itself is tested in R."""

    def test_nothing_gives_the_layer(self):
        for layer in (
            py_layernorm.layer_layer_normalization(),
            py_layernorm.layer_layer_normalization(None),
        ):
            assert type(layer) is py_layernorm.LayerNormalization

    def test_a_sequential_gives_the_model_with_one_layer_more(self):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        assert py_layernorm.layer_layer_normalization(model, name="norm") is model
        assert [layer.name for layer in model.layers][1:] == ["norm"]

    @pytest.mark.parametrize(
        "make",
        [np.asarray, keras.ops.convert_to_tensor, keras.Variable],
        ids=["numpy", "eager", "variable"],
    )
    def test_a_tensor_gives_the_output(self, make):
        x = make(np.arange(6, dtype="float32").reshape(2, 3))
        y = py_layernorm.layer_layer_normalization(x)
        np.testing.assert_allclose(to_numpy(y), reference.layer_norm(to_numpy(x)), atol=1e-6)

    def test_a_symbolic_tensor_gives_the_symbolic_output(self):
        x = keras.Input((3,))
        y = py_layernorm.layer_layer_normalization(x)
        assert isinstance(y, keras.KerasTensor)
        assert y.shape == (None, 3)
        model = keras.Model(x, y)
        data = np.arange(6, dtype="float32").reshape(2, 3)
        np.testing.assert_allclose(to_numpy(model(data)), reference.layer_norm(data), atol=1e-6)
