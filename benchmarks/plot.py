"""The rows of `make bench` as a plot: each bar is ours over the peer's, each tick its limit."""

from pathlib import Path

import matplotlib
from rows import Row

matplotlib.use("Agg")

import matplotlib.pyplot as plt


def draw(rows: list[Row], path: Path) -> None:
    """Bars of `value` for all rows that are ratios; a longer bar is slower."""
    rows = [row for row in rows if row.theirs > 0 and row.unit in ("", "us") and row.value < 5]
    figure, axes = plt.subplots(figsize=(11, 0.26 * len(rows) + 1.2))
    for y, row in enumerate(reversed(rows)):
        axes.barh(y, row.value, color="tab:blue" if row.ok else "tab:red", height=0.7)
        if row.limit is not None:
            axes.plot([row.limit] * 2, [y - 0.4, y + 0.4], color="black", linewidth=1.5)
        axes.text(row.value + 0.01, y, f"{row.value:.2f}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [f"{r.name} | {r.peer}" for r in reversed(rows)], fontsize=7)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.set_xlabel("ours over the peer's: less is faster; black ticks are limits")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
