"""The fused engine on JAX: the kernel as custom calls of XLA, with all of JAX's transformations.

`jax_rules` has the transformations and `jax_lowering` decides where the kernel serves. Both use
JAX's interfaces for extensions, which change with its versions: they are imported, and tried out,
by `unavailable`.
"""

import functools
import importlib.metadata
from typing import Any

import jax
import keras
import numpy as np

from py_layernorm.engines import arrange, kernel, xla

OLDEST = (0, 8)
NATIVE = "the native kernel within XLA"


@functools.cache
def unavailable() -> str | None:
    """Why the kernel cannot serve JAX in this process; None if it can.

    Raises:
        ValueError: if the environment asks for threads or instructions that there are not.
    """
    kernel.check_settings()
    came = importlib.metadata.version("jax")
    if tuple(int(n) for n in came.split(".")[:2]) < OLDEST:
        return f"JAX must be {'.'.join(map(str, OLDEST))} or newer; it is {came}"
    if jax.default_backend() != "cpu":
        return f"JAX computes on {jax.default_backend()}, and the kernel runs on the CPU"
    try:
        for name in xla.SYMBOLS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(xla.call(name)), platform="cpu")
        xla.try_out(_both_passes)
    except Exception as error:  # no library, a truncated one, another version of the interface
        return f"{type(error).__name__}: {error}"
    return None


def _both_passes() -> None:
    """Raise an error where this JAX no longer takes what the adapter gives it."""
    from py_layernorm.engines import jax_lowering

    def program(x: Any) -> Any:
        y, pullback = jax.vjp(lambda x: _normalise(x, None, None, 1, 2, 0.0), x)
        return y, *pullback(x)

    jax_lowering.lower_to_calls()
    x = np.array([[3, 5]], "float32")
    jax.typeof(x).sharding.mesh  # noqa: B018 - unavailable_here asks for it
    y, dx = jax.jit(program)(x)
    if not (np.array_equal(y, [[-1, 1]]) and np.array_equal(dx, [[0, 0]])):
        raise RuntimeError(f"the kernel gives {y} and {dx} for {x}")


def is_tracing() -> bool:
    """False: there is no short way that a trace could make fail."""
    return False


def unavailable_here(*tensors: Any) -> str | None:
    """Why the kernel cannot serve a call with these arguments; None if it can."""
    for tensor in tensors:
        if tensor is None:
            continue
        if not jax.typeof(keras.ops.convert_to_tensor(tensor)).sharding.mesh.empty:
            return "the call is for several devices, and the kernel runs on one"
    return None


def layer_norm(x: Any, gamma: Any, beta: Any, *arguments: Any) -> Any:
    """The engine: see the package's docstring for the arguments."""
    return arrange.layer_norm(_normalise, x, gamma, beta, *arguments)


def short_way(layer: Any) -> None:
    """There is no way shorter than Keras's own."""


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _normalise(x: Any, gamma: Any, beta: Any, first: int, last: int, epsilon: float) -> Any:
    from py_layernorm.engines import jax_rules

    return jax_rules.forward.bind(
        x,
        *(p for p in (gamma, beta) if p is not None),
        scale=gamma is not None,
        center=beta is not None,
        first=first,
        last=last,
        batch=0,
        epsilon=epsilon,
    )[0]
