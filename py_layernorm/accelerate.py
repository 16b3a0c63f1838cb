"""`accelerate` and `restore`: an existing model's layer normalisations made ours, and back."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import keras

from py_layernorm import checks
from py_layernorm.layer import LayerNormalization

KERAS_LAYER = keras.layers.LayerNormalization


@dataclass
class Report:
    """What `accelerate` or `restore` did: the paths of the layers that changed, and of those left.

    Example:

    >>> report = Report("accelerated", changed=["model/norm"])
    >>> print(report)
    1 layer accelerated: model/norm
    """

    verb: str
    changed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)  # path: why
    note: str = ""

    def __str__(self) -> str:
        count = f"{len(self.changed)} layer{'s' * (len(self.changed) != 1)} {self.verb}"
        lines = [f"{count}: {', '.join(self.changed)}" if self.changed else count]
        lines += [f"left as it was: {path}, because {why}" for path, why in self.left.items()]
        lines += [self.note] * bool(self.note)
        return "\n".join(lines)


def accelerate(model: keras.Model) -> Report:
    """Make every Keras layer normalisation in `model` ours, in place.

    The layers stay the same objects, with the same weights, names and place in the graph; the
    optimizer keeps its state; layers inside nested models and composite layers are reached too.
    Compiled training, test and predict functions are made anew at their next use. Functions of
    your own that were traced before (`tf.function`) keep what they were traced with.

    XLA cannot run the native op. Keras compiles for XLA if told to, and by default where it sees
    a GPU or is older: `compile(jit_compile=False)` has the fused engine in any case.

    Args:
        model: A Keras model, built or not.

    Returns:
        A `Report`: `changed`, the paths of the layers that are now ours, and `left`, those that
        are not, each with the reason: `rms_scaling`, a subclass with code of its own, an argument
        that ours refuses, or an `axis` that mixes signs, for which Keras orders `gamma` wrongly;
        and `note`, what else there is to say. As text it is ready to print.

    Raises:
        TypeError: if `model` is no Keras model. The model is then, and after any other failure,
            as it was.

    Example:

    >>> import keras
    >>> from py_layernorm import accelerate
    >>> layers = [keras.Input((4,)), keras.layers.LayerNormalization(name="norm")]
    >>> print(accelerate(keras.Sequential(layers, name="model")))
    1 layer accelerated: model/norm
    """
    report = _change(model, "accelerated", LayerNormalization, _why_not_accelerate)
    if report.changed and model.compiled and model.jit_compile:
        report.note = (
            "The model is compiled for XLA, where the portable engine serves; for the fused one "
            "compile it again with jit_compile=False."
        )
    return report


def restore(model: keras.Model) -> Report:
    """Make every layer normalisation of ours in `model` Keras's own, in place: `accelerate` undone.

    A model saved afterwards loads where `py_layernorm` is not installed.

    Args:
        model: A Keras model, built or not.

    Returns:
        A `Report`: `changed`, the paths of the layers that are now Keras's, and `left`, those that
        are not, each with the reason: `param_axis`, which Keras's layer does not have, an `axis`
        that mixes signs, or a subclass with code of its own.

    Raises:
        TypeError: if `model` is no Keras model. The model is then, and after any other failure,
            as it was.

    Example:

    >>> import keras
    >>> from py_layernorm import layer_layer_normalization, restore
    >>> model = keras.Sequential([keras.Input((4,))], name="model")
    >>> print(restore(layer_layer_normalization(model, name="norm")))
    1 layer restored: model/norm
    """
    return _change(model, "restored", KERAS_LAYER, _why_not_restore)


def _why_not_accelerate(layer: keras.layers.Layer) -> str | None:
    """None for a Keras layer to change, "" for a layer that is no concern, else the reason."""
    if not isinstance(layer, KERAS_LAYER) or isinstance(layer, LayerNormalization):
        return ""
    if type(layer) is not KERAS_LAYER:
        return f"{type(layer).__name__} is a subclass with code of its own"
    if getattr(layer, "rms_scaling", False):
        return "rms_scaling is not layer normalisation"
    return _refused(layer) or _wrong_order(layer)


def _why_not_restore(layer: keras.layers.Layer) -> str | None:
    """Like `_why_not_accelerate`, for the way back."""
    if not isinstance(layer, LayerNormalization):
        return ""
    if type(layer) is not LayerNormalization:
        return f"{type(layer).__name__} is a subclass with code of its own"
    if layer.param_axis is not None:
        return f"Keras's layer has no param_axis, here {layer.param_axis}"
    return _wrong_order(layer)


def _refused(layer: keras.layers.Layer) -> str | None:
    """Why ours cannot be made with the layer's arguments, of which Keras checks few; or None."""
    try:
        checks.axis(layer.axis)
        checks.epsilon(layer.epsilon)
        checks.flag(layer.center, "center")
        checks.flag(layer.scale, "scale")
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _wrong_order(layer: keras.layers.Layer) -> str | None:
    """Why the weights have other shapes in Keras's layer than in ours, or None.

    Keras up to 3.13 takes the axes in the order listed, up to 3.15 in the order of the numbers as
    they are, later in the order of the input's axes, as ours does. The installed one is asked.
    """
    axis = (layer.axis,) if isinstance(layer.axis, int) else tuple(layer.axis)
    built_for = (layer.get_build_config() or {}).get("input_shape")
    ranks: Iterable[int] = [len(built_for)] if built_for else _ranks_that_tell(axis)
    if any(_order_in_keras(axis, rank) != sorted(a % rank for a in axis) for rank in ranks):
        return f"Keras orders gamma and beta wrongly for axis={list(axis)}"
    return None


def _ranks_that_tell(axis: tuple[int, ...]) -> Iterable[int]:
    """The ranks between which the order of the axes may differ, for a layer of unknown rank."""
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

    # Each axis is as long as its number says.
    Probe(axis=list(axis), center=False, name="probe").build(tuple(range(rank)))
    return order


def _path(layer: keras.layers.Layer) -> str:
    """Where the layer is; its name where it has no place yet, because it is not built."""
    return layer.path or layer.name


def _change(
    model: keras.Model,
    verb: str,
    wanted: type[keras.layers.Layer],
    why_not: Callable[[keras.layers.Layer], str | None],
) -> Report:
    """Change the class of every layer for which `why_not` says None, or of none.

    The class is all that differs: our layer adds no state to Keras's. Replacing the objects
    instead would miss those that composite layers and users hold, and Functional's graph.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model. {checks.received('model', model)}")
    layers: list[Any] = model._flatten_layers()  # public `layers` stops at composite layers
    report = Report(verb)
    changing = []
    for layer in layers:
        why = why_not(layer)
        if why is None:
            changing.append(layer)
        elif why:
            report.left[_path(layer)] = why
    functions = ("train_function", "test_function", "predict_function")
    models = [part for part in layers if isinstance(part, keras.Model)] if changing else []
    before = [(layer, "__class__", type(layer)) for layer in changing]
    before += [(part, name, getattr(part, name)) for part in models for name in functions]
    try:
        for layer in changing:
            layer.__class__ = wanted
            report.changed.append(_path(layer))
        for part in models:
            part.train_function = part.test_function = part.predict_function = None
    except BaseException:
        for part, name, value in before:
            setattr(part, name, value)
        raise
    return report
