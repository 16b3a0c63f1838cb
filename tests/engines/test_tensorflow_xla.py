"""The kernel under TensorFlow's XLA (`jit_compile=True`), and what keeps it from serving there."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES, TOLERANCE, Case, relative_error

import py_layernorm
from py_layernorm import engines

OLD = tuple(map(int, tf.__version__.split(".")[:2])) < (2, 18)
pytestmark = pytest.mark.skipif(
    OLD or engines.fused_unavailable() is not None,
    reason="TensorFlow is older than 2.18" if OLD else str(engines.fused_unavailable()),
)

RANDOM = np.random.default_rng(0)
X, V = RANDOM.normal(size=(2, 4, 3, 5)).astype("float32")
GAMMA, BETA = RANDOM.normal(size=(2, 5)).astype("float32")


def test_the_kernel_serves_with_the_bits_of_the_op(monkeypatch):
    from py_layernorm.engines import stablehlo

    assert engines.unavailable_under_xla() is None  # tried out by calls that do not count here
    called = []
    original = stablehlo.call
    monkeypatch.setattr(
        stablehlo, "call", lambda name, *rest: called.append(name) or original(name, *rest)
    )

    @tf.function(jit_compile=True)
    def compiled(x):
        y = py_layernorm.layer_norm(x)
        return y, tf.gradients(y, x)

    y, _ = compiled(tf.constant(X))
    assert called == ["py_layernorm_forward_1", "py_layernorm_backward_1"]
    np.testing.assert_array_equal(y, py_layernorm.layer_norm(X))
    called.clear()
    with py_layernorm.use_engine("portable"):
        tf.function(lambda x: py_layernorm.layer_norm(x), jit_compile=True)(X)
    assert called == []


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown batch"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values(case, known):
    x, gamma, beta, _ = case.arrays()
    shape = case.shape if known else (None, *case.shape[1:])
    axes = reference.resolve(
        case.axis if case.param_axis is None else case.param_axis, len(case.shape)
    )
    if not known and 0 in axes:
        pytest.skip("weights along the batch need its length")

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec(shape, case.dtype)])
    def compiled(x):
        return py_layernorm.layer_norm(x, gamma, beta, **case.function_arguments)

    y = compiled(x)
    assert y.dtype == case.dtype
    assert relative_error(y, case.expected()) <= TOLERANCE[case.dtype]


def first(x, gamma, beta):
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y = tf.reduce_sum(tf.sin(py_layernorm.layer_norm(x, gamma, beta)))
    return tape.gradient(y, [x, gamma, beta])


def second(x, gamma, beta):
    with tf.GradientTape() as tape:
        tape.watch([x, gamma])
        s = sum(tf.reduce_sum(tf.sin(d)) for d in first(x, gamma, beta))
    return tape.gradient(s, [x, gamma])


def forward_mode(x, gamma, beta):
    with tf.autodiff.ForwardAccumulator(x, tf.constant(V)) as accumulator:
        y = py_layernorm.layer_norm(x, gamma, beta)
    return accumulator.jvp(y)


def vectorized(x, gamma, beta):
    return tf.vectorized_map(lambda row: py_layernorm.layer_norm(row, gamma, beta), x)


def loop(x, gamma, beta):
    def body(i, x):
        return i + 1, 2 * py_layernorm.layer_norm(x, gamma, beta)

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.while_loop(lambda i, x: i < 3, body, (0, x), maximum_iterations=3)[1]
        y = tf.reduce_sum(tf.sin(y))
    return y, tape.gradient(y, x)


@pytest.mark.parametrize("function", [first, second, forward_mode, vectorized, loop])
def test_transformations(function):
    arguments = [tf.constant(a) for a in (X, GAMMA, BETA)]
    came = tf.nest.flatten(tf.function(function, jit_compile=True)(*arguments))
    with py_layernorm.use_engine("portable"):
        wanted = tf.nest.flatten(tf.function(function)(*arguments))
    assert len(came) == len(wanted)
    for c, w in zip(came, wanted, strict=True):
        np.testing.assert_allclose(c, w, rtol=0, atol=1e-5 * max(1, np.abs(w).max()))


@pytest.mark.parametrize("case", [Case((6, 33)), Case((3, 4, 5), axis=1)], ids=str)
def test_gradients_against_the_reference(case):
    x, gamma, beta, dy = case.arrays()

    @tf.function(jit_compile=True)
    def gradients(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            y = py_layernorm.layer_norm(*arguments, **case.function_arguments)
        return tape.gradient(y, arguments, dy)

    wanted = reference.gradients(x, dy, gamma, **case.function_arguments)
    for c, w in zip(gradients(*map(tf.constant, (x, gamma, beta))), wanted, strict=True):
        assert relative_error(c, w) < 5e-7


def test_fit_trains_as_it_does_with_the_portable_engine():
    def train(engine):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)])
        with py_layernorm.use_engine(engine):
            py_layernorm.layer_layer_normalization(model)
            model.add(keras.layers.Dense(1))
            model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=True)
            return model.fit(X[0], X[0, :, :1], epochs=5, verbose=0).history["loss"]

    np.testing.assert_allclose(train("fused"), train("portable"), rtol=1e-4)


def test_graphs_that_are_asked_for_hold_stock_ops():
    compiled = tf.function(lambda x: py_layernorm.layer_norm(x), jit_compile=True)
    compiled(tf.constant(X))
    asked_for = compiled.get_concrete_function(tf.TensorSpec((None, 3, 5))).graph
    assert not {"XlaCallModule", "PyLayernorm"} & {op.type for op in asked_for.get_operations()}


# What must leave XLA to the portable engine, and the reason given.
OBSTACLES = {
    "missing": ("xla.LIBRARY = 'libmissing.so'", "FileNotFoundError: there is no native library"),
    "truncated": (
        "path = pathlib.Path(sys.argv[1]) / 'short.so'\n"
        "path.write_bytes(pathlib.Path(kernel.find(xla.LIBRARY)).read_bytes()[:9000])\n"
        "xla.LIBRARY = str(path)",
        "OSError: ",
    ),
    "no library at all": (
        "path = pathlib.Path(sys.argv[1]) / 'text.so'\n"
        "path.write_text('text')\n"
        "xla.LIBRARY = str(path)",
        "OSError: ",
    ),
    "old": ("tf.__version__ = '2.17.1'", "from TensorFlow 2.18 on; this is 2.17.1"),
    "another gradient": (
        "tf.RegisterGradient('XlaCallModule')(lambda op, *dy: None)",
        "KeyError: ",
    ),
    "another interface": (
        "from py_layernorm.engines import tensorflow_xla\n"
        "other = (ctypes.c_int64 * 100)(8 * 100, 0, 24, 0, 1)\n"  # version 1.0
        "tensorflow_xla._api = lambda: ctypes.addressof(other)",
        "RuntimeError: the interface of this XLA is another one",
    ),
    "a smaller interface": (
        "from py_layernorm.engines import tensorflow_xla\n"
        "other = (ctypes.c_int64 * 100)(8 * 10, 0, 24, 0, 0)\n"
        "tensorflow_xla._api = lambda: ctypes.addressof(other)",
        "RuntimeError: the interface of this XLA is another one",
    ),
    "no symbol": (
        "from py_layernorm.engines import tensorflow_xla\ntensorflow_xla.GET_API = ('nothing',)",
        "RuntimeError: this TensorFlow's libraries do not have nothing",
    ),
    "other results": (
        "from py_layernorm.engines import tensorflow_xla\n"
        "right = tensorflow_xla._normalise\n"
        "tensorflow_xla._normalise = lambda x, *a: right(2 * x, *a) + 1",
        "RuntimeError: the kernel gives ",
    ),
}

PROGRAM = """
import ctypes, pathlib, sys
import numpy as np, tensorflow as tf, py_layernorm
from py_layernorm import engines
from py_layernorm.engines import kernel, xla
{obstacle}
x = np.arange(15, dtype="float32").reshape(3, 5)
from py_layernorm.engines import tensorflow_xla
tensorflow_xla.layer_norm = None  # calling the adapter fails
y = tf.function(lambda x: py_layernorm.layer_norm(x), jit_compile=True)(x)
np.testing.assert_allclose(y, py_layernorm.layer_norm(x), atol=1e-6)
print(engines.unavailable_under_xla())
"""


@pytest.mark.parametrize("name", OBSTACLES)
def test_the_portable_engine_serves_where_the_kernel_cannot(name, tmp_path):
    obstacle, reason = OBSTACLES[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(obstacle=obstacle), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PY_LAYERNORM_ENGINE": "auto"},
    )
    assert done.returncode == 0, done.stderr
    assert reason in done.stdout
