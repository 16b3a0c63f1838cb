"""Which Keras an object is of: Keras 3, the package `keras`, or Keras 2, the package `tf_keras`.

The two packages have the same public names, so the rest of this package takes one of the two
modules and uses it. Nothing here imports Keras 2, unless the process runs on it.
"""

import functools
import os
import sys
from types import ModuleType
from typing import Any

import keras

from py_layernorm import checks

NAMES = {"keras": "Keras 3 (keras)", "tf_keras": "Keras 2 (tf_keras)"}
LEGACY = "TF_USE_LEGACY_KERAS"


def of(value: object) -> ModuleType | None:
    """The Keras that `value` is an object or a class of; None for any other value."""
    return of_class(value if isinstance(value, type) else type(value))


@functools.lru_cache(maxsize=256)
def of_class(cls: Any) -> ModuleType | None:
    """The Keras that a class is of."""
    for base in cls.__mro__:
        package = str(base.__module__).partition(".")[0]
        if package in NAMES:
            return sys.modules.get(package)
    return None


def common(**named: Any) -> ModuleType | None:
    """The Keras of the arguments that are objects of one; None if there are none.

    Raises:
        TypeError: if there are objects of both.
    """
    found = {name: which for name, value in named.items() if (which := of(value)) is not None}
    if len(set(found.values())) > 1:
        both = list(found.items())
        first, which = both[0]
        second, other = next(item for item in both if item[1] is not which)
        raise TypeError(
            f"{first} and {second} must be objects of the same Keras: {first} is of "
            f"{NAMES[which.__name__]}, {second} of {NAMES[other.__name__]}. "
            f"{checks.received(first, named[first])}, "
            f"{second}={checks.cut(named[second])} ({type(named[second]).__name__})"
        )
    return next(iter(found.values()), None)


def same(which: ModuleType, **named: Any) -> None:
    """Check that no argument is an object of the other Keras.

    Raises:
        TypeError: if one is.
    """
    for name, value in named.items():
        if of(value) not in (which, None):
            other = "tf_keras" if which is keras else "keras"
            raise TypeError(
                f"{name} must not be an object of {NAMES[other]}, because the layer is of "
                f"{NAMES[which.__name__]}: make both with one of the two. "
                f"{checks.received(name, value)}"
            )


@functools.cache
def default() -> ModuleType:
    """The Keras for a call without an object of either: Keras 3, unless TensorFlow's is Keras 2.

    Raises:
        ImportError: if TensorFlow was told to use Keras 2, which is not installed.
    """
    if os.environ.get(LEGACY) not in ("1", "true", "True"):  # as TensorFlow reads it
        return keras
    try:
        import tf_keras
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{LEGACY} asks for Keras 2, and tf_keras is not installed: install the version that "
            f"goes with TensorFlow, or unset {LEGACY}. Received: {LEGACY}={os.environ[LEGACY]}"
        ) from error
    return tf_keras


def usable(which: ModuleType) -> None:
    """Check that our layer for that Keras can compute.

    Raises:
        RuntimeError: for Keras 2, whose tensors are TensorFlow's, if Keras 3 runs on another
            backend: our engines are Keras 3's.
    """
    backend = keras.backend.backend()
    if which is not keras and backend != "tensorflow":
        raise RuntimeError(
            "with objects of Keras 2 (tf_keras), Keras 3 must run on TensorFlow too: set "
            "KERAS_BACKEND=tensorflow before Python imports keras. Received: "
            f"KERAS_BACKEND={backend}"
        )


def layer_class(which: ModuleType) -> Any:
    """Our layer for that Keras."""
    return _ours(which, "layer").LayerNormalization


def operation_class(which: ModuleType) -> Any:
    """`layer_norm` for that Keras's symbolic tensors."""
    return _ours(which, "functional").LayerNorm


def _ours(which: ModuleType, module: str) -> Any:
    """Our module for Keras 3, or the one for Keras 2."""
    from importlib import import_module

    usable(which)
    return import_module(f"py_layernorm.{module if which is keras else 'keras2'}")
