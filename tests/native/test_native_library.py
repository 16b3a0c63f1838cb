"""The files of the native library: damaged ones are not loaded, and none from elsewhere."""

import os
import shutil
import subprocess
import sys

import pytest

from py_layernorm import engines
from py_layernorm.engines import kernel

pytestmark = pytest.mark.skipif(
    engines.fused_unavailable() is not None, reason=str(engines.fused_unavailable())
)

# In a process of its own: what is loaded once cannot be unloaded, and a bus error would end it.
# Every folder of the first argument stands in for the package's own, one after the other.
DAMAGED = """
import sys
from pathlib import Path
import numpy as np
import py_layernorm
from py_layernorm import doctor, engines
from py_layernorm.engines import tensorflow

for folder in sorted(Path(sys.argv[1]).iterdir()):
    py_layernorm.__path__ = [str(folder)]
    tensorflow.load.cache_clear()
    tensorflow.unavailable.cache_clear()
    py_layernorm.use_engine("auto")  # chooses anew
    y = py_layernorm.layer_norm(np.array([[1.0, 3.0]]), epsilon=0)
    assert np.allclose(y, [[-1, 1]]), y
    finding = doctor.native_finding()
    assert finding.remedy
    print(folder.name, engines.describe()[0], finding.problem, sep="|")
"""

HEADER = 64


def patched(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def damaged(content):
    """What may stand where a library was, and a part of what is then said of it."""
    size = len(content)
    sizes = [1, 5, 16, 40, HEADER - 1, HEADER, HEADER + 100, 4096, size // 3, size // 2, size - 1]
    yield from ((f"cut-{cut}", content[:cut], "") for cut in sizes)
    yield "cut-half", content[: size // 2], f"is truncated: it has {size // 2} bytes of {size}"
    yield "empty", b"", "too short"
    yield "text", b"not a library\n" * 400, "invalid ELF header"
    yield "mach-o", b"\xcf\xfa\xed\xfe" + content[4:], "invalid ELF header"
    yield "windows", b"MZ" + content[2:], "invalid ELF header"
    yield "big-endian", patched(content, 5, b"\x02"), "ELF"
    yield "32-bit", patched(content, 4, b"\x01"), "wrong ELF class"
    yield "s390", patched(content, 18, b"\x16\x00"), ""  # another machine, as e_machine says


def test_the_portable_engine_serves_and_the_doctor_says_why(tmp_path):
    installed = kernel.find(kernel.OP).parent
    parts = {}
    for victim in (kernel.OP, kernel.KERNEL):
        for name, content, part in damaged((installed / victim).read_bytes()):
            folder = tmp_path / f"{victim.split('_')[-1]}-{name}" / "native"
            shutil.copytree(installed, folder)
            (folder / victim).write_bytes(content)
            parts[folder.parent.name] = part
    missing = tmp_path / "no-kernel" / "native"
    missing.mkdir(parents=True)
    shutil.copy(installed / kernel.OP, missing)
    parts["no-kernel"] = "there is no native library in"

    done = subprocess.run(
        [sys.executable, "-c", DAMAGED, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = {line.split("|")[0]: line.split("|")[1:] for line in done.stdout.splitlines()}
    assert said.keys() == parts.keys()
    for name, part in parts.items():
        engine, problem = said[name]
        assert engine == "portable", name
        assert problem.startswith("the native op is missing: "), name
        assert part in problem


IMPOSTOR = """
#include <cstdio>
#include <cstdlib>
__attribute__((constructor)) void loaded() { std::fclose(std::fopen(std::getenv("MARKER"), "w")); }
"""


def test_nothing_outside_the_package_is_loaded(tmp_path):
    """Neither from the working directory, nor from where environment variables point."""
    compiler = shutil.which("c++") or shutil.which("g++")
    assert compiler, "set-up installs a compiler"
    (tmp_path / "impostor.cc").write_text(IMPOSTOR)
    for name in (kernel.OP, kernel.KERNEL):
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "impostor.cc", "-o", name],
            cwd=tmp_path,
            check=True,
        )
    marker = tmp_path / "marker"
    environment = {
        **os.environ,
        "MARKER": str(marker),
        "LD_LIBRARY_PATH": str(tmp_path),
        "DYLD_LIBRARY_PATH": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PY_LAYERNORM_NATIVE": str(tmp_path),  # which the kernel's own tests read
    }
    code = "import py_layernorm.engines as e; from py_layernorm.engines import kernel; " + (
        "print(e.describe()[0], kernel.description())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("fused "), done.stdout + done.stderr
    assert not marker.exists()


def test_a_file_that_ends_before_its_headers_say(tmp_path):
    content = kernel.find(kernel.OP).read_bytes()
    path = tmp_path / kernel.OP
    path.write_bytes(content[:-1])
    with pytest.raises(OSError, match=f"is truncated: it has {len(content) - 1} bytes of"):
        kernel.check_not_truncated(path)
