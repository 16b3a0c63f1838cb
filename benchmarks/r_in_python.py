"""What R in Python's process costs: to start it, to call it, and when the process ends."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from rows import Row

RUNS = 5

# Prints, as its last act, seconds by name; "end" is when the exit began.
WITHOUT = """
import json, time
import keras
print(json.dumps({"end": time.time()}), flush=True)
"""
WITH = """
import json, time
import keras, numpy
import py_layernorm
from py_layernorm.r import layernorm_r

begin = time.time()
r = layernorm_r()
start = time.time() - begin

def once(functions, x=numpy.ones((2, 4))):
    begin = time.perf_counter()
    functions.layer_norm(x)
    return time.perf_counter() - begin

calls = {n: sorted(once(f) for _ in range(200))[100] for n, f in (("r", r), ("p", py_layernorm))}
print(json.dumps({"start": start, **calls, "end": time.time()}), flush=True)
"""


def run(code: str) -> dict[str, float]:
    """What a process of its own measures, and the seconds of its exit as "exit"."""
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    ended = time.time()
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "exit": ended - found["end"]}


def rows() -> Iterator[Row]:
    pairs = [(run(WITH), run(WITHOUT)) for _ in range(RUNS)]

    def median(name: str, which: int = 0) -> float:
        return statistics.median(pair[which][name] for pair in pairs)

    section = "R in Python's process: layernorm_r()"
    ours, theirs = median("exit"), median("exit", 1)
    more = statistics.median(a["exit"] - b["exit"] for a, b in pairs)
    yield Row(section, "exit", "import keras alone", theirs, ours, more, 1.0, "s more")
    yield Row(section, "start R", "", 0.0, median("start"), median("start"), None, "s")
    python, r = median("p") * 1e6, median("r") * 1e6
    yield Row(section, "layer_norm(), 2 x 4", "in Python", python, r, r - python, None, "us more")
