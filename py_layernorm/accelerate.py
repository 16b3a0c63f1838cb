"""`accelerate` and `restore`: switch a model's layer normalisations to ours, and back."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from py_layernorm import checks, interchange, keras_internals
from py_layernorm.interchange import KERAS_LAYER
from py_layernorm.layer import LayerNormalization
from py_layernorm.rollback import all_or_nothing


@dataclass
class Report:
    """What `accelerate` or `restore` did: the layers that changed and those that were left.

    A path is Keras's `layer.path`, or the layer's name before it is built. If several layers
    share it, the layer's place in the model is used instead: `model/block/norm[1]` is
    the second layer in `block`.

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
    Compiled training, test and predict functions are rebuilt when they are next used. Your own
    functions that were already traced (`tf.function`) keep the old code. Input that only our layer
    rejects, and that is not in the model's graph, is still computed by Keras's code.

    XLA cannot run the native op. Keras compiles for XLA if you ask for it, and by default on a GPU
    or in older versions: use `compile(jit_compile=False)` to get the fused engine.

    Args:
        model: A Keras model, built or not.

    Returns:
        A `Report`: `changed`, the paths of the layers that are now ours, and `left`, those that
        are not, each with the reason: `rms_scaling`, a subclass with its own code, a method that
        was replaced, an argument or an input in the model's graph that our layer rejects (such as
        ragged input), or an `axis` with mixed signs, for which Keras orders `gamma` wrongly; and
        `note`, further advice. `print()` shows all of it.

    Raises:
        TypeError: if `model` is not a Keras model. After this or any other failure the model is
            unchanged.

    Example:

    >>> import keras
    >>> from py_layernorm import accelerate
    >>> layers = [keras.Input((4,)), keras.layers.LayerNormalization(name="norm")]
    >>> print(accelerate(keras.Sequential(layers, name="model")))
    1 layer accelerated: model/norm
    """
    report = _change(model, "accelerated", interchange.why_not_ours, _to_ours)
    if report.changed and model.compiled and model.jit_compile:
        report.note = (
            "The model is compiled for XLA, which uses the portable engine. To use the fused "
            "engine, compile it again with jit_compile=False."
        )
    return report


def restore(model: keras.Model) -> Report:
    """Undo `accelerate`: turn our layer normalisations in `model` into Keras's own, in place.

    A model saved afterwards loads where `py_layernorm` is not installed.

    Args:
        model: A Keras model, built or not.

    Returns:
        A `Report`: `changed`, the paths of the layers that are now Keras's, and `left`, those that
        are not, each with the reason: `param_axis`, which Keras's layer does not have, an `axis`
        with mixed signs, or a subclass with its own code.

    Raises:
        TypeError: if `model` is not a Keras model. After this or any other failure the model is
            unchanged.

    Example:

    >>> import keras
    >>> from py_layernorm import layer_layer_normalization, restore
    >>> model = keras.Sequential([keras.Input((4,))], name="model")
    >>> print(restore(layer_layer_normalization(model, name="norm")))
    1 layer restored: model/norm
    """
    return _change(model, "restored", interchange.why_not_keras, _to_keras)


def _to_ours(layer: Any) -> str | None:
    """Make `layer` ours, or return why ours rejects an input in the model's graph.

    An input that is not in the graph is seen only in a call: because of `_accelerated`, Keras's
    code then computes it. That would work for the graph's inputs too, but not after saving and
    loading: a layer loaded from a file is entirely ours.
    """
    layer.__class__ = LayerNormalization
    for tensor in keras_internals.symbolic_inputs(layer):
        try:
            checks.tensor(tensor, "inputs")
            layer.compute_output_spec(tensor)
        except (TypeError, ValueError) as error:
            layer.__class__ = KERAS_LAYER
            return str(error)
    layer._accelerated = True
    return None


def _to_keras(layer: Any) -> None:
    """Make `layer` Keras's own."""
    layer.__class__ = KERAS_LAYER
    vars(layer).pop("_accelerated", None)


def _change(
    model: keras.Model,
    verb: str,
    why_not: Callable[[keras.layers.Layer], str | None],
    change: Callable[[keras.layers.Layer], str | None],
) -> Report:
    """Change the class of each layer, unless a function gives a reason not to; undo all on error.

    The class is all that differs: our layer adds no state to Keras's. Replacing the objects
    instead would miss those that composite layers and users hold, and Functional's graph.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model. {checks.received('model', model)}")
    layers = keras_internals.flatten_layers(model)
    reasons = {}
    with all_or_nothing(model):
        for layer in layers:
            why = why_not(layer)
            if why is None:
                why = change(layer)
            if why != "":
                reasons[id(layer)] = why
        if None in reasons.values():
            for part in layers:
                if isinstance(part, keras.Model):
                    keras_internals.forget_compiled_functions(part)
        return _report(verb, model, [(p, reasons[id(p)]) for p in layers if id(p) in reasons])


def _report(verb: str, model: keras.Model, outcomes: list[tuple[Any, str | None]]) -> Report:
    """The report on the layers; an outcome is the reason why a layer was left, or None."""
    report = Report(verb)
    layers = [layer for layer, _ in outcomes]
    for path, (_, why) in zip(_paths(model, layers), outcomes, strict=True):
        if why is None:
            report.changed.append(path)
        else:
            report.left[path] = why
    return report


def _paths(model: keras.Model, layers: list[Any]) -> list[str]:
    """Each layer's path, or its name before it is built, or its place if layers share that.

    Paths are shared in composite layers that are not built yet, or that build their parts by hand.
    """
    paths = [layer.path or layer.name for layer in layers]
    shared = Counter(paths)
    places = _places(model) if len(shared) < len(paths) else {}
    return [
        places[id(layer)] if shared[path] > 1 else path
        for path, layer in zip(paths, layers, strict=True)
    ]


def _places(model: keras.Model) -> dict[int, str]:
    """Each layer's place: the names from the model down, numbered where a name is not unique."""
    places = {id(model): model.name}
    holders = [model]
    for holder in holders:
        parts = keras_internals.sublayers(holder)
        names = Counter(part.name for part in parts)
        for number, part in enumerate(parts):
            if id(part) not in places:
                label = part.name if names[part.name] == 1 else f"{part.name}[{number}]"
                places[id(part)] = f"{places[id(holder)]}/{label}"
                holders.append(part)
    return places
