"""The bare kernel, on buffers allocated beforehand, beside PyTorch and beside a copy.

python benchmarks/kernel.py [word ...]      only the rows whose name holds every word
"""

import ctypes
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from library import THREADS, Pair, load
from rows import Row, paired, table


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def calls():
        for _ in range(times):
            call()

    return calls


def keep_pages() -> None:
    """Freed memory stays with the process: PyTorch's outputs cost no page faults. glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        mallopt(-2, 256 << 20)  # M_TOP_PAD


WANTED: list[str] = []  # words of the rows to measure; none: all


def compare(section, name, peer, pair, ours, theirs, limit) -> Iterator[Row]:
    if not all(word in f"{section} {name} {peer}" for word in WANTED):
        return
    a, b, ratio = paired(repeated(ours, pair.calls), repeated(theirs, pair.calls))
    microseconds = 1e6 / pair.calls
    yield Row(section, name, peer, b * microseconds, a * microseconds, ratio, limit, "us")


def last_axis(library) -> Iterator[Row]:
    section = "kernel: float32, last axis"
    for (rows, n), forward, copy, backward in (
        ((4096, 768), 0.70, 1.4, 0.55),
        ((8192, 1024), 0.70, 1.1, 0.55),
        ((4096, 64), 0.25, 2.3, 0.20),
        ((256, 64), 0.25, 2.3, 0.20),
        ((64, 65536), 0.70, 1.1, 0.75),
    ):
        pair = Pair(library, rows, n)
        name = f"({rows}, {n})"
        ours = pair.ours_forward()
        yield from compare(
            section, f"{name} forward", "PyTorch", pair, ours, pair.torch_forward(), forward
        )
        yield from compare(section, f"{name} forward", "copy", pair, ours, pair.copy(), copy)
        ours = pair.ours_backward()
        yield from compare(
            section, f"{name} backward", "PyTorch", pair, ours, pair.torch_backward(), backward
        )


def half_precision(library) -> Iterator[Row]:
    for dtype in (torch.bfloat16, torch.float16):
        pair = Pair(library, 4096, 768, dtype=dtype)
        name = f"(4096, 768) {str(dtype).removeprefix('torch.')} forward"
        yield from compare(
            "kernel: half precision", name, "PyTorch", pair, pair.ours_forward(),
            pair.torch_forward(), 0.65,
        )  # fmt: skip


def other_axes(library) -> Iterator[Row]:
    for name, shape in (
        ("axis 1 of (32, 64, 56, 56)", (32, 64, 56 * 56)),
        ("axes [1, 2] of (32, 56, 56, 64)", (32, 56 * 56, 64)),
    ):
        pair = Pair(library, *shape)
        section = "kernel: float32, other axes"
        ours = pair.ours_forward()
        yield from compare(
            section, name, "PyTorch, permuted", pair, ours, pair.torch_permuted(), 0.20
        )
        yield from compare(section, name, "copy", pair, ours, pair.copy(), 1.7)


def plain_formula() -> ctypes.CDLL | None:
    """native/plain.h, built by CMakePresets.json; None without CMake or a compiler."""
    root = Path(__file__).resolve().parents[1]
    try:
        for command in (["--preset", "release"], ["--build", "--preset", "release", "-t", "plain"]):
            subprocess.run(["cmake", *command], cwd=root, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"  no row for the plain formula: {error}", file=sys.stderr)
        return None
    return ctypes.CDLL(str(root / "build/native/release/tests/native/libplain.so"))


def cost_of_accuracy(library) -> Iterator[Row]:
    """By one thread each, in cache and out of it."""
    alone = load("")
    alone.threads = 1
    plain = plain_formula()
    if plain is None:
        return
    for rows, n in ((64, 768), (256, 1024), (4096, 768)):
        pair = Pair(alone, rows, n)
        mean, rstd = torch.empty(2, rows)
        tensors = [pair.x, pair.gamma, pair.beta], [pair.y, mean, rstd]
        reads, writes = ([ctypes.c_void_p(t.data_ptr()) for t in group] for group in tensors)
        theirs = functools.partial(
            plain.plain_forward, ctypes.c_int64(rows), ctypes.c_int64(n), *reads,
            ctypes.c_float(1e-3), *writes,
        )  # fmt: skip
        yield from compare(
            "kernel: what accuracy costs", f"({rows}, {n}) forward", "the plain formula", pair,
            pair.ours_forward(), theirs, 1.15,
        )  # fmt: skip


def growth(library) -> Iterator[Row]:
    """Time per element beside the best of all sizes."""
    section = "kernel: growth, per element"
    if not all(word in section for word in WANTED):
        return
    sizes = {}
    for rows in (13, 130, 1300, 13_000, 130_000):  # 1e4 to 1e8 elements
        pair = Pair(library, rows, 768)
        call = repeated(pair.ours_forward(), pair.calls)
        a, _, _ = paired(call, call)
        sizes[rows] = a / pair.calls / (rows * 768)
    best = min(sizes.values())
    for rows, value in sizes.items():
        yield Row(
            section, f"{rows * 768:.0e} elements, rows of 768",
            "the best of these", best * 1e9, value * 1e9, value / best, 2.0, "ns",
        )  # fmt: skip


def instruction_sets(library) -> Iterator[Row]:
    for isa in ("avx2", "baseline"):
        other = load(isa)
        if other.isa != isa:
            continue
        for shape in ((4096, 768, 1), (4096, 64, 1), (64, 65536, 1), (32, 64, 3136)):
            best = Pair(library, *shape)
            pair = Pair(other, *shape)
            for direction in ("forward", "backward"):
                yield from compare(
                    "kernel: instruction sets", f"{shape} {direction}, {isa}", "the best one",
                    pair, getattr(pair, f"ours_{direction}")(),
                    getattr(best, f"ours_{direction}")(), 2.5,
                )  # fmt: skip


def busy_processor(library) -> Iterator[Row]:
    """Two threads while something else has one of two processors, beside one thread then."""
    alone = load("")
    alone.threads = 1
    processors = sorted(os.sched_getaffinity(0))[:THREADS]
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(burner.pid, processors[-1:])
        for rows, n in ((4096, 768), (4096, 64)):
            pair, single = Pair(library, rows, n), Pair(alone, rows, n)
            for direction in ("forward", "backward"):
                yield from compare(
                    "kernel: one of two processors busy", f"({rows}, {n}) {direction}",
                    "one thread", pair, getattr(pair, f"ours_{direction}")(),
                    getattr(single, f"ours_{direction}")(), 1.1,
                )  # fmt: skip
    finally:
        burner.kill()
        burner.wait()


def rows() -> Iterator[Row]:
    keep_pages()
    torch.set_num_threads(THREADS)
    library = load()
    with torch.no_grad():
        for part in (
            last_axis, half_precision, other_axes, cost_of_accuracy, growth, instruction_sets,
            busy_processor,
        ):  # fmt: skip
            yield from part(library)


def main() -> None:
    arguments = sys.argv[1:]
    file = Path(arguments.pop(1)) if arguments[:1] == ["--json"] else None
    WANTED[:] = [word for word in arguments if word != "--json"]
    found = []
    for row in rows():
        found.append(row)
        print(f"  {row.name} | {row.peer}", file=sys.stderr, flush=True)
    if file:
        file.write_text("".join(json.dumps(row.as_dict()) + "\n" for row in found))
    else:
        print(table(found))


if __name__ == "__main__":
    main()
