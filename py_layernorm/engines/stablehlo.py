"""One custom call of XLA as an op of TensorFlow's.

TensorFlow's op for that is XlaCallModule, which holds a program in StableHLO's text; here, of one
call. An array is told by its dtype and its shape, in which None is a length unknown until XLA
compiles.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# StableHLO's version that is compatible with all that serve.
VERSION = 9

Array = tuple[tf.DType, tuple[int | None, ...]]
# A result: its dtype, the axes of x whose lengths it has, and lengths of its own that follow.
Result = tuple[tf.DType, tuple[int, ...], tuple[int, ...]]

TYPES = {
    tf.float16: "f16",
    tf.bfloat16: "bf16",
    tf.float32: "f32",
    tf.float64: "f64",
    tf.uint32: "ui32",
}


@dataclass(frozen=True)
class Call:
    """What a program calls, for its gradient."""

    name: str
    axes: tuple[int, int]
    attributes: dict[str, Any]


# The gradient of each call, by its name: a function of the call, the op and the upstream gradients.
_gradients: dict[str, Callable[..., list[Any]]] = {}
_calls: dict[str, Call] = {}  # by the program's text


def call(
    name: str,
    x: Any,
    before: Sequence[Any],
    after: Sequence[Any],
    results: Sequence[Result],
    axes: tuple[int, int],
    attributes: dict[str, Any],
) -> list[Any]:
    """The results of the call `name` for the operands `before`, `x` and `after`."""
    # None of these has a public name.
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops
    from tensorflow.python.eager import execute, record

    operands = [tf.convert_to_tensor(o) for o in (*before, x, *after)]  # variables are read
    program = _program(
        name,
        tuple((o.dtype, tuple(o.shape)) for o in operands),
        len(before),
        tuple(results),
        (("axis_begin", axes[0]), ("axis_end", axes[1]), ("batch", 0), *attributes.items()),
    )
    _calls[program] = Call(name, axes, attributes)
    # What the generated function records about the op, forward mode cannot take: shapes.
    with record.stop_recording():
        returned = gen_xla_ops.xla_call_module(
            operands,
            version=VERSION,
            module=program,
            Tout=[dtype for dtype, *_ in results],
            Sout=[[*(x.shape[a] for a in lengths), *rest] for _, lengths, rest in results],
            platforms=["CPU"],
        )
    execute.record_gradient("XlaCallModule", operands, ("module", program), returned)
    return list(returned)


def register_gradients(gradients: dict[str, Callable[..., list[Any]]]) -> None:
    """Give the calls their gradients: TensorFlow itself has none for the op.

    Raises:
        KeyError: if another package has registered one.
    """
    tf.RegisterGradient("XlaCallModule")(_gradient)
    _gradients.update(gradients)


def _gradient(op: Any, *upstream: Any) -> list[Any]:
    """The gradient of a program of ours; for any other what TensorFlow says without us."""
    found = _calls.get(tf.compat.as_str_any(op.get_attr("module")))
    if found is None:
        raise LookupError(f"No gradient defined for operation '{op.name}' (op type: {op.type})")
    return _gradients[found.name](found, op, *upstream)


@functools.lru_cache(maxsize=1000)
def _program(
    name: str,
    operands: tuple[Array, ...],
    x: int,
    results: tuple[Result, ...],
    attributes: tuple[tuple[str, Any], ...],
) -> str:
    shape = operands[x][1]
    returned = [(dtype, tuple(shape[a] for a in axes) + rest) for dtype, axes, rest in results]
    names = [f"%arg{i}" for i in range(len(operands))]
    given = [*operands]
    body: list[str] = []
    settings = [
        "api_version = 4 : i32",
        f"backend_config = {{{', '.join(f'{k} = {_attribute(v)}' for k, v in attributes)}}}",
    ]
    unknown = any(None in lengths for _, lengths in [*operands, *returned])
    if unknown:
        # The results' shapes are further operands, which XLA takes away once it knows them.
        indices = []
        for i, (_, axes, rest) in enumerate(results):
            lines, array = _shape_operand(f"%shape{i}", f"%arg{x}", operands[x], axes, rest)
            body += lines
            indices.append(str(len(names)))
            names.append(f"%shape{i}")
            given.append(array)
        settings.append(
            f"indices_of_shape_operands = dense<[{', '.join(indices)}]> : "
            f"tensor<{len(indices)}xi64>"
        )
    settings.append(f"operand_layouts = [{', '.join(map(_layout, given))}]")
    settings.append(f"result_layouts = [{', '.join(map(_layout, returned))}]")
    types = ", ".join(map(_type, returned))
    body.append(
        f"%out:{len(results)} = stablehlo.custom_call @{name}({', '.join(names)}) "
        f"{{{', '.join(settings)}}} : ({', '.join(map(_type, given))}) -> ({types})"
    )
    body.append(f"return {', '.join(f'%out#{i}' for i in range(len(results)))} : {types}")
    parameters = ", ".join(f"%arg{i}: {_type(array)}" for i, array in enumerate(operands))
    text = "\n".join(f"    {line}" for line in body)
    module = " attributes {jax.uses_shape_polymorphism = true}" if unknown else ""
    return (
        f"module @py_layernorm{module} {{\n"
        f"  func.func public @main({parameters}) -> ({types}) {{\n{text}\n  }}\n}}\n"
    )


def _shape_operand(
    name: str, x: str, array: Array, axes: tuple[int, ...], rest: tuple[int, ...]
) -> tuple[list[str], Array]:
    """The lines that make a result's shape, and what kind of array that is."""
    lines, parts = [], []
    for a in axes:
        part = f"{name}_{a}"
        parts.append(part)
        if array[1][a] is None:
            lines += [
                f"{part}_length = stablehlo.get_dimension_size {x}, dim = {a} : "
                f"({_type(array)}) -> tensor<i32>",
                f"{part} = stablehlo.reshape {part}_length : (tensor<i32>) -> tensor<1xi32>",
            ]
        else:
            lines.append(f"{part} = stablehlo.constant dense<{array[1][a]}> : tensor<1xi32>")
    for i, length in enumerate(rest):
        parts.append(f"{name}_rest{i}")
        lines.append(f"{parts[-1]} = stablehlo.constant dense<{length}> : tensor<1xi32>")
    lines.append(
        f"{name} = stablehlo.concatenate {', '.join(parts)}, dim = 0 : "
        f"({', '.join(['tensor<1xi32>'] * len(parts))}) -> tensor<{len(parts)}xi32>"
    )
    return lines, (tf.int32, (len(parts),))


def _type(array: Array) -> str:
    dtype, shape = array
    name = "i32" if dtype == tf.int32 else TYPES[dtype]
    return f"tensor<{''.join('?x' if n is None else f'{n}x' for n in shape)}{name}>"


def _layout(array: Array) -> str:
    """Rows after rows, as the kernel reads them."""
    axes = list(reversed(range(len(array[1]))))
    return f"dense<{axes}> : tensor<{len(axes)}xindex>"


def _attribute(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value} : i64" if isinstance(value, int) else f"{value:.17e} : f64"
