"""Undoing what a function changed: when it fails and, for R, shortly after it succeeds."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import keras

from py_layernorm import keras2_internals, keras_internals

_kept: ContextVar[list[Callable[[], None]] | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def undone_on_error(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` if the block raises anything, including a warning turned into an error."""
    try:
        yield
    except BaseException:
        undo()
        raise
    if (undos := _kept.get()) is not None:
        undos.append(undo)


@contextlib.contextmanager
def undo_kept() -> Iterator[Callable[[], None]]:
    """Yield a function that undoes every change made in the block, the latest first.

    For a caller that learns of a failure only after the block: R raises its warnings then.
    """
    undos: list[Callable[[], None]] = []

    def undo() -> None:
        while undos:
            undos.pop()()

    token = _kept.set(undos)
    try:
        yield undo
    finally:
        _kept.reset(token)


@contextlib.contextmanager
def all_or_nothing(*layers: keras.layers.Layer) -> Iterator[None]:
    """`undone_on_error` for a block that changes `layers`, or anything inside them."""
    with undone_on_error(Memory(*layers).restore):
        yield


class Memory:
    """The classes and attributes of layers and of all layers within them, as they are now.

    Adding a layer to a model changes more than its list of layers: the graph, every layer that is
    called again for it, the tracker, and the layer that is added. Keras undoes none of that. All
    of it is in attributes, and in the lists, dicts and sets that they contain, so these are
    remembered, whatever their names. Tensors, weights and optimizers are shared, not copied.
    """

    def __init__(self, *layers: keras.layers.Layer) -> None:
        parts: dict[int, Any] = {}
        for layer in layers:
            for part in keras_internals.flatten_layers(layer):
                parts[id(part)] = part
                tracker = keras_internals.tracker(part)
                parts[id(tracker)] = tracker
        parts.pop(id(None), None)
        self._objects = [(part, type(part), dict(vars(part))) for part in parts.values()]
        found: dict[int, Any] = {}
        for part in parts.values():
            for value in vars(part).values():
                _collect(value, found)
        self._containers = [(value, _content(value)) for value in found.values()]

    def restore(self) -> None:
        """Restore what has changed since."""
        for part, kind, attributes in self._objects:
            if type(part) is not kind:
                object.__setattr__(part, "__class__", kind)
            if not _same(vars(part), attributes):
                vars(part).clear()
                vars(part).update(attributes)
        for container, content in self._containers:
            if not _same(container, content):
                _refill(container, content)


def _collect(value: Any, found: dict[int, Any]) -> None:
    """Add `value` to `found`, if it can be changed in place, and the containers inside it."""
    held_in = keras2_internals.HELD_IN.get(type(value).__name__)
    value = value if held_in is None else getattr(value, held_in, value)
    # By type: TensorFlow's wrappers claim to be a dict but are not.
    if id(value) in found or not issubclass(type(value), (list, dict, set, tuple)):
        return
    if not isinstance(value, tuple):
        found[id(value)] = value
    for item in _items(value):
        _collect(item, found)


def _items(container: Any) -> Iterator[Any]:
    return iter(container.values() if isinstance(container, dict) else container)


def _content(container: Any) -> Any:
    """A copy of a list, dict or set, of the plain type."""
    for kind in (dict, list, set):
        if isinstance(container, kind):
            return kind(container)


def _same(container: Any, content: Any) -> bool:
    """Whether a container still holds the same objects in the same order."""
    if isinstance(content, set):
        return container == content
    if len(container) != len(content):
        return False
    if isinstance(content, dict) and list(container) != list(content):
        return False
    return all(a is b for a, b in zip(_items(container), _items(content), strict=True))


def _refill(container: Any, content: Any) -> None:
    """Restore a container's content, bypassing Keras's tracking of changes."""
    if isinstance(container, list):
        list.__setitem__(container, slice(None), content)
        return
    base: Any = next(kind for kind in (OrderedDict, dict, set) if isinstance(container, kind))
    base.clear(container)
    base.update(container, content)
