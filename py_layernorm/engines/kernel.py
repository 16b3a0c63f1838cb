"""The native kernel: where its library is, and its one ctypes binding.

The module itself needs neither Keras nor TensorFlow.
"""

import ctypes
import importlib.util
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

# What the kernel reads in the environment.
ISA = "PY_LAYERNORM_ISA"
ISAS = ("avx512", "avx2", "baseline")
THREADS = "PY_LAYERNORM_THREADS"
MOST_THREADS = 256

OP = "libpy_layernorm_op.so"
KERNEL = "libpy_layernorm_kernel.so"  # which the adapters load from their own folder

# What follows is native/kernel.h.
DTYPES = ("float32", "float64", "bfloat16", "float16")  # by their numbers
OK, INVALID, NO_MEMORY = range(3)
_SIZES = [ctypes.c_int, *3 * [ctypes.c_int64]]
_POINTER = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "forward": (ctypes.c_int, [*_SIZES, *3 * [_POINTER], ctypes.c_double, *3 * [_POINTER]]),
    "backward": (ctypes.c_int, [*_SIZES, *8 * [_POINTER]]),
    "isa": (ctypes.c_char_p, []),
    "get_threads": (ctypes.c_int, []),
    "set_threads": (ctypes.c_int, [ctypes.c_int]),
    "version": (ctypes.c_char_p, []),
}


def find(name: str) -> Path:
    """The path of a native library, which is inside the installed package and nowhere else.

    Raises:
        FileNotFoundError: if there is no such library with a kernel beside it.
        OSError: if one of the two is truncated.
    """
    # A namespace package: an editable install has two folders, the sources and what was compiled.
    spec = importlib.util.find_spec("py_layernorm.native")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in map(Path, folders):
        if (folder / name).exists() and (folder / KERNEL).exists():
            check_not_truncated(folder / name)
            check_not_truncated(folder / KERNEL)
            return folder / name
    raise FileNotFoundError(
        f"there is no native library in {folders[0] if folders else 'py_layernorm/native'}: it was "
        "not compiled when py_layernorm was installed"
    )


def check_not_truncated(path: Path) -> None:
    """Raise OSError for an ELF file that is shorter than its headers say.

    An interrupted copy leaves such a file. The loader would map it all the same, and the process
    would die of a bus error when it first touched a missing page. Any other kind of bad file (of
    another platform, or not a library) is refused by the loader with a message.
    """
    content = path.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian; the rest is the loader's
        return
    size = len(content)
    try:
        (program, section) = struct.unpack_from("<QQ", content, 32)
        lengths = struct.unpack_from("<HHHH", content, 54)
        program_length, programs, section_length, sections = lengths
        end = max(program + programs * program_length, section + sections * section_length)
        for i in range(programs):
            offset, *_, stored = struct.unpack_from(
                "<QQQQ", content, program + i * program_length + 8
            )
            end = max(end, offset + stored)
    except struct.error:
        raise OSError(f"{path} is truncated: it has {size} bytes and no whole header") from None
    if size < end:
        raise OSError(f"{path} is truncated: it has {size} bytes of {end}")


def check_settings() -> None:
    """Raise ValueError for a setting in the environment that the kernel would ignore."""
    isa, threads = (os.environ.get(name, "") for name in (ISA, THREADS))
    if isa and isa not in ISAS:
        raise ValueError(f"{ISA} must be one of {', '.join(ISAS)}. {_received(ISA, isa)}")
    if threads and not (re.fullmatch("0*[1-9][0-9]{0,2}", threads) and _in_range(int(threads))):
        raise ValueError(
            f"{THREADS} must be a number of threads from 1 to {MOST_THREADS}. "
            f"{_received(THREADS, threads)}"
        )


def _in_range(threads: int) -> bool:
    return 1 <= threads <= MOST_THREADS


def _received(name: str, value: object) -> str:
    from py_layernorm import checks  # not at the top, because it imports Keras

    return checks.received(name, value)


def description() -> str:
    """The instruction set and the number of threads in use, for the doctor."""
    kernel = Kernel()
    return f"{kernel.isa}, threads: {kernel.threads}"


class Kernel:
    """The kernel's functions, on C-contiguous NumPy arrays.

    Args:
        path: the library; by default the one in the package. Two objects with the same path share
            one library, its threads and its instruction set. The settings in the environment are
            read when the first of them is made.

    Raises:
        FileNotFoundError: if there is no library in the package.
        OSError: if the library is truncated, or the loader refuses it.
        ValueError: for a setting in the environment that the kernel would ignore.

    Shapes are those of native/kernel.h: `x`, `y`, `dy` and `dx` are `[outer, n, inner]`, `gamma`,
    `beta`, `dgamma` and `dbeta` are `[n]`, and `mean` and `rstd` are `[outer * inner]` in float64.
    `x` is of one of `DTYPES`; the weights are float32, or float64 where `x` is.

    `library` holds the C functions themselves, with their types declared, for calls on addresses.
    """

    def __init__(self, path: Path | None = None) -> None:
        check_settings()
        self.library = ctypes.CDLL(str(find(KERNEL) if path is None else path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self.library, f"py_layernorm_{name}")
            function.restype = result
            function.argtypes = arguments
        # The kernel reads its settings once, at the first use: now, when they have been checked.
        self.isa: str = self.library.py_layernorm_isa().decode()
        self.version: str = self.library.py_layernorm_version().decode()
        self.library.py_layernorm_get_threads()

    @property
    def threads(self) -> int:
        """How many threads one call uses at most.

        Raises:
            ValueError: if set to anything but an int from 1 to `MOST_THREADS`.
        """
        return int(self.library.py_layernorm_get_threads())

    @threads.setter
    def threads(self, count: int) -> None:
        is_int = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if not is_int or not _in_range(int(count)):
            raise ValueError(
                f"threads must be an int from 1 to {MOST_THREADS}. {_received('threads', count)}"
            )
        self.library.py_layernorm_set_threads(count)

    def forward(
        self,
        x: np.ndarray,
        gamma: np.ndarray | None = None,
        beta: np.ndarray | None = None,
        epsilon: float = 1e-3,
        in_place: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`y`, `mean` and `rstd`; `in_place` writes `y` over `x`."""
        y = x if in_place else np.empty_like(x)
        mean, rstd = np.full((2, x.shape[0] * x.shape[2]), np.nan)
        _check(
            self.library.py_layernorm_forward(
                *_sizes(x), *map(_address, (x, gamma, beta)), epsilon,
                *map(_address, (y, mean, rstd)),
            )
        )  # fmt: skip
        return y, mean, rstd

    def backward(
        self,
        dy: np.ndarray,
        x: np.ndarray,
        gamma: np.ndarray | None,
        mean: np.ndarray,
        rstd: np.ndarray,
        in_place: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`dx`, `dgamma` and `dbeta`; `in_place` writes `dx` over `dy`."""
        dx = dy if in_place else np.empty_like(dy)
        weight = "float64" if x.dtype == "float64" else "float32"
        dgamma, dbeta = np.full((2, x.shape[1]), np.nan, dtype=weight)
        _check(
            self.library.py_layernorm_backward(
                *_sizes(x), *map(_address, (dy, x, gamma, mean, rstd, dx, dgamma, dbeta))
            )
        )
        return dx, dgamma, dbeta


def _sizes(x: np.ndarray) -> tuple[int, ...]:
    return (DTYPES.index(x.dtype.name), *x.shape)


def _address(array: np.ndarray | None) -> int | None:
    if array is None:
        return None
    if not array.flags.c_contiguous:
        raise ValueError("the layer normalisation kernel takes C-contiguous arrays")
    return array.ctypes.data


def _check(status: int) -> None:
    if status == NO_MEMORY:
        raise MemoryError("out of memory in layer normalisation")
    if status != OK:
        raise ValueError("invalid arguments of the layer normalisation kernel")
