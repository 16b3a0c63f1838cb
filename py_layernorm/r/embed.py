"""R in this process, by rpy2: the R package `layernorm`, and Keras objects by reference."""

import atexit
import contextlib
import ctypes
import functools
import os
import platform
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from py_layernorm import doctor


class RError(RuntimeError):
    """An error of R's: the text is R's, `r_class` are the classes of R's condition.

    A Python exception that has passed through R is raised as itself, not as this.
    """

    def __init__(self, message: str, r_class: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.r_class = r_class


class RPackage(SimpleNamespace):
    """The functions of an R package, by their names in R."""

    def __repr__(self) -> str:
        return f"<the R package layernorm: {', '.join(vars(self))}>"


class Post:
    """What crosses from one language to the other, one object at a time."""

    held: Any = None

    def give(self, value: Any) -> None:
        self.held = value

    def take(self) -> Any:
        value, self.held = self.held, None
        return value

    def warn(self, text: str) -> None:
        """Raise a warning of R's as one of the line that called R."""
        level, frame = 1, sys._getframe()
        while frame.f_back and frame.f_code is not _Session.call.__code__:
            level, frame = level + 1, frame.f_back
        warnings.warn(text, UserWarning, stacklevel=level + 2)


post = Post()  # embed.R imports it


def layernorm_r() -> RPackage:
    """Start R in this process and return its package `layernorm`, bound to this Python.

    The functions take and return what those of `py_layernorm` do. Keras objects, tensors and
    NumPy arrays cross by reference: a model that goes through R is the same object afterwards.
    Plain values are converted: numbers, strings, None (NULL), lists and dicts.

    From then on rpy2 converts Keras objects, too, so that `%%R -i model` works in a notebook, and
    so do `rpy2.robjects.globalenv["model"] = model` and functions of other R packages.

    R starts once in a process, and ends with it. Only the thread that runs Python's main program
    may call R.

    Returns:
        A namespace of the R package's functions. An error of R's is raised as `RError`, a Python
        exception within R as itself; R's warnings become Python's.

    Raises:
        ImportError: without rpy2.
        RuntimeError: without R or its packages `layernorm` and `reticulate`, in another thread, or
            where R has started this Python.

    Example:

    >>> import keras
    >>> from py_layernorm.r import layernorm_r
    >>> r = layernorm_r()
    >>> model = keras.Sequential([keras.Input((4,))])
    >>> r.layer_layer_normalization(model, axis=-1, name="norm") is model
    True
    >>> [layer.name for layer in model.layers]
    ['norm']

    Source: https://rpy2.github.io and https://rstudio.github.io/reticulate
    """
    _check_thread()
    return _package()


def _check_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "R runs in Python's main thread only. Received: a call from the thread "
            f"{threading.current_thread().name!r}. Call it from the main thread."
        )


@functools.cache  # errors are not kept: what was missing may be there the next time
def _package() -> RPackage:
    with _undisturbed():
        session = _Session(_start_r())
    session.register()
    return RPackage(**session.functions())


class _Session:
    """The functions of embed.R; objects of both languages."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self._r = functions
        for found in (
            doctor.reticulate_finding(self._version("reticulate")),
            doctor.layernorm_finding(self._version("layernorm")),
        ):
            if found.problem:
                raise RuntimeError(f"{found.problem}. Install it: {found.remedy}")
        failure = self._r["bind"](sys.orig_argv[0])[0]
        if failure:
            raise RuntimeError(f"reticulate cannot bind R to {sys.executable}: {failure}")

    def _version(self, package: str) -> str | None:
        return self._r["version"](package)[0] or None

    def to_r(self, value: Any) -> Any:
        """The R object for `value`, as reticulate makes it."""
        post.give(value)
        return self._r["take"]()

    def argument(self, value: Any) -> Any:
        """The same, but for arrays, of which R would make doubles: they stay Python's."""
        if not isinstance(value, np.ndarray):
            return self.to_r(value)
        post.give(value)
        return self._r["take_as_is"]()

    def to_python(self, value: Any) -> Any:
        """The Python object for an R object."""
        self._r["give"](value)
        return post.take()

    def call(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """`function(...)` in R, with what it raises and warns of raised and warned of here."""
        _check_thread()
        self._r["call"](
            function,
            *(self.argument(value) for value in args),
            **{name: self.argument(value) for name, value in kwargs.items()},
        )
        outcome = post.take()
        if "interrupt" in outcome:
            raise KeyboardInterrupt
        if "exception" in outcome:
            raise outcome["exception"]
        if "error" in outcome:
            raise RError(outcome["error"], tuple(outcome["r_class"]))
        return outcome["value"]

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions that the R package exports, as Python functions."""
        return {name: self._function(name, f) for name, f in _by_name(self._r["exports"]()).items()}

    def _function(self, name: str, closure: Any) -> Callable[..., Any]:

        def function(*args: Any, **kwargs: Any) -> Any:
            return self.call(closure, args, kwargs)

        usage = self._r["usage"](closure)[0].removeprefix("function ")
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"R's layernorm::{name}{usage}\n\nIn R: help({name}, layernorm)"
        return function

    def register(self) -> None:
        """Teach rpy2's converters Keras objects: those in use, and those yet to be made of them."""
        from rpy2.robjects import conversion, default_converter

        converters = [default_converter, conversion.get_conversion()]
        if magic := sys.modules.get("rpy2.ipython.rmagic"):
            converters.append(magic.default.converter)
        for converter in converters:
            for kind in _keras_classes():
                converter.py2rpy.register(kind, self.to_r)
            for name in ("SexpEnvironment", "SexpClosure"):
                kind = getattr(sys.modules["rpy2.rinterface"], name)
                before = converter.rpy2py.dispatch(kind)
                converter.rpy2py.register(kind, functools.partial(self._rpy2py, before))

    def _rpy2py(self, otherwise: Callable[[Any], Any], value: Any) -> Any:
        ours = "python.builtin.object" in value.rclass
        return self.to_python(value) if ours else otherwise(value)


def _keras_classes() -> list[type]:
    """What crosses by reference: the base classes of Keras's objects, and the backend's tensor."""
    return [
        keras.Operation,
        keras.KerasTensor,
        keras.Variable,
        keras.Initializer,
        keras.Regularizer,
        keras.constraints.Constraint,
        keras.optimizers.Optimizer,
        keras.Loss,
        keras.Metric,
        keras.callbacks.Callback,
        keras.DTypePolicy,
        type(keras.ops.zeros(1)),
    ]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what R and reticulate change in the Python that they find running.

    reticulate takes over Ctrl-C, puts the working directory before all modules, and with uv on the
    machine asks the network whether this Python holds what R packages require. rpy2 has programs
    started from here look for libraries in R's folders, where another libpython may lie.
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
def _start_r() -> dict[str, Any]:
    """Start R, and return the functions of embed.R as rpy2 sees them."""
    rinterface = _import_rpy2()
    rinterface.initr()
    code = Path(__file__).with_name("embed.R").read_text()
    functions = _by_name(rinterface.baseenv["eval"](rinterface.parse(code)))
    _end_r_at_exit(rinterface, functions)
    return functions


def _by_name(r_list: Any) -> dict[str, Any]:
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
    """End R by a handler of ours.

    rpy2's own hangs: it runs R's finalizers without Python's lock, reticulate's takes the lock and
    keeps it, and rpy2 waits for it for ever. Here they run with the lock held.
    """
    from rpy2 import situation

    home = sys.modules["rpy2.rinterface_lib.openrlib"].R_HOME
    library = ctypes.PyDLL(situation.get_rlib_path(home, platform.system()))
    process = os.getpid()

    def end_r() -> None:
        if os.getpid() != process:  # a fork: R's files are its parent's
            return
        functions["finish"]()
        # Has reticulate stop its thread, which would call R when Python is gone. In a Python
        # that reticulate has not started it does no more than that.
        os.environ["RETICULATE_ENABLE_PYTHON_FINALIZER"] = "true"
        library.R_RunExitFinalizers()
        functions["clean"]()

    atexit.unregister(rinterface.endr)
    atexit.register(end_r)
