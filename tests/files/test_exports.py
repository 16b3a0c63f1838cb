"""Graphs that leave the process hold standard ops; those that run in it keep the native one."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import py_layernorm
from py_layernorm import LayerNormalization, engines, layer_norm

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

SHAPE = (3, 4)
SPEC = tf.TensorSpec((None, *SHAPE), name="x")
X = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def functional():
    x = keras.Input(SHAPE, name="x")
    y = LayerNormalization(axis=[1, 2], param_axis=-1)(x)
    return filled(keras.Model(x, layer_norm(keras.layers.Dense(5)(y), np.arange(5.0) + 1.0)))


def sequential():
    return filled(keras.Sequential([keras.Input(SHAPE, name="x"), LayerNormalization()]))


def accelerated():
    layers = [keras.Input(SHAPE, name="x"), keras.layers.LayerNormalization(axis=1)]
    model = filled(keras.Sequential(layers))
    assert py_layernorm.accelerate(model).changed
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.norm = LayerNormalization()

    def call(self, x):
        return self.norm(x) + layer_norm(x)


def subclassed():
    model = Subclassed()
    model(X)
    return model


def used():
    """A model whose training and prediction were traced, with the native op, before it is saved."""
    model = functional()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(X, np.ones((2, 3, 5)), verbose=0)
    model.predict(X, verbose=0)
    model.evaluate(X, np.ones((2, 3, 5)), verbose=0)
    return model


def filled(model):
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    return model


MODELS = [functional, sequential, accelerated, subclassed, used]


class Module(tf.Module):
    """A module whose function is traced when it is saved."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(input_signature=[SPEC])
    def serve(self, x):
        return self.model(x)


def save(model, path):
    tf.saved_model.save(model, path)


def save_with_signatures(model, path):
    tf.saved_model.save(
        model, path, signatures=tf.function(lambda x: model(x)).get_concrete_function(SPEC)
    )


def save_module(model, path):
    tf.saved_model.save(Module(model), path)


def export(model, path):
    model.export(path, verbose=False)


def export_archive(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", lambda x: model(x), input_signature=[SPEC])
    archive.write_out(path, verbose=False)


SAVES = [save, save_with_signatures, save_module, export, export_archive]

# Of each folder that is named: what its signature makes of x.
SERVE = """
import sys, numpy as np, tensorflow as tf
x = tf.constant(np.load(sys.argv[1]))
for path in sys.argv[2:]:
    signatures = tf.saved_model.load(path).signatures
    serve = signatures["serving_default" if "serving_default" in signatures else "serve"]
    (name,) = serve.structured_input_signature[1]
    (y,) = serve(**{name: x}).values()
    np.save(path + ".npy", y.numpy())
assert "py_layernorm" not in sys.modules
"""


def fresh(code, *arguments, **environment):
    """`code` in a new process, which must succeed; -I keeps it from importing us by chance."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_saved_models_load_where_we_are_not_imported(tmp_path):
    np.save(tmp_path / "x.npy", X)
    expected = {}
    for make in MODELS:
        for write in SAVES:
            model, path = make(), tmp_path / f"{make.__name__} by {write.__name__}"
            write(model, str(path))
            assert b"PyLayernorm" not in (path / "saved_model.pb").read_bytes(), path.name
            expected[path] = model(X)
    fresh(SERVE, tmp_path / "x.npy", *expected)
    for path, y in expected.items():
        np.testing.assert_allclose(np.load(f"{path}.npy"), y, atol=1e-5, err_msg=path.name)


def by_tflite(content):
    """What TensorFlow Lite's own interpreter makes of X."""
    interpreter = tf.lite.Interpreter(model_content=content)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], X.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], X)
    interpreter.invoke()
    return interpreter.get_tensor(made["index"])


@pytest.mark.filterwarnings("ignore")  # of the interpreter, which is to move to another package
@pytest.mark.parametrize("make", MODELS)
def test_tensorflow_lite(make, tmp_path):
    model = make()
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    np.testing.assert_allclose(by_tflite(content), model(X), atol=1e-5)
    export(model, str(tmp_path / "saved"))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.experimental_enable_resource_variables = True
    np.testing.assert_allclose(by_tflite(converter.convert()), model(X), atol=1e-5)


def op_names(graph):
    """The ops of a graph, and of the functions that it calls."""
    definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


@pytest.mark.parametrize("make", MODELS)
def test_a_frozen_graph(make):
    """The way of whoever writes a converter: a concrete function, its variables made constants."""
    model = make()
    inner = tf.function(lambda x: model(x))
    concrete = tf.function(lambda x: inner(x)).get_concrete_function(tf.TensorSpec(X.shape))
    frozen = convert_variables_to_constants_v2(concrete)
    assert not any("PyLayernorm" in name for name in op_names(frozen.graph))
    np.testing.assert_allclose(frozen(tf.constant(X))[0], model(X), atol=1e-5)


def by_onnx(path):
    """What ONNX's reference implementation makes of X."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))
    return session.run(None, {session.input_names[0]: X})[0]


@pytest.mark.filterwarnings("ignore")  # of tf2onnx, with NumPy 2
@pytest.mark.parametrize("make", MODELS)
def test_onnx(make, tmp_path):
    tf2onnx = pytest.importorskip("tf2onnx")
    model, path = make(), tmp_path / "model.onnx"
    tf2onnx.convert.from_function(
        tf.function(lambda x: model(x)), input_signature=[SPEC], output_path=str(path)
    )
    np.testing.assert_allclose(by_onnx(path), model(X), atol=1e-5)
    model.export(path, format="onnx", verbose=False)
    np.testing.assert_allclose(by_onnx(path), model(X), atol=1e-5)
    if make in (functional, used):  # tf2onnx cannot name the outputs of other Keras models
        tf2onnx.convert.from_keras(model, output_path=str(path))
        np.testing.assert_allclose(by_onnx(path), model(X), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", MODELS)
def test_openvino(make):
    openvino = pytest.importorskip("openvino")
    model = make()
    converted = openvino.convert_model(model, example_input=tf.constant(X))
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(X)[0], model(X), atol=1e-5)


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
