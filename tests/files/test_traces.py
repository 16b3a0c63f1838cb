"""What stays in the process keeps the native op; a graph that holds it needs only our import."""

import numpy as np
import pytest
import tensorflow as tf
from leaving import SPEC, X, fresh, functional

import py_layernorm
from py_layernorm import engines, layer_norm

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)


def loop(x):
    for _ in tf.range(2):
        x = layer_norm(x)
    return x


def compiled():
    model = functional()
    model.compile("sgd", "mse", jit_compile=False)
    return model


def strategy():
    chosen = tf.distribute.MirroredStrategy(["CPU:0"])
    return chosen.run(tf.function(layer_norm), (tf.constant(X),))


RUNS = {
    "predict": lambda: compiled().predict(X, verbose=0),
    "fit": lambda: compiled().fit(X, np.ones((2, 3, 5)), verbose=0),
    "evaluate": lambda: compiled().evaluate(X, np.ones((2, 3, 5)), verbose=0),
    "tf.function": lambda: tf.function(layer_norm)(X),
    "tf.function in tf.function": lambda: tf.function(lambda x: tf.function(layer_norm)(x))(X),
    "a loop": lambda: tf.function(loop)(tf.constant(X)),
    "map_fn": lambda: tf.map_fn(layer_norm, tf.constant(X)),
    "vectorized_map": lambda: tf.vectorized_map(layer_norm, tf.constant(X)),
    "data.map": lambda: list(tf.data.Dataset.from_tensors(X).map(layer_norm)),
    "data.map in predict": lambda: compiled().predict(
        tf.data.Dataset.from_tensors(X).map(layer_norm), verbose=0
    ),
    "a strategy": strategy,
}


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_here_keeps_the_native_op(name, monkeypatch):
    def portable(*arguments):
        raise AssertionError("the portable engine was called")

    monkeypatch.setattr(engines.portable, "layer_norm", portable)
    RUNS[name]()


def test_asking_for_a_graph_while_fused_is_set_is_an_error():
    with (
        py_layernorm.use_engine("fused"),
        pytest.raises(RuntimeError, match=r"cannot serve here: .*get_concrete_function"),
    ):
        tf.function(layer_norm).get_concrete_function(SPEC)


def traced_before():
    """A concrete function of a user's own, which was called before it was asked for.

    `tf.saved_model.save` traces a `tf.function` anew; of this the graph is all that there is.
    """
    module = tf.Module()
    serve = tf.function(lambda x: layer_norm(x), input_signature=[SPEC])
    serve(X)
    module.serve = serve.get_concrete_function()
    return module


LOAD = """
import sys, numpy as np, tensorflow as tf{also}
try:
    serve = tf.saved_model.load(sys.argv[1]).serve
except Exception as error:
    sys.exit(print(error))
x = tf.constant(np.arange(24.0).reshape(2, 3, 4), "float32")
with tf.GradientTape() as tape:
    tape.watch(x)
    y = serve(x)
print(np.isfinite(tape.gradient(y, x)).all())
"""


def test_a_graph_that_holds_the_op_loads_after_the_import_alone(tmp_path):
    tf.saved_model.save(traced_before(), str(tmp_path))
    assert "Op type not registered 'PyLayernorm'" in fresh(LOAD.format(also=""), tmp_path)
    assert fresh(LOAD.format(also="\nimport py_layernorm"), tmp_path) == "True"


def test_the_remedy_for_a_function_that_is_traced_before(tmp_path):
    with py_layernorm.use_engine("portable"):
        module = traced_before()
    tf.saved_model.save(module, str(tmp_path))
    assert fresh(LOAD.format(also=""), tmp_path) == "True"


def test_a_function_that_ran_is_traced_anew_when_it_is_saved(tmp_path):
    module = tf.Module()
    module.serve = tf.function(lambda x: layer_norm(x), input_signature=[SPEC])
    module.serve(X)
    tf.saved_model.save(module, str(tmp_path))
    assert fresh(LOAD.format(also=""), tmp_path) == "True"


def test_importing_choosing_and_making_layers_initialise_nothing():
    """What TensorFlow refuses to change once it is initialised can still be changed."""
    code = """
import tensorflow as tf
import py_layernorm
with py_layernorm.use_engine("fused"):
    py_layernorm.LayerNormalization(axis=[1, 2])
    py_layernorm.layer_layer_normalization()
    py_layernorm.engines.describe()
tf.config.threading.set_intra_op_parallelism_threads(3)
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
print(len(tf.config.list_logical_devices("CPU")))
"""
    assert fresh(code) == "2"


def test_importing_on_another_backend_does_not_import_tensorflow():
    pytest.importorskip("scipy")  # which Keras's NumPy backend needs
    code = "import sys, py_layernorm; print('tensorflow' in sys.modules)"
    assert fresh(code, KERAS_BACKEND="numpy") == "False"
