"""Which code computes layer normalisation: one choice, made here and nowhere else.

An engine is a function `(x, gamma, beta, axes, epsilon, dtype)` that returns `y`: `x` a tensor of
a float dtype, `gamma` and `beta` None or tensors over `axes.spanned`, `axes` the `Axes` of `x`,
`dtype` the name of `y`'s dtype.
"""

import contextlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

import keras

from py_layernorm import checks
from py_layernorm.engines import portable

NAMES = ("auto", "fused", "portable")
ENVIRONMENT = "PY_LAYERNORM_ENGINE"

_setting: str | None = None  # None until the environment has been read
chosen: Any = None  # the module for this setting; None until it is needed


def _check(name: object, source: str) -> str:
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(
            f"{source} must be one of {', '.join(NAMES)}. {checks.received(source, name)}"
        )
    if name == "fused":
        reason = fused_unavailable()
        if reason:
            raise RuntimeError(
                f"{source} asks for the fused engine, which cannot serve here: {reason}. "
                "Use 'auto' or 'portable'; `python -m py_layernorm` says more."
            )
    return name


def get_engine() -> str:
    """The engine asked for: "auto", "fused" or "portable".

    Raises:
        ValueError, RuntimeError: if the environment variable PY_LAYERNORM_ENGINE, which sets the
            initial engine, holds another name, or an engine that is not available.

    Example:

    >>> import py_layernorm
    >>> py_layernorm.get_engine()
    'auto'
    """
    global _setting
    if _setting is None:
        _setting = _check(os.environ.get(ENVIRONMENT) or "auto", ENVIRONMENT)
    return _setting


def _set(name: str) -> None:
    global _setting, chosen
    _setting, chosen = name, None


def fused_unavailable() -> str | None:
    """Why the fused engine is not available in this process; None if it is."""
    if keras.backend.backend() != "tensorflow":
        return f"Keras runs on {keras.backend.backend()}, and the native op is TensorFlow's"
    from py_layernorm.engines import tensorflow

    return tensorflow.unavailable()


def register() -> None:
    """Register the native op, so that graphs that contain it load. Initialises nothing."""
    if keras.backend.backend() == "tensorflow":
        from py_layernorm.engines import tensorflow

        with contextlib.suppress(Exception):  # `fused_unavailable` says why, when it matters
            tensorflow.load()


def layer_norm(x: Any, *arguments: Any) -> Any:
    """Layer normalisation by the engine chosen for this call."""
    engine = chosen or _choose()
    if engine is portable:
        return portable.layer_norm(x, *arguments)
    reason = engine.unavailable_here()
    if reason is None:
        return engine.layer_norm(x, *arguments)
    if get_engine() == "fused":
        raise RuntimeError(
            f"use_engine('fused') is set, and the fused engine cannot serve here: {reason}. "
            "Use 'auto', which takes the portable engine for such calls."
        )
    return portable.layer_norm(x, *arguments)


ShortWay = tuple[Any, Callable[[Any], Any]]


def short_way(layer: Any) -> ShortWay:
    """The engine in use, and a function that computes `layer(x)` without Keras's bookkeeping.

    The function returns None if Keras has work to do. It is valid as long as that engine is
    `chosen`. While a graph is traced the engine is None: what would be tried out there says nothing
    about eager calls.
    """
    engine = chosen or _choose()
    if engine is portable:
        return engine, _nothing
    if engine.is_tracing():
        return None, _nothing
    return engine, engine.short_way(layer) or _nothing


def _nothing(x: Any) -> None:
    """A short way that always leaves the work to Keras."""
    return None  # AutoGraph cannot convert a function that has no statement


def _choose() -> Any:
    """The engine for the current setting, chosen once for each setting."""
    global chosen
    if get_engine() == "portable" or fused_unavailable():
        chosen = portable
    else:
        from py_layernorm.engines import tensorflow

        chosen = tensorflow
    return chosen


def describe() -> tuple[str, str]:
    """The engine's name and why it was chosen, for the doctor."""
    name = get_engine()
    reason = fused_unavailable()
    if name == "portable":
        return name, "asked for"
    return ("portable", reason) if reason else ("fused", "the native op")


class use_engine:
    """Set which engine computes; as a context manager, set it for the block.

    Applies to the whole process, all threads included. A `tf.function` that was already
    traced keeps its engine. At the end of a block, the setting from before the block is restored,
    also for `with use_engine(name):`.

    Args:
        name: "auto" (the fused op where it is available, standard ops elsewhere), "fused" or
            "portable". The environment variable PY_LAYERNORM_ENGINE sets the initial engine.

    Raises:
        ValueError: if `name` is not one of the three.
        RuntimeError: for "fused" if the native op is not available; the message says why.

    Example:

    >>> import py_layernorm
    >>> setting = py_layernorm.use_engine("portable")
    >>> setting.previous
    'auto'
    >>> with py_layernorm.use_engine("auto"):
    ...     pass  # computes with the automatic choice; then "portable" is set again
    >>> py_layernorm.use_engine("auto")
    use_engine('auto')
    """

    _latest: "use_engine | None" = None  # set the current engine, unless a block has ended since

    def __init__(self, name: str) -> None:
        self.name = _check(name, "name")
        self.previous = get_engine()
        self._entered: list[str] = []  # what to return to; blocks of one object may be nested
        _set(self.name)
        use_engine._latest = self

    def __repr__(self) -> str:
        return f"use_engine({self.name!r})"

    def __enter__(self) -> "use_engine":
        first = use_engine._latest is self and not self._entered
        self._entered.append(self.previous if first else get_engine())
        _set(self.name)
        use_engine._latest = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _set(self._entered.pop())
        use_engine._latest = None
