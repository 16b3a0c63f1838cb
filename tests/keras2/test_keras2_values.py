"""The layer for Keras 2 on each engine: the table of cases, training, masks, other layers."""

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras
from cases import CASES, TOLERANCE, relative_error

import py_layernorm
from py_layernorm.keras2 import LayerNormalization

X = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case, graph, engine):
    x, gamma, beta, _ = case.arrays()
    layer = LayerNormalization(**case.layer_arguments)
    layer.build(case.shape)
    layer.set_weights([w for w in (gamma, beta) if w is not None])
    y = tf.function(layer)(tf.constant(x)) if graph else layer(x)
    assert y.dtype.name == case.dtype
    # A half-precision policy keeps half-precision weights: the reference gets the same ones.
    gamma, beta = (None if w is None else w.numpy() for w in (layer.gamma, layer.beta))
    expected = reference.layer_norm(x, gamma, beta, **case.function_arguments)
    assert relative_error(y, expected) <= TOLERANCE[case.dtype]


@pytest.mark.parametrize("case", [c for c in CASES if c.dtype == "float32"][:36:5], ids=str)
def test_the_numbers_are_those_of_keras_3s_layer(case, engine):
    x, gamma, beta, _ = case.arrays()
    kinds = (LayerNormalization, py_layernorm.LayerNormalization)
    layers = [kind(**case.layer_arguments) for kind in kinds]
    for layer in layers:
        layer.build(case.shape)
        layer.set_weights([w for w in (gamma, beta) if w is not None])
    two, three = (np.asarray(layer(x)) for layer in layers)
    np.testing.assert_array_equal(two, three)


@pytest.mark.parametrize("constants", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_the_function_takes_symbolic_tensors(dtype, constants, engine):
    x = (np.arange(24).reshape(4, 6) ** 2 % 7).astype(dtype)
    gamma, beta = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    inputs = tf_keras.Input((6,), dtype=dtype)
    given = (gamma, beta) if constants else (None, None)
    model = tf_keras.Model(inputs, py_layernorm.layer_norm(inputs, *given))
    y = model(x)
    result = "float32" if dtype == "int32" else dtype
    assert y.dtype.name == result
    assert relative_error(y, reference.layer_norm(x, *given)) <= TOLERANCE[result]
    assert not model.weights


def test_gamma_and_beta_of_the_function_may_be_symbolic():
    x, gamma = tf_keras.Input((6,)), tf_keras.Input(batch_shape=(6,))
    model = tf_keras.Model([x, gamma], py_layernorm.layer_norm(x, gamma, gamma))
    values = np.arange(6, dtype="float32")
    expected = reference.layer_norm(X[0], values, values)
    np.testing.assert_allclose(model([X[0], values]), expected, atol=1e-5)
    gamma_only = tf_keras.Model(gamma, py_layernorm.layer_norm(X[0], gamma))
    np.testing.assert_allclose(gamma_only(values), reference.layer_norm(X[0], values), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64"])
def test_integers_are_not_truncated(dtype, engine):
    x = (np.arange(24).reshape(4, 6) ** 2 % 7).astype(dtype)
    inputs = tf_keras.Input((6,), dtype=dtype)
    model = tf_keras.Model(inputs, LayerNormalization()(inputs))
    for y in (LayerNormalization()(x), model(x), model.predict(x, verbose=0)):
        assert relative_error(y, reference.layer_norm(x)) <= TOLERANCE["float32"]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_is_that_of_keras_own_layer(jit_compile, engine):
    if engine == "fused" and jit_compile:
        pytest.skip("asked for by name, the fused engine refuses XLA")
    histories = []
    for kind in (tf_keras.layers.LayerNormalization, LayerNormalization):
        tf_keras.utils.set_random_seed(0)
        dense = tf_keras.layers.Dense
        model = tf_keras.Sequential([tf_keras.Input((5, 6)), dense(7), kind(), dense(1)])
        model.compile(tf_keras.optimizers.Adam(0.01), "mse", jit_compile=jit_compile)
        history = model.fit(X, X[..., :1], epochs=4, verbose=0, shuffle=False).history["loss"]
        histories.append([*history, model.evaluate(X, X[..., :1], verbose=0)])
    assert histories[1][-1] < histories[1][0]
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_xla_runs_with_the_automatic_engine():
    model = tf_keras.Sequential([tf_keras.Input((6,)), LayerNormalization()])
    model.compile("sgd", "mse", jit_compile=True)
    assert np.isfinite(model.fit(X[0], X[0], verbose=0).history["loss"][0])
    np.testing.assert_allclose(
        model.predict(X[0], verbose=0), reference.layer_norm(X[0], *model.get_weights()), atol=1e-5
    )


def test_fit_and_predict_reach_the_native_op(monkeypatch):
    if py_layernorm.engines.fused_unavailable():
        pytest.skip(py_layernorm.engines.fused_unavailable())
    from py_layernorm.engines import tensorflow

    served = []
    original = tensorflow.layer_norm
    monkeypatch.setattr(
        tensorflow, "layer_norm", lambda x, *rest: served.append(x.shape) or original(x, *rest)
    )
    model = tf_keras.Sequential([tf_keras.Input((6,)), LayerNormalization()])
    model.compile("sgd", "mse")
    model.fit(X[0], X[0], verbose=0)
    in_fit = len(served)
    model.predict(X[0], verbose=0)
    assert 0 < in_fit < len(served)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_mixed_precision(policy, engine):
    tf_keras.mixed_precision.set_global_policy(policy)
    inputs = tf_keras.Input((6,))
    layer = LayerNormalization()
    model = tf_keras.Model(inputs, layer(inputs))
    x = X[0] * 3 + 100
    y = model(x)
    compute = policy.removeprefix("mixed_")
    assert y.dtype.name == compute == layer.compute_dtype
    variables = "float32" if policy.startswith("mixed") else policy
    assert {w.dtype.name for w in layer.weights} == {variables}
    rounded = tf.cast(x, compute).numpy()
    assert relative_error(y, reference.layer_norm(rounded)) <= TOLERANCE[compute]


def test_masks_pass_through():
    embedding = tf_keras.layers.Embedding(10, 4, mask_zero=True)
    y = LayerNormalization()(embedding(np.array([[1, 2, 0], [3, 0, 0]])))
    np.testing.assert_array_equal(y._keras_mask, [[True, True, False], [True, False, False]])
    masked = tf_keras.Sequential(
        [tf_keras.Input((None,)), embedding, LayerNormalization(), tf_keras.layers.LSTM(2)]
    )
    ids = np.array([[1, 2, 0], [1, 2, 0]])
    np.testing.assert_allclose(masked(ids), masked(ids[:, :2]), rtol=1e-6)


def test_time_distributed():
    wrapped = tf_keras.layers.TimeDistributed(LayerNormalization())
    model = tf_keras.Sequential([tf_keras.Input((5, 6)), tf_keras.layers.Masking(), wrapped])
    assert model.output_shape == (None, 5, 6)
    np.testing.assert_allclose(model(X), reference.layer_norm(X), atol=1e-5)


def test_regularizers_and_constraints_act():
    layer = LayerNormalization(
        gamma_regularizer=tf_keras.regularizers.L1(0.5),
        beta_initializer="ones",
        beta_regularizer=tf_keras.regularizers.L2(0.25),
        gamma_constraint=tf_keras.constraints.MaxNorm(1.0),
    )
    model = tf_keras.Sequential([tf_keras.Input((4,)), layer])
    assert sum(map(float, model.losses)) == 4 * 0.5 + 4 * 0.25
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 4)), verbose=0)
    assert np.linalg.norm(layer.gamma) <= 1 + 1e-6


def test_gradients_of_gradients():
    layer, x = LayerNormalization(), tf.constant(X[0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x) ** 3)
        dx = tf.reduce_sum(tape.gradient(y, x) ** 2)
    with py_layernorm.use_engine("portable"), tf.GradientTape() as portable:
        portable.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x) ** 3)
        expected = tf.reduce_sum(tape.gradient(y, x) ** 2)
    np.testing.assert_allclose(
        outer.gradient(dx, x), portable.gradient(expected, x), rtol=1e-3, atol=1e-3
    )
