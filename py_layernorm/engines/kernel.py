"""The files of the native library: where they are, and whether they may be loaded."""

import os
import struct
from pathlib import Path

import py_layernorm
from py_layernorm import checks

# What the kernel reads in the environment.
ISA = "PY_LAYERNORM_ISA"
ISAS = ("avx512", "avx2", "baseline")
THREADS = "PY_LAYERNORM_THREADS"

OP = "libpy_layernorm_op.so"
KERNEL = "libpy_layernorm_kernel.so"  # which the op's library loads from its own folder


def folder() -> Path:
    """Where the native libraries are: inside the installed package, and nowhere else.

    Raises:
        FileNotFoundError: if one of the two is not there.
        OSError: if one of them is not whole.
    """
    # An editable install has two folders: the sources, and what was compiled.
    folders = [Path(folder) / "native" for folder in py_layernorm.__path__]
    for found in folders:
        if (found / OP).exists() and (found / KERNEL).exists():
            whole(found / OP)
            whole(found / KERNEL)
            return found
    raise FileNotFoundError(
        f"there is no native library in {folders[0]}: it was not compiled when py_layernorm was "
        "installed"
    )


def check_settings() -> None:
    """Raise ValueError for what the kernel would take for another setting, or for none."""
    isa, threads = (os.environ.get(name, "") for name in (ISA, THREADS))
    if isa and isa not in ISAS:
        raise ValueError(f"{ISA} must be one of {', '.join(ISAS)}. {checks.received(ISA, isa)}")
    if threads and not (threads.isascii() and threads.isdecimal() and threads.strip("0")):
        raise ValueError(
            f"{THREADS} must be a number of threads, 1 or more. {checks.received(THREADS, threads)}"
        )


def whole(path: Path) -> None:
    """Raise OSError for an ELF file that ends before its headers say.

    An interrupted copy leaves such a file. The loader would map it nevertheless, and the process
    would end with a bus error at the first use of what is not there. Whatever else may be wrong
    with a file (another platform's, no library at all), the loader refuses with a message.
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
