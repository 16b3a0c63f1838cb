"""The number of threads: what users say, what TensorFlow was told; nothing initialises it early."""

import os
import subprocess
import sys

import pytest

import py_layernorm
from py_layernorm import engines

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

START = """
import numpy as np, keras, py_layernorm, tensorflow as tf
from py_layernorm.engines import kernel
threads = lambda: kernel.Kernel().threads
"""


def run(code, **environment):
    environment = {**os.environ, **environment}
    for name in ("PY_LAYERNORM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        if environment.get(name) is None:
            environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


NOTHING_COMPUTED = """
py_layernorm.use_engine("fused")
with py_layernorm.use_engine("auto"):
    pass
py_layernorm.get_engine()
py_layernorm.LayerNormalization(gamma_initializer="random_normal", beta_regularizer="l2")
model = keras.Sequential()
py_layernorm.layer_layer_normalization(model)
py_layernorm.compose_layer(model, keras.layers.Dense(3))
py_layernorm.accelerate(model)
py_layernorm.restore(model)
py_layernorm.layer_layer_normalization(epsilon=None).get_config()
py_layernorm.set_threads(3)
"""


def test_nothing_initialises_tensorflow_before_it_computes():
    code = NOTHING_COMPUTED + (
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        "tf.config.threading.set_inter_op_parallelism_threads(1)\n"
        "tf.config.set_visible_devices([], 'GPU')\n"
        "tf.config.set_logical_device_configuration(\n"
        "    tf.config.list_physical_devices('CPU')[0],\n"
        "    [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "print(len(tf.config.list_logical_devices('CPU')))"
    )
    assert run(code) == ["2"]


FIRST_CALLS = [
    "py_layernorm.layer_norm(np.ones((2, 3)))",
    "layer = py_layernorm.LayerNormalization(); layer(np.ones((2, 3), 'float32'))",
    "tf.function(py_layernorm.layer_norm)(np.ones((2, 3)))",
]


@pytest.mark.parametrize("first", FIRST_CALLS)
def test_tensorflows_number_is_respected(first):
    told = "py_layernorm.use_engine('fused')\n" + (
        "tf.config.threading.set_intra_op_parallelism_threads(5)\n"
    )
    assert run(f"{told}{first}\nprint(threads())") == ["5"]
    assert run(f"{first}\nprint(threads())", TF_NUM_INTRAOP_THREADS="6") == ["6"]
    assert run(f"{told}{first}\nprint(threads())", PY_LAYERNORM_THREADS="3") == ["3"]
    asked = "py_layernorm.set_threads(4)\n"
    assert run(f"{asked}{told}{first}\nprint(threads())", PY_LAYERNORM_THREADS="3") == ["4"]
    assert run(f"{told}{first}\n{asked}{first}\nprint(threads())") == ["4"]


@pytest.mark.parametrize("threads", [0, 257, 2**32, 2.0, True, "2", None])
def test_a_wrong_number_is_refused(threads):
    with pytest.raises(ValueError, match=r"threads must be an int from 1 to 256. Received"):
        py_layernorm.set_threads(threads)
