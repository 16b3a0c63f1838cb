"""Pickled models: unpickling one that holds something of ours imports this package.

Keras pickles a model as the bytes of a `.keras` file, and a layer in it is found at load only where
its class was imported before: not in a process that was spawned, nor in tomorrow's. Pickle itself
imports the module of a function that it is to call, so such a model is restored by one of ours.
"""

import copyreg
import warnings
from collections.abc import Callable
from typing import Any

import keras

from py_layernorm import keras_internals


def restored(restore: Callable[..., Any], *arguments: Any) -> Any:
    """What unpickling calls; that it had to import this module for it is the point."""
    return restore(*arguments)


def reduced(model: keras.Model) -> tuple[Any, ...]:
    """`model.__reduce__()`, restored through this module if the model holds something of ours."""
    restore, arguments, *state = model.__reduce__()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, about lambdas, which the line above gave
        ours = '"py_layernorm>' in model.to_json()
    if ours:
        restore, arguments = restored, (restore, *arguments)
    return (restore, arguments, *state)


def register() -> None:
    """Have pickle, and all that is built on it, call `reduced` for Keras's two classes of models.

    Subclasses are pickled with a reference to their own module.
    """
    for cls in (keras.Sequential, keras_internals.functional_class()):
        if cls is not None:
            copyreg.dispatch_table.setdefault(cls, reduced)
