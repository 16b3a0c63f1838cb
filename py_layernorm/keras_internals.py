"""Every private name of Keras that this package needs: guarded, and why there is no other way."""

from collections.abc import Container
from typing import Any

import keras

# What Keras compiles once for a model and keeps. It must be dropped when a layer changes, and Keras
# has no public way to do so short of compile(), which makes the optimizer anew as well. NumPy's and
# OpenVINO's models have no function for training; OpenVINO's keep a compiled model besides.
COMPILED = ("train_function", "test_function", "predict_function", "ov_compiled_model")


def flatten_layers(layer: keras.layers.Layer) -> list[Any]:
    """`layer` and every layer within it, at any depth.

    The public `layers` stops at composite layers, which hold layers as attributes. Without the
    private name those are not reached.
    """
    try:
        return layer._flatten_layers()
    except AttributeError:
        found = [layer]
        for part in getattr(layer, "layers", []):
            found += [p for p in flatten_layers(part) if not any(p is f for f in found)]
        return found


def sublayers(layer: keras.layers.Layer) -> list[Any]:
    """The layers that `layer` holds itself. There is no public name for those of a composite."""
    return list(getattr(layer, "_layers", getattr(layer, "layers", [])))


def tracker(layer: keras.layers.Layer) -> Any:
    """What notices the weights and layers that `layer` is given; None if Keras has it no more.

    It remembers what it has seen, so undoing a change needs it.
    """
    return getattr(layer, "_tracker", None)


def symbolic_inputs(layer: keras.layers.Layer) -> list[Any]:
    """The tensors that `layer` was called with in functional models, from all of its calls.

    The public `layer.input` gives those of the first call only.
    """
    nodes = getattr(layer, "_inbound_nodes", [])
    return [tensor for node in nodes for tensor in getattr(node, "input_tensors", [])]


def forget_compiled_functions(model: keras.Model) -> None:
    """Have what Keras compiles for training, testing and predicting made anew at its next use."""
    for name in COMPILED:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)


def new_name(kind: str, taken: Container[str]) -> str | None:
    """The next of the names that Keras makes up for a layer of a class, unlike those `taken`.

    Keras counts names for the whole process, and publicly only by making a layer. Without the
    private name the layer takes what Keras gives it: None.
    """
    try:
        from keras.src.utils.naming import auto_name
    except ImportError:
        return None
    name = auto_name(kind)
    while name in taken:
        name = auto_name(kind)
    return name
