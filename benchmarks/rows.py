"""A row of `make bench`: what is measured, the alternative it is compared with, and its limit."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass
class Row:
    """`value` is the ratio or difference that is compared with `limit` (smaller is better)."""

    section: str
    name: str
    peer: str
    theirs: float
    ours: float
    value: float
    limit: float | None
    unit: str = ""

    @property
    def ok(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def as_dict(self) -> dict:
        return {**asdict(self), "ok": self.ok}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def settled(call: Callable[[], object]) -> float:
    time.sleep(0.015)
    warm = time.perf_counter() + 0.01
    while time.perf_counter() < warm:
        call()
    return seconds(call)


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    budget: float = 1.5,
    least: int = 7,
) -> tuple[float, float, float]:
    """Medians in seconds of two calls that take turns, and the median of the pairs' ratios.

    Interleaved, so that whatever else the machine does falls on both; the first pair is a
    warm-up. Runs until `budget` seconds are spent and `least` pairs are done. Before each turn a
    pause, because OpenMP's threads go on spinning for some milliseconds on the processor that the
    other needs; and after it calls that are not timed, because processors and threads that have
    slept wake slowly.
    """
    seconds(ours), seconds(theirs)
    pairs: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(pairs) < least or time.perf_counter() - start < budget:
        # Taking turns in who goes first: the second finds what the first left in the cache.
        if len(pairs) % 2:
            b, a = settled(theirs), settled(ours)
        else:
            a, b = settled(ours), settled(theirs)
        pairs.append((a, b))
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a, b, statistics.median(a / b for a, b in pairs)


def table(rows: list[Row]) -> str:
    """Rows as text, one section after the other."""
    lines = []
    width = max(len(row.name) for row in rows)
    for section in dict.fromkeys(row.section for row in rows):
        mine = [row for row in rows if row.section == section]
        peer = max(len(row.peer) for row in mine)
        lines += ["", section]
        header = f"{'peer':<{peer}} {'theirs':>10} {'ours':>10} {'value':>9} {'limit':>8}"
        lines.append(f"  {'':<{width}}  {header}")
        for row in mine:
            limit = "" if row.limit is None else f"{row.limit:g}"
            verdict = "" if row.limit is None else ("ok" if row.ok else "OVER")
            lines.append(
                f"  {row.name:<{width}}  {row.peer:<{peer}} {row.theirs:>10.3g} {row.ours:>10.3g} "
                f"{row.value:>9.3g} {limit:>8} {row.unit} {verdict}".rstrip()
            )
    return "\n".join(lines)
