"""What leaves the process holds standard ops, whichever way it leaves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_versions import KERAS
from leaving import MODELS, SPEC, Module, X, fresh, functional, used
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from py_layernorm import engines

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)


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
    # tf2onnx cannot name the outputs of other Keras models, nor those of Keras 3.12.
    if make in (functional, used) and KERAS >= (3, 15):
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
