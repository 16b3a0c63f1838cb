"""Starts R in this process and ends it, leaving Python as it was."""

import atexit
import contextlib
import ctypes
import functools
import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from py_layernorm import doctor


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Undo what R and reticulate change in the running Python.

    reticulate takes over Ctrl-C, puts the working directory first on the module path and, if uv is
    installed, goes to the network to check whether this Python has what R packages require. rpy2
    makes child processes look for libraries in R's folders, where there may be another libpython.
    """
    handler, path = signal.getsignal(signal.SIGINT), list(sys.path)
    check = "RETICULATE_CHECK_REQUIRED_PACKAGES"
    variables = {name: os.environ.get(name) for name in (check, "LD_LIBRARY_PATH")}
    os.environ[check] = "false"
    try:
        yield
    finally:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if "" not in path and "" in sys.path:
            sys.path.remove("")


@functools.cache
def start() -> dict[str, Any]:
    """Start R, and return the functions of embed.R as rpy2 sees them."""
    rinterface = _import_rpy2()
    rinterface.initr()
    code = Path(__file__).with_name("embed.R").read_text()
    functions = by_name(rinterface.baseenv["eval"](rinterface.parse(code)))
    _end_r_at_exit(rinterface, functions)
    return functions


def by_name(r_list: Any) -> dict[str, Any]:
    return dict(zip(r_list.names, r_list, strict=True))


def _import_rpy2() -> Any:
    """rpy2.rinterface, or one error that says what is missing."""
    session = os.environ.get("R_SESSION_INITIALIZED", "").split(":")
    if f"PID={os.getpid()}" in session and "rpy2.rinterface" not in sys.modules:
        raise RuntimeError("R has started this Python: call the R package there, in R.")
    if not (os.environ.get("R_HOME") or shutil.which("R")):
        raise RuntimeError(
            "R was not found: there is no R on PATH, and R_HOME is not set. "
            "Install it (Debian, Ubuntu: apt-get install r-base)."
        )
    os.environ.update(doctor.rpy2_mode())  # read when rpy2 is imported
    try:
        import rpy2.rinterface
    except ModuleNotFoundError as error:
        raise ImportError(
            "layernorm_r() needs rpy2. Install it: " + doctor.pip_install('"py-layernorm[r]"')
        ) from error
    except Exception as error:
        raise RuntimeError(
            f"rpy2 cannot load R: {error}. More from: {sys.executable} -m rpy2.situation"
        ) from error
    return rpy2.rinterface


def _end_r_at_exit(rinterface: Any, functions: dict[str, Any]) -> None:
    """End R with our own handler.

    rpy2's handler hangs: it runs R's finalizers without Python's lock, reticulate's finalizer takes
    the lock and keeps it, and rpy2 waits for it forever. Here they run with the lock held.
    """
    from rpy2 import situation

    home = sys.modules["rpy2.rinterface_lib.openrlib"].R_HOME
    library = ctypes.PyDLL(situation.get_rlib_path(home, platform.system()))
    process = os.getpid()

    def end_r() -> None:
        if os.getpid() != process:  # a fork: R's files are its parent's
            return
        functions["finish"]()
        # Makes reticulate stop its thread, which would call R after Python has ended. In a Python
        # that reticulate has not started, it does nothing else.
        os.environ["RETICULATE_ENABLE_PYTHON_FINALIZER"] = "true"
        library.R_RunExitFinalizers()
        functions["clean"]()

    atexit.unregister(rinterface.endr)
    atexit.register(end_r)
