"""Pickled models: unpickling one that contains our layer imports this package.

Keras pickles a model as the bytes of a `.keras` file, and finds a layer in it only if its class has
been imported, which is not the case in a new process. Pickle imports the module of a function that
it calls, so a function in this module restores such a model.
"""

import copyreg
import warnings
from collections.abc import Callable
from typing import Any


def restored(restore: Callable[..., Any], *arguments: Any) -> Any:
    """Called by unpickling, which has to import this module, and so this package, to do so."""
    return restore(*arguments)


def reduced(model: Any) -> tuple[Any, ...]:
    """`model.__reduce__()`, restored through this module if the model contains our layer."""
    restore, arguments, *state = model.__reduce__()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, about lambdas: the line above gave it
        ours = '"py_layernorm>' in model.to_json()
    if ours:
        restore, arguments = restored, (restore, *arguments)
    return (restore, arguments, *state)


def register(*classes: type | None) -> None:
    """Make pickle, and everything built on it, call `reduced` for models of these classes.

    Subclasses are pickled with a reference to their own module.
    """
    for cls in classes:
        if cls is not None:
            copyreg.dispatch_table.setdefault(cls, reduced)
