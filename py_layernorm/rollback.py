"""Undoing what a function altered: when it fails, and, for R, shortly after it succeeded."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_kept: ContextVar[list[Callable[[], None]] | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def undone_on_error(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` if the block raises, whatever it raises; a warning made an error counts too."""
    try:
        yield
    except BaseException:
        undo()
        raise
    if (undos := _kept.get()) is not None:
        undos.append(undo)


@contextlib.contextmanager
def undo_kept() -> Iterator[Callable[[], None]]:
    """Yield a function that undoes every alteration made in the block, the latest first.

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
