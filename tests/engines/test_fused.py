"""The fused engine in TensorFlow: where it is used, where it is not, and its gradients."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import relative_error

import py_layernorm
from py_layernorm import engines

# Set-up installs a compiler, so the op is there; a machine without one tests the other engine.
pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5)).astype("float32")
GAMMA, BETA = RANDOM.normal(size=(2, 5)).astype("float32")


def ops_of(function, *arguments):
    """The names of the ops in the graph of a function that is called, those within it included."""
    traced = tf.function(function)
    traced(*arguments)
    graph = traced.get_concrete_function(*arguments).graph
    found = {op.type for op in graph.get_operations()}
    for inner in graph.as_graph_def().library.function:
        found |= {node.op for node in inner.node_def}
    return found


class TestEagerCallsByTheShortWay:
    """A built layer called on an eager tensor skips Keras's bookkeeping: nothing else differs."""

    def both(self, layer, x):
        """The layer's output by the short way, which is taken, and by Keras's way."""
        short = engines.short_way(layer)[1](x)
        assert short is not None
        return short, keras.layers.Layer.__call__(layer, x)

    @pytest.mark.parametrize("axis", [-1, 1, [1, 2], (2, 1), 0])
    @pytest.mark.parametrize("dtype", ["mixed_float16", "float32", "float64"])
    def test_the_numbers_are_the_same(self, axis, dtype):
        layer = py_layernorm.LayerNormalization(axis=axis, dtype=dtype)
        x = tf.constant(RANDOM.normal(size=(3, 4, 5)), layer.compute_dtype)
        layer.build(x.shape)
        layer.set_weights([RANDOM.normal(size=w.shape) for w in layer.weights])
        short, long = self.both(layer, x)
        assert short.dtype == long.dtype
        np.testing.assert_array_equal(short, long)

    def test_gradients_flow_to_the_weights(self):
        layer = py_layernorm.LayerNormalization()
        layer.build(X.shape)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        came = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], tf.constant(X[::-1]))
        for c, e in zip(came, reference.gradients(X, X[::-1]), strict=True):
            assert relative_error(c, e) < 1e-5

    def test_keras_keeps_what_is_its_work(self):
        class Doubles(py_layernorm.LayerNormalization):
            def call(self, x):
                return 2 * super().call(x)

        ours, doubles = py_layernorm.LayerNormalization(), Doubles()
        for layer in (ours, doubles):
            layer.build(X.shape)
        x = tf.constant(X)
        np.testing.assert_array_equal(doubles(x), 2 * ours(x))

        patched = py_layernorm.LayerNormalization()
        patched.build(X.shape)
        patched.call = lambda x: 2 * ours(x)  # of this one object
        np.testing.assert_array_equal(patched(x), 2 * ours(x))

        penalised = py_layernorm.LayerNormalization(activity_regularizer="l2")
        penalised(x)
        (before,) = penalised.losses
        penalised.gamma.assign(np.full(5, 2.0))
        penalised(x)  # built by now
        (after,) = penalised.losses
        np.testing.assert_allclose(after, 4 * before, rtol=1e-5)

        # Weights of another axis that has the same length.
        turned = py_layernorm.LayerNormalization(param_axis=1)
        square = tf.constant(X[None, :5])
        turned.build(square.shape)
        turned.set_weights([GAMMA, BETA])
        wanted = reference.layer_norm(square, GAMMA, BETA, param_axis=1)
        assert relative_error(turned(square), wanted) < 1e-6

        masked = keras.layers.Masking()(tf.constant(np.ones((2, 3, 5), "float32")))
        assert ours(masked)._keras_mask.shape == (2, 3)
        assert ours(tf.cast(x, "float64")).dtype == "float32"

    def test_errors_are_those_of_the_long_way(self):
        layer = py_layernorm.LayerNormalization(axis=2, center=False, scale=False)
        layer.build((2, 3, 5))
        with pytest.raises(ValueError, match="axis must lie between -2 and 1"):
            layer(tf.constant(X))
        layer = py_layernorm.LayerNormalization()
        layer.build((None, 4))
        with pytest.raises(ValueError, match=r"gamma must have the shape \(5,\)"):
            layer(tf.constant(X))


def test_auto_takes_the_op():
    assert engines.describe() == ("fused", "the native op")
    assert "PyLayernorm" in ops_of(py_layernorm.layer_norm, tf.constant(X))


def test_portable_does_not():
    with py_layernorm.use_engine("portable"):
        assert "PyLayernorm" not in ops_of(py_layernorm.layer_norm, tf.constant(X))


def test_xla_never_gets_the_op():
    compiled = tf.function(py_layernorm.layer_norm, jit_compile=True)
    assert relative_error(compiled(X), reference.layer_norm(X)) < 1e-6

    @tf.function(jit_compile=True)
    def outer(x):
        return tf.function(py_layernorm.layer_norm)(x)

    assert relative_error(outer(X), reference.layer_norm(X)) < 1e-6


def test_what_was_traced_before_xla_came_holds_the_op():
    """As docs/guide.md says, and the remedy that it names."""
    for engine in ("auto", "portable"):
        traced = tf.function(py_layernorm.layer_norm)
        with py_layernorm.use_engine(engine):
            traced(X)
        compiled = tf.function(lambda x, traced=traced: traced(x), jit_compile=True)
        if engine == "auto":
            with pytest.raises(tf.errors.InvalidArgumentError, match="PyLayernorm"):
                compiled(X)
        else:
            assert relative_error(compiled(X), reference.layer_norm(X)) < 1e-6


def test_xla_and_fused_can_both_be_had():
    with py_layernorm.use_engine("fused"):
        y = tf.function(lambda x: py_layernorm.layer_norm(x), jit_compile=True)(X)
    np.testing.assert_array_equal(y, py_layernorm.layer_norm(X))


def test_exported_models_hold_no_op_of_ours(tmp_path):
    model = keras.Sequential([keras.Input((5,))])
    py_layernorm.layer_layer_normalization(model)
    assert "PyLayernorm" in ops_of(model, tf.constant(X))
    model.export(tmp_path / "exported")
    assert b"PyLayernorm" not in (tmp_path / "exported" / "saved_model.pb").read_bytes()
    assert "PyLayernorm" in ops_of(model, tf.constant(X))


@pytest.mark.parametrize(
    "strategy",
    [
        lambda: tf.distribute.MirroredStrategy(["CPU:0"]),
        lambda: tf.distribute.OneDeviceStrategy("CPU:0"),
        lambda: tf.distribute.get_strategy(),
    ],
    ids=["mirrored", "one device", "default"],
)
def test_under_a_strategy(strategy):
    chosen = strategy()
    with chosen.scope():
        y = chosen.run(tf.function(py_layernorm.layer_norm), (tf.constant(X),))
    assert relative_error(y, reference.layer_norm(X)) < 1e-6


def test_fit_in_graph_mode_trains_like_the_portable_engine():
    def train(engine):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)])
        with py_layernorm.use_engine(engine):
            py_layernorm.layer_layer_normalization(model)
            model.add(keras.layers.Dense(1))
            model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
            return model.fit(X, X[:, :1], epochs=5, verbose=0).history["loss"]

    np.testing.assert_allclose(train("fused"), train("portable"), rtol=1e-4)


def test_gradients_have_their_shapes_while_tracing():
    """Optimizers of others ask for them; the op alone cannot tell."""
    shapes = []

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 5))])
    def traced(x):
        gamma, beta = tf.constant(GAMMA), tf.constant(BETA)
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y = py_layernorm.layer_norm(x, gamma, beta)
        gradients = tape.gradient(y, [x, gamma, beta])
        shapes.extend(g.shape.as_list() for g in gradients)
        return gradients

    traced(tf.ones((2, 3, 5)))
    assert shapes == [[None, 3, 5], [5], [5]]


def test_a_chain_in_a_graph_forwards_its_buffer():
    @tf.function
    def chain(x):
        for _ in range(3):
            x = py_layernorm.layer_norm(x)
        return x

    before = X.copy()
    x = tf.constant(X)
    expected = X
    for _ in range(3):
        expected = reference.layer_norm(expected)
    assert relative_error(chain(x), expected) < 1e-6
    np.testing.assert_array_equal(x, before)  # the caller's own tensor is never written to
