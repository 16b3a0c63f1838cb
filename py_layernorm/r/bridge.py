"""What the R package calls: Python's public functions, with their warnings handed back."""

import warnings
from typing import Any

import keras

import py_layernorm


def call(name: str, /, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    """`py_layernorm.<name>(*args, **kwargs)` and the texts of the warnings that it raised.

    R shows them by its own `warning()`; left to Python they would go to a stream that R users
    may never see. A Sequential that comes back itself is None here: R has it already, and making
    an R object of it anew takes longer than the call.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = getattr(py_layernorm, name)(*args, **kwargs)
    if isinstance(result, keras.Sequential) and result is kwargs.get("object"):
        result = None
    texts = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return result, list(dict.fromkeys(texts))  # a layer made twice, for its name, warns twice
