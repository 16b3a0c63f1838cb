"""Arithmetic of axes: what the arguments `axis` and `param_axis` mean for inputs of one rank."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

Axis = int | Sequence[int]


class Axes(NamedTuple):
    """Where a call normalises and what its weights span.

    Axes are counted from 0, in increasing order. Computed once for a rank and never changed.
    """

    rank: int
    normalised: tuple[int, ...]
    spanned: tuple[int, ...]  # by gamma and beta
    contiguous: bool  # the normalised axes are neighbours
    trailing: bool  # they are the last ones
    aligned: bool  # gamma and beta span exactly the normalised axes
    begin: int  # the first normalised axis
    end: int  # the one after the last


def listed(axis: Axis) -> tuple[int, ...]:
    """The axes as a tuple, as they were passed."""
    return (axis,) if isinstance(axis, int) else tuple(axis)


@functools.lru_cache(maxsize=1024)
def resolve(axis: tuple[int, ...], param_axis: tuple[int, ...] | None, rank: int) -> Axes:
    """The `Axes` of arguments that fit the rank; `checks.axes` refuses those that do not.

    Example:

    >>> resolve((-1, 1), None, 3).normalised
    (1, 2)
    """
    normalised = tuple(sorted(a % rank for a in axis))
    spanned = normalised if param_axis is None else tuple(sorted(a % rank for a in param_axis))
    contiguous = normalised[-1] - normalised[0] + 1 == len(normalised)
    return Axes(
        rank=rank,
        normalised=normalised,
        spanned=spanned,
        contiguous=contiguous,
        trailing=contiguous and normalised[-1] == rank - 1,
        aligned=spanned == normalised,
        begin=normalised[0],
        end=normalised[-1] + 1,
    )
