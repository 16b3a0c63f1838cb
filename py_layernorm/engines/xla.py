"""The kernel as custom calls of XLA: the native library that holds them, loaded and registered.

`native/xla/call.cc` says what the two calls take and give. JAX and TensorFlow each bring an XLA of
their own, so the calls are registered with each that is used.
"""

import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from py_layernorm.engines import kernel

LIBRARY = "libpy_layernorm_xla.so"

# The names that the calls are registered with. XLA's compiled programs, which JAX may keep on disk,
# call them by name: when what a call takes changes, so does the number.
FORWARD = "py_layernorm_forward_1"
BACKWARD = "py_layernorm_backward_1"
SYMBOLS = {FORWARD: "py_layernorm_xla_forward", BACKWARD: "py_layernorm_xla_backward"}


@functools.cache
def library() -> ctypes.CDLL:
    """The native library.

    Raises:
        OSError: if it is not there, is truncated, or does not load.
        ValueError: if the environment asks for threads or instructions that do not exist.
    """
    kernel.Kernel()  # reads the settings in the environment, and refuses wrong ones
    return ctypes.CDLL(str(kernel.find(LIBRARY)))


def call(name: str) -> Any:
    """The C function behind one of the two names."""
    return getattr(library(), SYMBOLS[name])


def try_out(calls: Callable[[], None]) -> None:
    """Have `calls` made outside of whatever is being traced: each thread traces for itself."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(calls).result()


def register(api: int, name: str) -> None:
    """Register a call with the XLA whose table of functions is at the address `api`.

    Raises:
        RuntimeError: if that XLA's interface is another one than the library was written for.
    """
    message = ctypes.create_string_buffer(1000)
    function = library().py_layernorm_xla_register
    function.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    address = ctypes.cast(call(name), ctypes.c_void_p)
    if function(api, name.encode(), address, message, len(message)):
        raise RuntimeError(message.value.decode(errors="replace"))
