"""Tests that need JAX, in processes of their own: one process has one backend of Keras."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("file", ["engines/test_jax.py", "engines/test_xla_call.py"])
def test_on_jax(file):
    done = run("-m", "pytest", "-p", "no:cacheprovider", TESTS / file, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stdout + done.stderr  # 5 where every test was skipped


SEVERAL_DEVICES = """
import jax, numpy as np, py_layernorm
from jax.sharding import NamedSharding, PartitionSpec
mesh = jax.make_mesh((4,), ("rows",))
x = np.arange(40, dtype="float32").reshape(8, 5) ** 2
shared = jax.device_put(x, NamedSharding(mesh, PartitionSpec("rows")))
function = jax.jit(lambda x: py_layernorm.layer_norm(x))
assert function.lower(x).as_text().count("@py_layernorm_forward_1(") == 1
assert function.lower(shared).as_text().count("@py_layernorm_forward_1(") == 0
y = function(shared)
assert y.sharding.is_equivalent_to(shared.sharding, 2), y.sharding
np.testing.assert_allclose(y, function(x), atol=1e-6)
gradient = jax.jit(jax.grad(lambda x: (py_layernorm.layer_norm(x) ** 3).sum()))
np.testing.assert_allclose(gradient(shared), gradient(x), atol=1e-5)
"""


def test_several_devices_get_stock_ops_and_keep_their_shares():
    flags = "--xla_force_host_platform_device_count=4"
    done = run("-c", SEVERAL_DEVICES, KERAS_BACKEND="jax", XLA_FLAGS=flags)
    assert done.returncode == 0, done.stderr


ONE_PROCESS = """
import jax, numpy as np, tensorflow as tf, py_layernorm
from py_layernorm.engines import jax as adapter
assert adapter.unavailable() is None, adapter.unavailable()
x = (np.random.default_rng(0).normal(size=(40, 768)) + 3).astype("float32")
eager = py_layernorm.layer_norm(x).numpy()
graph = tf.function(py_layernorm.layer_norm)(x).numpy()
xla = tf.function(py_layernorm.layer_norm, jit_compile=True)(x).numpy()
other = jax.jit(lambda x: adapter._normalise(x, None, None, 1, 2, 1e-3))(x)
for y in (graph, xla, other):
    np.testing.assert_array_equal(eager, y)
"""


def test_two_frameworks_in_one_process_have_the_same_bits():
    done = run("-c", ONE_PROCESS, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr


# What must leave JAX to the portable engine, and the reason given.
OBSTACLES = {
    "missing": ("xla.LIBRARY = 'libmissing.so'", "FileNotFoundError: there is no native library"),
    "no library": ("xla.LIBRARY = __file__", "OSError: "),
    "old": (
        "importlib.metadata.version = lambda name: '0.7.2'",
        "JAX must be 0.8 or newer; it is 0.7.2",
    ),
    "another interface": (
        "class Wrong:\n"
        "    py_layernorm_xla_forward = py_layernorm_xla_backward = handler\n"
        "xla.library = lambda: Wrong",
        "version",
    ),
    "names that JAX no longer has": (
        "import jax.extend.core\ndel jax.extend.core.Primitive",
        "ImportError: ",
    ),
    "other results": (
        "from py_layernorm.engines import jax as adapter\n"
        "right = adapter._normalise\n"
        "adapter._normalise = lambda x, *a: right(x, *a) + 1",
        "RuntimeError: the kernel gives ",
    ),
    "a GPU": ("jax.default_backend = lambda: 'gpu'", "JAX computes on gpu"),
}

PORTABLE = """
import ctypes, importlib.metadata
import jax, numpy as np, py_layernorm
from py_layernorm import engines
from py_layernorm.engines import xla

class Version(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("next", ctypes.c_void_p), ("major", ctypes.c_int),
                ("minor", ctypes.c_int)]
class Metadata(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("version", Version)]
class Extension(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("type", ctypes.c_int), ("next", ctypes.c_void_p),
                ("metadata", ctypes.POINTER(Metadata))]
class Frame(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("extension", ctypes.POINTER(Extension))]
@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Frame))
def handler(frame):
    version = frame.contents.extension.contents.metadata.contents.version
    version.major, version.minor = 7, 0

{obstacle}
x = np.arange(15, dtype="float32").reshape(3, 5)
function = jax.jit(lambda x: py_layernorm.layer_norm(x))
y = function(x)
assert "@py_layernorm" not in function.lower(x).as_text()
d = x - x.mean(1, keepdims=True)
np.testing.assert_allclose(y, d / np.sqrt((d * d).mean(1, keepdims=True) + 1e-3), atol=1e-5)
print(engines.describe())
"""


@pytest.mark.parametrize("name", OBSTACLES)
def test_the_portable_engine_serves_where_the_kernel_cannot(name, tmp_path):
    obstacle, reason = OBSTACLES[name]
    program = tmp_path / "program.py"
    program.write_text(PORTABLE.format(obstacle=obstacle))
    done = run(program, KERAS_BACKEND="jax", PY_LAYERNORM_ENGINE="auto")
    assert done.returncode == 0, done.stderr
    assert "portable" in done.stdout
    assert reason in done.stdout


def test_the_structs_lie_as_in_xlas_own_header(tmp_path):
    """jaxlib brings the header, and `find_compiler` what compiles it."""
    from py_layernorm import doctor

    spec = importlib.util.find_spec("jaxlib")
    include = Path(spec.origin).parent / "include"
    compiler = doctor.find_compiler()
    if compiler is None or not (include / "xla/ffi/api/c_api.h").exists():
        pytest.skip("no compiler, or no header in this jaxlib")
    sources = TESTS.parent / "py_layernorm/native/xla"
    done = subprocess.run(
        [compiler, "-std=c++17", "-fsyntax-only", f"-I{include}", f"-I{sources}",
         str(TESTS / "native/xla_layout.cc")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
