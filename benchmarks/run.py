"""`make bench`: every row beside what people would use instead, printed, and written as JSON.

python benchmarks/run.py [section ...]      sections: kernel, layers, memory, models,
                                                portable, accuracy, r, rpy2
"""

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import accuracy
import layers
import memory
import models
import plot
import r_in_python
from rows import Row, table

HERE = Path(__file__).parent
OUT = HERE / "output"


def kernel_rows() -> Iterator[Row]:
    """The bare kernel beside PyTorch, in a process of its own: TensorFlow's threads stay out."""
    file = OUT / "kernel.jsonl"
    subprocess.run([sys.executable, HERE / "kernel.py", "--json", file], check=True)
    for line in file.read_text().splitlines():
        found = json.loads(line)
        del found["ok"]
        yield Row(**found)


def r_rows() -> Iterator[Row]:
    """What the R package costs over Python, measured by R."""
    file = OUT / "r_costs.jsonl"
    subprocess.run(["Rscript", HERE / "r_costs.R", file], check=True)
    for line in file.read_text().splitlines():
        found = json.loads(line)
        yield Row(
            "R: cost over the same call in Python",
            found["name"],
            found["peer"],
            found["peer_took"],
            found["ours"],
            found["difference"],
            found["limit"],
            found["unit"],
        )


SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "kernel": kernel_rows,
    "layers": layers.rows,
    "memory": memory.rows,
    "models": models.rows,
    "portable": layers.portable_rows,
    "accuracy": accuracy.rows,
    "r": r_rows,
    "rpy2": r_in_python.rows,
}


def main() -> int:
    names = sys.argv[1:] or list(SECTIONS)
    if unknown := set(names) - set(SECTIONS):
        sys.exit(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    OUT.mkdir(exist_ok=True)
    found: list[Row] = []
    for name in names:
        for row in SECTIONS[name]():
            found.append(row)
            print(f"  {name}: {row.name}", file=sys.stderr, flush=True)
    print(table(found))
    machine = {"cpu": platform.processor() or platform.machine(), "python": sys.version.split()[0]}
    result = {"machine": machine, "rows": [row.as_dict() for row in found]}
    (OUT / "results.json").write_text(json.dumps(result, indent=1))
    plot.draw(found, OUT / "results.png")
    over = [row for row in found if not row.ok]
    print(f"\n{len(found) - len(over)} of {len(found)} rows within their limit", end="")
    print(f"; over: {'; '.join(row.name for row in over)}" if over else "")
    print(f"written to {OUT / 'results.json'} and results.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
