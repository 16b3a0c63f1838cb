"""Initializers, regularizers and constraints: what Keras knows, and what its files restore."""

import contextlib
import warnings
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from py_layernorm import checks, keras_internals, which_keras


def lookup(which: ModuleType, value: Any, name: str) -> Any:
    """What `which.initializers.get(value)` returns, for the argument `name` that ends so.

    Likewise for regularizers and constraints, which may be None.

    Raises:
        TypeError: for an object of the other Keras.
        ValueError: for a name that Keras does not know, for a value that is not callable, and for
            None as an initializer.

    Warns:
        UserWarning: if loading a file cannot restore it: otherwise users notice only at load.
    """
    which_keras.same(which, **{name: value})
    kind = name.split("_")[1]
    optional = kind != "initializer"
    get = getattr(which, f"{kind}s").get
    try:
        found = get(value)
    except (ValueError, TypeError):
        found = None
        known = False
    else:
        known = callable(found) or (optional and value is None)
    if not known:
        raise ValueError(
            f"{name} must be a Keras {kind}: an instance, a name such as "
            f"'{ {'initializer': 'ones', 'regularizer': 'l2', 'constraint': 'non_neg'}[kind] }', "
            f"or a callable{', or None' if optional else ''}. {checks.received(name, value)}"
        )
    if callable(value) and not is_restored(which, found, get):
        warnings.warn(
            f"{name} is a {type(value).__name__} that load_model() cannot restore from a .keras "
            "file: a model with this layer can only be saved as weights, by save_weights(). "
            f"Keras's own {kind}s, and those registered by "
            f"{which.__name__}.saving.register_keras_serializable(), are restored.",
            UserWarning,
            stacklevel=keras_internals.levels_to_caller(),
        )
    return found


# (id of an object, Keras's `get`): the object, its registered name, whether files restore it.
_restored: dict[tuple[int, Callable[[Any], Any]], tuple[weakref.ref, str, bool]] = {}


def is_restored(which: ModuleType, value: Any, get: Callable[[Any], Any]) -> bool:
    """Whether the callable `value` is the same after Keras saves it and loads it with `get`.

    Keras writes files with functions and objects that it does not know. When it loads them it
    fails, or uses another one with the same name. Each object is tried once, and again when it has
    been registered under another name.
    """
    key, name = (id(value), get), which.saving.get_registered_name(_registrable(value))
    if key in _restored and _restored[key][1] == name:
        return _restored[key][2]
    answer = _try_to_restore(which, value, get)
    with contextlib.suppress(TypeError):  # objects without weak references are tried every time
        _restored[key] = (weakref.ref(value, lambda _: _restored.pop(key, None)), name, answer)
    return answer


def _registrable(value: Any) -> Any:
    """What would be registered with Keras: a function, or the class of an object."""
    return value if hasattr(value, "__name__") else type(value)


def _try_to_restore(which: ModuleType, value: Any, get: Callable[[Any], Any]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's own, about lambdas
            config = which.saving.serialize_keras_object(value)
        loaded = get(config)
    except Exception:  # the object's own methods can raise anything
        return False
    return loaded is value or (hasattr(value, "get_config") and type(loaded) is type(value))
