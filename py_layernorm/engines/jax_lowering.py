"""Where the kernel serves on JAX, which is decided when a program is lowered.

Only then is it known what the program is for. On one CPU it is the kernel; for an export, for
several devices and for other devices it is stock ops.
"""

from typing import Any

import jax
from jax.interpreters import mlir

from py_layernorm.engines import jax_rules, xla


def lower_to_calls() -> None:
    """Lower the two passes to the custom calls, where these serve, rather than to stock ops."""
    _lower_to_call(
        jax_rules.forward,
        jax_rules.stock_forward,
        xla.FORWARD,
        flags=("scale", "center"),
        numbers=("epsilon",),
    )
    _lower_to_call(
        jax_rules.backward,
        jax_rules.stock_backward,
        xla.BACKWARD,
        flags=("scale", "dgamma", "dbeta"),
        numbers=(),
    )


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
