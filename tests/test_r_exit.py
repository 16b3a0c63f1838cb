"""How a process that holds R ends: without a hang, with its status, nothing on stderr, tidily."""

import os
import subprocess
import sys

import pytest

# Everything that these processes run before they end.
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
  .Last <- function() cat("last", file = "last")
''')
print(robjects.r("tempdir()")[0])
"""

# R's packages are missing at first; R starts within a notebook's shell that knows rpy2's magic.
LATE = """
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
def cell(code):
    shell.run_cell(code).raise_error()

import warnings
warnings.filterwarnings("ignore", "The Python package `pandas` is strongly recommended")
cell("%load_ext rpy2.ipython")
cell("import keras, numpy\\n"
     "from py_layernorm.r import layernorm_r\\n"
     "layernorm_r()\\n"
     "model = keras.Sequential([keras.Input((4,))])\\n"
     "x = numpy.ones((2, 4))")
cell("%%R -i model -i x -o same -o y\\n"
     "library(layernorm)\\n"
     "same <- model |> layer_layer_normalization(axis = -1, name = 'norm')\\n"
     "y <- layer_norm(x)")
found = shell.user_ns
assert found["same"] is found["model"]
assert [layer.name for layer in found["model"].layers] == ["norm"]
assert found["y"].shape == (2, 4)
"""

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
