"""The ctypes binding of the native kernel, and the settings that the kernel reads."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from native_kernel import library

import py_layernorm
from py_layernorm.engines import kernel

try:
    MISSING = library() and ""
except FileNotFoundError as error:
    MISSING = str(error)
pytestmark = pytest.mark.skipif(MISSING != "", reason=MISSING)


@pytest.fixture
def loaded(tmp_path):
    """A copy of the library, whose number of threads nobody else sees."""
    return kernel.Kernel(shutil.copy(library(), tmp_path))


def test_bad_arguments(loaded):
    forward = loaded.library.py_layernorm_forward
    x = np.zeros(4, "float32").ctypes.data
    out = np.zeros(4).ctypes.data
    rest = (x, None, None, 1e-3, x, out, out)
    assert forward(0, 2, 2, 1, *rest) == kernel.OK
    for dtype in (-1, 4):
        assert forward(dtype, 2, 2, 1, *rest) == kernel.INVALID
    assert forward(0, -2, 2, 1, *rest) == kernel.INVALID
    assert forward(0, 2, 2, 1, None, *rest[1:]) == kernel.INVALID


def test_the_binding_refuses_what_the_kernel_cannot_take(loaded):
    x = np.zeros((2, 3, 4), "float32")
    with pytest.raises(ValueError, match="takes C-contiguous arrays"):
        loaded.forward(x.transpose(1, 0, 2))
    with pytest.raises(MemoryError, match="out of memory in layer normalisation"):
        kernel._check(kernel.NO_MEMORY)
    with pytest.raises(ValueError, match="invalid arguments of the layer normalisation kernel"):
        kernel._check(kernel.INVALID)


def test_how_many_threads(loaded):
    for count in (1, kernel.MOST_THREADS, np.int64(3)):
        loaded.threads = count
        assert loaded.threads == count
    # 2**32 + 1 is 1 as a C int.
    for count in (0, -1, kernel.MOST_THREADS + 1, 2**32 + 1, 2.0, True, "2", None):
        with pytest.raises(ValueError, match=r"^threads must be an int from 1 to 256. "):
            loaded.threads = count
    for count in (0, -1, kernel.MOST_THREADS + 1):
        assert loaded.library.py_layernorm_set_threads(count) == kernel.INVALID
    assert loaded.threads == 3


@pytest.mark.parametrize(
    ("text", "threads"),
    [("3", 3), ("256", 256), ("007", 7), *((text, None) for text in (
        "", "0", "257", "4294967297", "18446744073709551617", "-2", "+4", " 4", "4 ", "1e1"))],
)  # fmt: skip
def test_the_kernel_ignores_a_number_of_threads_out_of_range(text, threads, tmp_path, monkeypatch):
    """The binding refuses it. Whoever loads the kernel in another way gets the default."""
    monkeypatch.setattr(kernel, "check_settings", lambda: None)
    monkeypatch.setenv("PY_LAYERNORM_THREADS", text)
    default = min(len(os.sched_getaffinity(0)), kernel.MOST_THREADS)
    copy = shutil.copy(library(), tmp_path / "loaded.so")
    assert kernel.Kernel(copy).threads == (threads or default)


@pytest.mark.parametrize("isa", ["AVX2", "avx2 ", "sse"])
def test_the_kernel_ignores_an_unknown_instruction_set(isa, tmp_path, monkeypatch):
    monkeypatch.delenv("PY_LAYERNORM_ISA", raising=False)
    best = kernel.Kernel(shutil.copy(library(), tmp_path / "best.so")).isa
    monkeypatch.setattr(kernel, "check_settings", lambda: None)
    monkeypatch.setenv("PY_LAYERNORM_ISA", isa)
    assert kernel.Kernel(shutil.copy(library(), tmp_path / "asked.so")).isa == best


WITHOUT = """
import importlib.util
import sys

for name in ("keras", "tensorflow", "py_layernorm"):
    sys.modules[name] = None  # importing it is an error
spec = importlib.util.spec_from_file_location("kernel", sys.argv[1])
kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
print(kernel.Kernel(sys.argv[2]).version)
"""


def test_the_binding_needs_neither_keras_nor_tensorflow():
    arguments = [kernel.__file__, kernel.find(kernel.KERNEL)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == kernel.Kernel().version, done.stderr


def test_an_editable_install_has_two_folders(tmp_path, monkeypatch):
    """The sources are in one, what was compiled is in the other."""
    for name in ("sources", "compiled"):
        (tmp_path / name / "native").mkdir(parents=True)
    for name in (kernel.OP, kernel.KERNEL):
        shutil.copy(kernel.find(kernel.OP).parent / name, tmp_path / "compiled" / "native")
    folders = [str(tmp_path / "sources"), str(tmp_path / "compiled")]
    monkeypatch.setattr(py_layernorm, "__path__", folders)
    assert kernel.find(kernel.OP) == tmp_path / "compiled" / "native" / kernel.OP
    monkeypatch.setattr(py_layernorm, "__path__", folders[:1])
    with pytest.raises(FileNotFoundError, match="/sources/native: it was not compiled"):
        kernel.find(kernel.OP)
    monkeypatch.setattr(py_layernorm, "__path__", [str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="in py_layernorm/native: it was"):
        kernel.find(kernel.OP)
