"""What the R package calls: Python's public functions, with their warnings handed back."""

import warnings
from collections.abc import Callable
from typing import Any

import keras

import py_layernorm
from py_layernorm.rollback import undo_kept


def call(
    name: str, /, *args: Any, **kwargs: Any
) -> tuple[Any, list[str], Callable[[], None] | None]:
    """`py_layernorm.<name>(*args, **kwargs)`, the texts of its warnings, and how to undo it.

    R raises the warnings by its own `warning()`; left to Python they would go to a stream that R
    users may never see. There a warning may become an error, or `tryCatch()` may catch it, and R
    then undoes the call. It cannot raise them any earlier: R would jump across Python's frames.

    A Sequential that is returned as it came is None here: R has it already, and making a new R
    object for it takes longer than the call. Without warnings there is nothing to undo: None.
    """
    with warnings.catch_warnings(record=True) as caught, undo_kept() as undo:
        warnings.simplefilter("always", UserWarning)
        result = getattr(py_layernorm, name)(*args, **kwargs)
    if isinstance(result, keras.Sequential) and result is kwargs.get("object"):
        result = None
    texts = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return result, texts, undo if texts else None
