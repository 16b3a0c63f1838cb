"""R in this process, by rpy2: the R package `layernorm`, and Keras objects by reference."""

import functools
import sys
import threading
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from py_layernorm import doctor
from py_layernorm.r import process


class RError(RuntimeError):
    """An R error, with R's message; `r_class` holds the classes of R's condition.

    A Python exception that has passed through R is raised unchanged, not as this.
    """

    def __init__(self, message: str, r_class: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.r_class = r_class


class RPackage(SimpleNamespace):
    """The functions of an R package, by their names in R."""

    def __repr__(self) -> str:
        return f"<the R package layernorm: {', '.join(vars(self))}>"


class Post:
    """Passes objects from one language to the other, one at a time."""

    held: Any = None

    def give(self, value: Any) -> None:
        self.held = value

    def take(self) -> Any:
        value, self.held = self.held, None
        return value

    def warn(self, text: str) -> None:
        """Raise an R warning at the line that called R."""
        level, frame = 1, sys._getframe()
        while frame.f_back and frame.f_code is not _Session.call.__code__:
            level, frame = level + 1, frame.f_back
        warnings.warn(text, UserWarning, stacklevel=level + 2)


post = Post()  # embed.R imports it


def layernorm_r() -> RPackage:
    """Start R in this process and return its package `layernorm`, bound to this Python.

    The functions take and return what those of `py_layernorm` do. Keras objects, tensors and
    NumPy arrays are passed by reference: a model that goes through R is the same object afterwards.
    Plain values are converted: numbers, strings, None (NULL), lists and dicts.

    After that rpy2 also converts Keras objects, so `%%R -i model` works in a notebook, and so do
    `rpy2.robjects.globalenv["model"] = model` and functions of other R packages.

    R starts once in a process, and ends with it. Only the thread that runs Python's main program
    may call R.

    Returns:
        A namespace of the R package's functions. An R error is raised as `RError`, a Python
        exception inside R unchanged; R's warnings become Python's.

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


@functools.cache  # errors are not cached: what was missing may be installed later
def _package() -> RPackage:
    with process.undisturbed():
        session = _Session(process.start())
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
        """The same, except that arrays stay Python objects: R would convert them to doubles."""
        if not isinstance(value, np.ndarray):
            return self.to_r(value)
        post.give(value)
        return self._r["take_as_is"]()

    def to_python(self, value: Any) -> Any:
        """The Python object for an R object."""
        self._r["give"](value)
        return post.take()

    def call(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """`function(...)` in R; its errors and warnings are raised here."""
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
        return {
            name: self._function(name, f)
            for name, f in process.by_name(self._r["exports"]()).items()
        }

    def _function(self, name: str, closure: Any) -> Callable[..., Any]:

        def function(*args: Any, **kwargs: Any) -> Any:
            return self.call(closure, args, kwargs)

        usage = self._r["usage"](closure)[0].removeprefix("function ")
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"R's layernorm::{name}{usage}\n\nIn R: help({name}, layernorm)"
        return function

    def register(self) -> None:
        """Register Keras objects with rpy2's converters, both existing ones and future copies."""
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
    """What is passed by reference: Keras's base classes and the backend's tensor."""
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
