"""Whether Keras's layer normalisation and ours can replace each other, layer by layer."""

import functools
from collections.abc import Iterable
from typing import Any

import keras

from py_layernorm import checks
from py_layernorm.layer import LayerNormalization

KERAS_LAYER = keras.layers.LayerNormalization


def why_not_ours(layer: keras.layers.Layer) -> str | None:
    """None for a Keras layer to change, "" for any other kind of layer, else the reason."""
    if not isinstance(layer, KERAS_LAYER) or isinstance(layer, LayerNormalization):
        return ""
    if type(layer) is not KERAS_LAYER:
        return f"{type(layer).__name__} is a subclass with code of its own"
    if getattr(layer, "rms_scaling", False):
        return "rms_scaling is not layer normalisation"
    return _replaced(layer) or _refused(layer) or _wrong_order(layer)


def why_not_keras(layer: keras.layers.Layer) -> str | None:
    """Like `why_not_ours`, for changing our layer back."""
    if not isinstance(layer, LayerNormalization):
        return ""
    if type(layer) is not LayerNormalization:
        return f"{type(layer).__name__} is a subclass with code of its own"
    if layer.param_axis is not None:
        return f"Keras's layer has no param_axis, here {layer.param_axis}"
    return _wrong_order(layer)


def _replaced(layer: keras.layers.Layer) -> str | None:
    """Which method that ours would override is no longer Keras's code, or None."""
    for name, ours in vars(LayerNormalization).items():
        if callable(ours) and hasattr(KERAS_LAYER, name):
            code = getattr(getattr(layer, name), "__func__", getattr(layer, name))
            module = getattr(code, "__globals__", {}).get("__name__", "")
            if module.split(".")[0] != "keras":
                return f"its {name}() was replaced"
    return None


def _refused(layer: keras.layers.Layer) -> str | None:
    """Why ours cannot take the layer's arguments, few of which Keras checks, or None."""
    if layer.epsilon is None:
        return "Keras's layer and ours take epsilon=None for different numbers"
    try:
        checks.axis(layer.axis)
        checks.epsilon(layer.epsilon)
        checks.flag(layer.center, "center")
        checks.flag(layer.scale, "scale")
        checks.compute_dtype(layer)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _wrong_order(layer: keras.layers.Layer) -> str | None:
    """Why the weights have other shapes in Keras's layer than in ours, or None.

    Keras up to 3.13 uses the axes in the order listed; up to 3.15, in numerical order with negative
    numbers first; later, in the order of the input's axes, as ours does. This tests the installed
    version.
    """
    axis = (layer.axis,) if isinstance(layer.axis, int) else tuple(layer.axis)
    built_for = (layer.get_build_config() or {}).get("input_shape")
    ranks: Iterable[int] = [len(built_for)] if built_for else _ranks_that_tell(axis)
    if any(_order_in_keras(axis, rank) != sorted(a % rank for a in axis) for rank in ranks):
        return f"Keras orders gamma and beta wrongly for axis={list(axis)}"
    return None


def _ranks_that_tell(axis: tuple[int, ...]) -> Iterable[int]:
    """The ranks to test for a layer of unknown rank: the order of the axes may differ."""
    least = max(max(a + 1, -a) for a in axis)
    ranks = range(least, 2 * least + 1)
    return [rank for rank in ranks if len({a % rank for a in axis}) == len(axis)]


@functools.cache
def _order_in_keras(axis: tuple[int, ...], rank: int) -> list[int]:
    """The axes that the weights of Keras's layer span, in their order."""
    order: list[int] = []

    class Probe(keras.layers.LayerNormalization):
        def add_weight(self, *args: Any, shape: tuple[int, ...], **kwargs: Any) -> None:
            order.extend(shape)

    # The length of each axis is its number.
    Probe(axis=list(axis), center=False, name="probe").build(tuple(range(rank)))
    return order
