"""Called by the R package: Python's public functions, with their warnings returned."""

import warnings
from collections.abc import Callable
from typing import Any

import py_layernorm
from py_layernorm import which_keras
from py_layernorm.rollback import undo_kept


def call(
    name: str, /, *args: Any, **kwargs: Any
) -> tuple[Any, list[str], Callable[[], None] | None]:
    """`py_layernorm.<name>(*args, **kwargs)`, the texts of its warnings, and how to undo it.

    R raises the warnings with its own `warning()`; Python would write them to a stream that R users
    may never see. In R a warning may become an error, or `tryCatch()` may catch it, and R then
    undoes the call. R cannot raise them any earlier, because it would jump across Python's frames.

    If the result is the Sequential that was passed, None is returned instead: R already has it, and
    creating a new R object for it takes longer than the call. Without warnings there is nothing to
    undo, and the last item is None.
    """
    with warnings.catch_warnings(record=True) as caught, undo_kept() as undo:
        warnings.simplefilter("always", UserWarning)
        result = getattr(py_layernorm, name)(*args, **kwargs)
    which = which_keras.of(result)
    if which and isinstance(result, which.Sequential) and result is kwargs.get("object"):
        result = None
    texts = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return result, texts, undo if texts else None
