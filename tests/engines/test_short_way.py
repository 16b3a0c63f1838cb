"""Eager calls of a built layer go past Keras's bookkeeping, unless it has something to do."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import reference
from cases import relative_error

import py_layernorm
from py_layernorm import LayerNormalization, engines

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")


@pytest.fixture
def layer():
    made = LayerNormalization()
    made.build((None, 5))
    return made


@pytest.fixture
def long_way(monkeypatch):
    """Whether Keras's own way was taken by the calls since."""
    taken = []
    own = keras.layers.Layer._maybe_build

    def counted(self, *args, **kwargs):
        if isinstance(self, LayerNormalization):
            taken.append(self)
        return own(self, *args, **kwargs)

    monkeypatch.setattr(keras.layers.Layer, "_maybe_build", counted)
    return lambda: bool(taken) and not taken.clear()


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_tensors_and_arrays_take_it(layer, long_way, kind):
    x = keras.ops.convert_to_tensor(X) if kind == "tensor" else X
    y = layer(x)
    assert not long_way()
    assert relative_error(y, reference.layer_norm(X)) < 1e-6


def calls_of_ours(function):
    """How many functions of this package one call runs through."""
    package, count = str(Path(py_layernorm.__file__).parent), 0

    def profile(frame, event, _):
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(package)

    function()  # what is worked out once
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_few_functions_are_called(layer):
    x, gamma, beta = (keras.ops.convert_to_tensor(a) for a in (X, np.ones(5), np.ones(5)))
    assert calls_of_ours(lambda: layer(x)) <= 6
    assert calls_of_ours(lambda: layer(X)) <= 7
    assert calls_of_ours(lambda: py_layernorm.layer_norm(x, gamma, beta)) <= 14


@pytest.mark.parametrize("x", [[1.0] * 5, None, "x", 3, {"x": 1}])
def test_what_is_not_a_tensor_is_refused_by_a_built_layer_too(layer, x):
    for _ in range(2):
        with pytest.raises(TypeError, match=r"inputs must be a single dense tensor.*Received: "):
            layer(x)


def test_an_unknown_rank_is_refused_by_a_built_layer_too(layer):
    import tensorflow as tf

    traced = tf.function(layer, input_signature=[tf.TensorSpec(None)])
    with pytest.raises(ValueError, match="inputs must have a known rank"):
        traced(X)


def test_a_call_that_users_replaced_is_respected(layer, monkeypatch):
    layer(X)
    with monkeypatch.context() as patch:
        patch.setattr(LayerNormalization, "call", lambda self, x: x * 2)
        np.testing.assert_array_equal(layer(X), 2 * X)
    with monkeypatch.context() as patch:
        patch.setattr(layer, "call", lambda x: x * 3, raising=False)
        np.testing.assert_array_equal(layer(X), 3 * X)
    layer_classes = (keras.layers.Layer, keras.layers.LayerNormalization, LayerNormalization)
    for owner in (keras.Operation, *layer_classes):
        with monkeypatch.context() as patch:
            patch.setattr(owner, "__call__", lambda self, x: x * 4, raising=False)
            np.testing.assert_array_equal(layer(X), 4 * X)
    assert relative_error(layer(X), reference.layer_norm(X)) < 1e-6


def test_attributes_set_after_the_first_call_are_respected(layer):
    layer(X)
    layer.input_spec = keras.layers.InputSpec(ndim=3)
    with pytest.raises(ValueError, match="expected ndim=3"):
        layer(X)
    layer.input_spec = None
    layer.activity_regularizer = keras.regularizers.L2(1.0)
    layer(X)
    assert len(layer.losses) == 1
    layer.activity_regularizer = None
    layer.epsilon = 0.5
    assert relative_error(layer(X), reference.layer_norm(X, epsilon=0.5)) < 1e-6
    layer.gamma = None
    layer.beta.assign(np.ones(5))
    wanted = reference.layer_norm(X, beta=np.ones(5), epsilon=0.5)
    assert relative_error(layer(X), wanted) < 1e-6
    layer.axis = 0
    layer.gamma = layer.beta = None
    assert relative_error(layer(X), reference.layer_norm(X, axis=0, epsilon=0.5)) < 1e-6


def test_a_dtype_policy_set_later_is_respected(layer):
    layer(X)
    layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    assert keras.backend.standardize_dtype(layer(X).dtype) == "float16"


def test_values_of_a_stateless_call_are_respected(layer):
    layer(X)
    gamma, beta = np.full(5, 3.0, "float32"), np.ones(5, "float32")
    y, _ = layer.stateless_call([gamma, beta], [], X)
    assert relative_error(y, reference.layer_norm(X, gamma, beta)) < 1e-6
    keras.backend.clear_session()  # which forgets where Keras keeps its state
    y, _ = layer.stateless_call([gamma, beta], [], X)
    assert relative_error(y, reference.layer_norm(X, gamma, beta)) < 1e-6


def test_a_mask_is_passed_on(layer):
    x = keras.layers.Masking()(keras.ops.convert_to_tensor(X[None]))
    layer(x)
    assert layer(x)._keras_mask.shape == (1, 4)


def test_weights_assigned_between_calls_are_read(layer):
    import tensorflow as tf

    layer(X)
    layer.gamma.assign(np.full(5, 2.0))
    assert relative_error(layer(X), reference.layer_norm(X, np.full(5, 2.0))) < 1e-6
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X) ** 2)
    assert all(g is not None for g in tape.gradient(loss, layer.trainable_weights))
    with tf.autodiff.ForwardAccumulator(layer.beta.value, tf.ones(5)) as forward:
        y = layer(X)
    np.testing.assert_allclose(forward.jvp(y), np.ones_like(X))


def test_a_constant_within_a_trace_is_traced(layer):
    import tensorflow as tf

    x = tf.constant(X)
    traced = tf.function(lambda: layer(x))
    first = traced()
    layer.gamma.assign(np.full(5, 2.0))
    np.testing.assert_allclose(traced(), 2 * np.asarray(first), rtol=1e-6)


def test_autograph_has_nothing_to_say_of_a_layer_in_a_function(layer, monkeypatch):
    import tensorflow as tf
    from tensorflow.python.platform import tf_logging

    said = []
    monkeypatch.setattr(tf_logging, "warning", lambda *args: said.append(args))
    monkeypatch.setattr(tf_logging, "warn", lambda *args: said.append(args))

    @tf.function
    def function(x):
        return layer(x)

    function(tf.constant(X))
    assert said == []


@pytest.mark.parametrize(
    "first",
    [
        "keras.Sequential([keras.Input((5,)), layer]).predict(x, verbose=0)",
        "tf.function(layer)(tf.constant(x))",
        "tf.function(py_layernorm.layer_norm)(tf.constant(x))",
        "tf.function(py_layernorm.layer_norm, jit_compile=True)(tf.constant(x))",
        "next(iter(tf.data.Dataset.from_tensors(x).map(py_layernorm.layer_norm)))",
        "py_layernorm.layer_norm(keras.KerasTensor((None, 5)))",
        "in_a_graph(layer)",
    ],
)
def test_it_is_taken_whatever_was_computed_first(first):
    code = f"""
import numpy as np, keras, tensorflow as tf, py_layernorm
from py_layernorm import engines
layer, x = py_layernorm.LayerNormalization(), np.ones((4, 5), "float32")

def in_a_graph(layer):
    layer.build((None, 5))
    with tf.Graph().as_default():
        try:
            layer(tf.constant(x))
        except RuntimeError:  # Keras's own layer cannot use its weights there either
            pass

{first}
layer.built or layer.build((None, 5))
assert engines.short_way(layer)[1](tf.constant(x)) is not None
assert engines.short_way(layer)[1](x) is not None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
