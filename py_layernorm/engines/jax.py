"""The fused engine on JAX: the kernel as custom calls of XLA, with all of JAX's transformations.

Which code runs is decided when a program is lowered, for only then is it known for what. On one CPU
it is the kernel; for an export, for several devices and for other devices it is stock ops.
"""

import functools
import importlib.metadata
from typing import Any

import jax
import keras
from jax.interpreters import mlir

from py_layernorm.engines import arrange, jax_rules, xla

OLDEST = (0, 7)


@functools.cache
def unavailable() -> str | None:
    """Why the kernel cannot serve JAX in this process; None if it can.

    Raises:
        ValueError: if the environment asks for threads or instructions that there are not.
    """
    came = importlib.metadata.version("jax")
    if tuple(int(n) for n in came.split(".")[:2]) < OLDEST:
        return f"JAX must be {'.'.join(map(str, OLDEST))} or newer; it is {came}"
    if jax.default_backend() != "cpu":
        return f"JAX computes on {jax.default_backend()}, and the kernel runs on the CPU"
    try:
        for name in xla.SYMBOLS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(xla.call(name)), platform="cpu")
        _lower_to_calls()
    except ValueError:
        raise
    except Exception as error:  # no library, a truncated one, another version of the interface
        return str(error)
    return None


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


def _lower_to_calls() -> None:
    """Lower the two passes to the custom calls, where these serve, rather than to stock ops."""
    flags = ("scale", "center")
    _lower_to_call(jax_rules.forward, jax_rules.stock_forward, xla.FORWARD, flags, ("epsilon",))
    flags = ("scale", "dgamma", "dbeta")
    _lower_to_call(jax_rules.backward, jax_rules.stock_backward, xla.BACKWARD, flags, ())


def _lower_to_call(
    primitive: Any, stock: Any, name: str, flags: tuple[str, ...], numbers: tuple[str, ...]
) -> None:
    lower_stock = mlir.lower_fun(stock, multiple_results=True)

    def rule(ctx: Any, *operands: Any, **p: Any) -> Any:
        if not _for_one_cpu(ctx.module_context):
            return lower_stock(ctx, *operands, **p)
        attributes = {
            "axis_begin": mlir.i64_attr(p["first"]),
            "axis_end": mlir.i64_attr(p["last"]),
            "batch": mlir.i64_attr(p["batch"]),
            **{flag: mlir.ir.BoolAttr.get(p[flag]) for flag in flags},
            **{number: mlir.ir.FloatAttr.get_f64(p[number]) for number in numbers},
        }
        return jax.ffi.ffi_lowering(name, backend_config=attributes)(ctx, *operands)

    # For every platform: a rule of the CPU's own would make a program for several platforms choose
    # among them when it runs, and XLA does not take that where lengths are unknown.
    mlir.register_lowering(primitive, rule)


def _for_one_cpu(context: Any) -> bool:
    """Whether a program is lowered for one CPU of this process.

    XLA does not know how to share a custom call out among devices, and would have each compute the
    whole; an exported program must run where there is no such call.
    """
    where = context.axis_context
    alone = isinstance(where, mlir.ShardingContext) and where.num_devices == 1
    cpu = tuple(context.platforms) == ("cpu",)
    return alone and cpu and not context.lowering_parameters.for_export
