"""Memory, threads and processes: nothing grows, nothing hangs, running out is an error."""

import functools
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import py_layernorm
from py_layernorm import engines
from py_layernorm.engines import tensorflow

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    pytest.mark.skipif(
        engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
    ),
]

RANDOM = np.random.default_rng(0)
LONGEST = 120  # seconds, after which something hangs


def resident():
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_100_000_calls_grow_by_less_than_a_megabyte():
    layer = py_layernorm.LayerNormalization()
    x = tf.constant(RANDOM.normal(size=(4, 8)).astype("float32"))
    layer(x)
    op = tensorflow.load()
    arguments = {
        "dy": x, "x": x, "gamma": [layer.gamma.value], "G": tf.float32,
        "stats": tf.ones((2, 4), tf.float64), "center": True,
        "settings": [1, 2, 0, 1],
    }  # fmt: skip

    def calls(count):
        for _ in range(count):
            layer(x)
            op.py_layernorm_grad(**arguments)

    calls(5_000)  # what is allocated once
    before = resident()
    calls(50_000)
    assert resident() - before < 1 << 20


def test_calls_with_ever_new_shapes_grow_by_less_than_a_megabyte():
    """Neither the kernel nor the package keeps a buffer for shapes that may come again."""

    def calls(lengths):
        for n in lengths:
            x = tf.zeros((3, n))
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = py_layernorm.layer_norm(x)
            tape.gradient(y, x)
            py_layernorm.layer_norm(tf.zeros((2, 5, n)), axis=1)

    calls(range(2500, 1500, -1))  # the largest first: memory for those to come is there then
    before = resident()
    calls(range(1500, 1, -1))
    assert resident() - before < 1 << 20


def in_threads(functions):
    """Runs them at once; the errors that they raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST)
        assert not thread.is_alive(), "a thread hangs"
    return errors


@pytest.mark.parametrize("axis", [-1, 1])
def test_eight_threads_call_one_layer(axis):
    """Each with its own data, which must come back as if it had been alone."""
    layer = py_layernorm.LayerNormalization(axis=axis)
    inputs = [tf.constant(RANDOM.normal(size=(64, 96, 32)).astype("float32")) for _ in range(8)]
    expected = [layer(x).numpy() for x in inputs]

    def work(x, wanted):
        for _ in range(25):
            np.testing.assert_array_equal(layer(x), wanted)

    pairs = zip(inputs, expected, strict=True)
    assert in_threads([lambda x=x, y=y: work(x, y) for x, y in pairs]) == []


def test_eight_threads_take_the_gradients_of_one_layer():
    layer = py_layernorm.LayerNormalization()
    inputs = [tf.constant(RANDOM.normal(size=(500, 96)).astype("float32")) for _ in range(8)]
    layer.build((None, 96))
    weights = [w.value for w in layer.weights]

    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 3)
        return [g.numpy() for g in tape.gradient(loss, weights)]

    def work(x, wanted):
        for _ in range(25):
            for came, due in zip(gradients(x), wanted, strict=True):
                np.testing.assert_array_equal(came, due)

    pairs = [(x, gradients(x)) for x in inputs]
    assert in_threads([lambda x=x, y=y: work(x, y) for x, y in pairs]) == []


def make_model():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    py_layernorm.layer_layer_normalization(model, name="norm")
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse", jit_compile=False)
    return model


def test_training_and_predicting_at_once():
    """Another model's predictions are not disturbed, and this one's are numbers.

    Batches large enough to be shared out: all three want the kernel's threads at the same time.
    """
    trained, still = make_model(), make_model()
    x = RANDOM.normal(size=(2048, 64)).astype("float32")
    wanted = still(x).numpy()
    fit = functools.partial(trained.fit, x, x[:, :1], batch_size=1024, verbose=0)
    fit()  # traced before, as Keras's tracing is not for threads
    traced = tf.function(trained)
    traced(x)

    def train():
        fit(epochs=150)

    def predict_with_the_same():
        for _ in range(200):
            assert np.isfinite(traced(x)).all()

    def predict_with_another():
        for _ in range(200):
            np.testing.assert_array_equal(still(x), wanted)

    assert in_threads([train, predict_with_the_same, predict_with_another]) == []


def child_calls_the_layer(layer, x, wanted, queue):
    same = bool(np.array_equal(layer(tf.constant(x)), wanted))
    queue.put((same, len(os.listdir("/proc/self/task"))))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_forked_child_computes_after_its_parent_did():
    """Large enough to be shared out, so that the child needs threads of its own."""
    layer = py_layernorm.LayerNormalization()
    x = RANDOM.normal(size=(2000, 256)).astype("float32")
    wanted = layer(tf.constant(x)).numpy()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=child_calls_the_layer, args=(layer, x, wanted, queue))
    child.start()
    try:
        same, threads = queue.get(timeout=LONGEST)
        assert same
        assert threads > 1
        child.join(LONGEST)
        assert child.exitcode == 0
    finally:
        child.kill()
    np.testing.assert_array_equal(layer(tf.constant(x)), wanted)


# In a process of its own, whose address space ends below what an output needs. The error is
# TensorFlow's, and the layer works again afterwards.
OUT_OF_MEMORY = """
import resource
import numpy as np, tensorflow as tf, py_layernorm

layer = py_layernorm.LayerNormalization(axis=1)
small, large = tf.ones((4, 256, 3)), tf.ones((1024, 256, 256))  # 3 kB, 256 MB
layer(small)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20),) * 2)
try:
    layer(large)
except tf.errors.ResourceExhaustedError:
    print("error")
print(np.isfinite(layer(small)).all())
"""


def test_running_out_of_memory_is_an_error():
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # against a hang: code that fails for lack of memory may wait forever
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["error", "True"]
