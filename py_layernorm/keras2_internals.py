"""Every private name of Keras 2 (`tf_keras`) that this package uses, and why it needs it.

Like `keras_internals`: each is guarded, and tests/keras2/test_keras2_internals.py fails by name
when a release no longer has it. Nothing here imports Keras 2.
"""

import sys
from typing import Any


def is_symbolic(value: object) -> bool:
    """Whether `value` is what `tf_keras.Input` and layers called with it return."""
    tf_keras = sys.modules.get("tf_keras")
    if tf_keras is None or not type(value).__module__.startswith("tf_keras."):
        return False
    try:
        return bool(tf_keras.backend.is_keras_tensor(value))
    except (ValueError, AttributeError):  # the former for anything but a tensor
        return False


def is_compiled(model: Any) -> bool:
    """Whether `compile()` was called; the models of Keras 2 have no public `compiled`."""
    return bool(getattr(model, "compiled", getattr(model, "_is_compiled", False)))


def functional_class() -> type | None:
    """The class of `tf_keras.Model(inputs, outputs)`, which has no public name."""
    try:
        from tf_keras.src.engine.functional import Functional
    except ImportError:
        return None
    return Functional


def auto_name(kind: str) -> str:
    """The next of the names that Keras 2 makes up for a layer of a class; ImportError if not found.

    Like Keras 3's `auto_name`, which has no public name either.
    """
    from tf_keras.src.backend import unique_object_name
    from tf_keras.src.utils.generic_utils import to_snake_case

    return str(unique_object_name(to_snake_case(kind), zero_based=True))


# What holds a plain list or dict, and in which attribute. Keras 2 wraps the lists and dicts that a
# layer is given, and counts what the layer holds in a dictionary of its own. Undoing a change needs
# the content.
HELD_IN = {
    "ListWrapper": "_storage",
    "_DictWrapper": "__wrapped__",
    "ObjectIdentityDictionary": "_storage",
}
