"""How a process that holds R ends: without a hang, with its status, nothing on stderr, tidily."""

import os
import subprocess
import sys

import pytest
from documents import blocks

# What these processes run before they end. The last finalizer is that of reticulate 1.43 and newer,
# for which rpy2 would wait forever.
BEGIN = """
import os, sys
{first}
from py_layernorm.r import layernorm_r
r = layernorm_r()
from rpy2 import robjects
robjects.r('''
  pdf("plot.pdf")
  plot(1)
  reg.finalizer(environment(), function(e) cat("finalized", file = "finalizer"), onexit = TRUE)
  reg.finalizer(globalenv(), function(e) reticulate:::py_allow_threads_impl(FALSE), onexit = TRUE)
  .Last <- function() cat("last", file = "last")
''')
print(robjects.r("tempdir()")[0])
"""

# R's packages are missing at first; then the guide's cells are run, with R started between them.
LATE = """
os.environ.pop("RPY2_CFFI_MODE", None)
libraries = os.environ.pop("R_LIBS")
from py_layernorm.r import layernorm_r
try:
    layernorm_r()
    raise AssertionError("a library without the package")
except RuntimeError as error:
    assert "is not installed. Install it: " in str(error), error
import rpy2.rinterface
rpy2.rinterface.baseenv[".libPaths"](rpy2.rinterface.StrSexpVector(libraries.split(":")))

from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import warnings
warnings.filterwarnings("ignore", "The Python package `pandas` is strongly recommended")
load, cell = {cells!r}
before = "import keras; from py_layernorm.r import layernorm_r; layernorm_r()"
model = "model = keras.Sequential([keras.Input((4,))])"
for code in (load, before, model, cell):
    shell.run_cell(code).raise_error()
found = shell.user_ns
assert found["longer"] is found["model"]
assert len(found["model"].layers) == 1
""".format(cells=blocks("docs/guide.md", "ipython"))

# rpy2 was there first, with an own handler of Ctrl-C.
EARLY = """
import signal
from rpy2 import robjects
def handler(*_): pass
signal.signal(signal.SIGINT, handler)
"""
AFTER_EARLY = """
assert signal.getsignal(signal.SIGINT) is handler
if os.fork() == 0:
    sys.exit()  # ends nothing of R's
os.wait()
assert os.path.isdir(robjects.r("tempdir()")[0])
raise LookupError("the end")
"""


def of_tensorflow(line):
    """What TensorFlow writes when it is imported, with R or without."""
    return line.startswith(("WARNING: All log messages before absl", "I0000 ", "W0000 ", "E0000 "))


@pytest.mark.parametrize(
    ("first", "end", "status", "errors"),
    [
        (LATE, "sys.exit(3)", 3, []),
        (EARLY, AFTER_EARLY, 1, ["Traceback (most recent call last):", "LookupError: the end"]),
    ],
    ids=["exit", "exception"],
)
def test_exit(first, end, status, errors, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(first=first) + end],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,  # a hang, that is
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
    )
    lines = [line for line in done.stderr.splitlines() if line and not of_tensorflow(line)]
    assert [line for line in lines if not line.startswith("  ")] == errors, done.stderr
    assert done.returncode == status
    folder = done.stdout.splitlines()[-1]
    assert "Rtmp" in folder
    assert not os.path.exists(folder)
    assert (tmp_path / "plot.pdf").read_bytes().endswith(b"%%EOF\n")
    assert (tmp_path / "finalizer").read_text() == "finalized"
    assert (tmp_path / "last").read_text() == "last"
