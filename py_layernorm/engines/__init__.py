"""Which code computes layer normalisation: one choice, made here and nowhere else.

An engine is a function `(x, gamma, beta, axes, param_axes, epsilon, dtype)` that returns `y`:
`x` a tensor of a float dtype, `gamma` and `beta` None or tensors over `param_axes`, both tuples
of axes counted from 0 in increasing order, `dtype` the name of `y`'s dtype.
"""

import os
from types import TracebackType
from typing import Any

import keras

from py_layernorm import checks
from py_layernorm.engines import portable

NAMES = ("auto", "fused", "portable")
ENVIRONMENT = "PY_LAYERNORM_ENGINE"

_chosen: str | None = None  # what use_engine set; None leaves it to the environment


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
                "Use 'auto' or 'portable'; `python -m py_layernorm` tells more."
            )
    return name


def requested() -> str:
    """The engine asked for, by `use_engine` or else by PY_LAYERNORM_ENGINE: "auto" by default."""
    if _chosen is not None:
        return _chosen
    return _check(os.environ.get(ENVIRONMENT, "").strip() or "auto", ENVIRONMENT)


def fused_unavailable() -> str | None:
    """Why the fused engine cannot serve in this process; None if it can."""
    adapter = _adapter()
    if adapter is None:
        return f"Keras runs on {keras.backend.backend()}, for which there is no native kernel"
    return adapter.unavailable()  # type: ignore[no-any-return]


def _adapter() -> Any:
    """The module that brings the kernel to Keras's backend; None where there is none."""
    if keras.backend.backend() == "tensorflow":
        from py_layernorm.engines import tensorflow

        return tensorflow
    if keras.backend.backend() == "jax":
        from py_layernorm.engines import jax

        return jax
    return None


def layer_norm(x: Any, *arguments: Any) -> Any:
    """The engine that serves this call."""
    name = requested()
    if name == "portable" or fused_unavailable():
        return portable.layer_norm(x, *arguments)
    adapter = _adapter()
    reason = adapter.unavailable_here(x, *arguments[:2])
    if reason is None:
        return adapter.layer_norm(x, *arguments)
    if name == "fused":
        raise RuntimeError(
            f"use_engine('fused') holds, and the fused engine cannot serve here: {reason}. "
            "Use 'auto', which takes the portable engine for such calls."
        )
    return portable.layer_norm(x, *arguments)


def eager(layer: Any, x: Any) -> Any:
    """`layer(x)` by the shortest way, or None where Keras's own `__call__` has work to do."""
    if requested() == "portable" or fused_unavailable():
        return None
    return _adapter().eager(layer, x)


def describe() -> tuple[str, str]:
    """The engine's name and why it was taken, for the doctor."""
    name = requested()
    reason = fused_unavailable()
    if name == "portable":
        return name, "asked for"
    return ("portable", reason) if reason else ("fused", "the native op")


class use_engine:
    """Set which engine computes; as a context manager, set it for the block.

    Holds for the whole process, all threads included, from the call on. A `tf.function` that was
    traced before keeps the engine that it was traced with.

    Args:
        name: "auto" (the fused op where it can serve, the portable ops elsewhere), "fused" or
            "portable". The environment variable PY_LAYERNORM_ENGINE sets what holds at first.

    Raises:
        ValueError: if `name` is none of the three.
        RuntimeError: for "fused" where the native op cannot serve; the message says why.

    Example:

    >>> import py_layernorm
    >>> setting = py_layernorm.use_engine("portable")
    >>> setting.previous
    'auto'
    >>> with py_layernorm.use_engine("auto"):
    ...     pass  # computes with the automatic choice; then "portable" holds again
    >>> py_layernorm.use_engine("auto")
    use_engine('auto')
    """

    def __init__(self, name: str) -> None:
        global _chosen
        self.name = _check(name, "name")
        self._before = _chosen
        self.previous = requested()
        _chosen = self.name

    def __repr__(self) -> str:
        return f"use_engine({self.name!r})"

    def __enter__(self) -> "use_engine":
        global _chosen
        _chosen = self.name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _chosen
        _chosen = self._before
