"""Layer normalisation as JAX primitives: their shapes, derivatives, and what vmap makes of them.

`forward` and `backward` are the kernel's two passes. `tangent` is the derivative along given
tangents: in forward mode stock ops compute it; in reverse mode JAX transposes it, and that is
`backward`. The derivatives of `tangent` and `backward` are those of the portable engine's formula,
so that they go on to any order.

    forward(x, [gamma], [beta]) -> y, mean, rstd
    tangent(x, mean, rstd, [gamma], [beta], tangents) -> y's tangent
    backward(dy, x, mean, rstd, [gamma]) -> dx, [dgamma], [dbeta]

They normalise over the axes [first, last). The tangents are those of x, gamma and beta that `wrt`
names. mean and rstd have the shape of x without these axes, and two uint32 for each float64,
which JAX does not have unless it is asked for. gamma, beta and their gradients have the shape of
these axes, preceded by the first `batch` axes of x: along these, which vmap makes, each has values
of its own.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters.xla import apply_primitive

from py_layernorm.axes import resolve
from py_layernorm.engines import portable

# ---- The same in stock ops, whose derivatives JAX knows ----


def _stock(
    x: Any,
    *weights: Any,
    scale: bool,
    center: bool,
    first: int,
    last: int,
    batch: int,
    epsilon: float,
) -> Any:
    normalised = tuple(range(first - batch, last - batch))
    axes = resolve(normalised, None, len(x.shape) - batch)

    def one(x: Any, gamma: Any, beta: Any) -> Any:
        return portable.layer_norm(x, gamma, beta, axes, epsilon, x.dtype.name)

    for _ in range(batch):
        one = jax.vmap(one)
    rest = list(weights)
    return one(x, rest.pop(0) if scale else None, rest.pop(0) if center else None)


def stock_forward(x: Any, *weights: Any, **p: Any) -> list[Any]:
    """y, mean and rstd; the two are left out of a program that goes on with stock ops."""
    y = _stock(x, *weights, **p)
    axes = tuple(range(p["first"], p["last"]))
    with jax.enable_x64(True):
        wide = jax.lax.convert_element_type(x, np.float64)
        mean = jnp.mean(wide, axes, keepdims=True)
        var = jnp.mean(jnp.square(wide - mean), axes)
        rstd = 1 / jnp.sqrt(var + np.float64(p["epsilon"]))
        mean = jnp.squeeze(mean, axes)
        return [y, *(jax.lax.bitcast_convert_type(s, np.uint32) for s in (mean, rstd))]


def stock_tangent(x: Any, mean: Any, rstd: Any, *rest: Any, wrt: tuple[bool, ...], **p: Any) -> Any:
    weights = len(wrt) - 1
    primals = [x, *rest[:weights]]
    given = iter(rest[weights:])
    tangents = [next(given) if w else jnp.zeros_like(v) for v, w in zip(primals, wrt, strict=True)]
    return jax.jvp(functools.partial(_stock, **p), primals, tangents)[1]


def stock_backward(
    dy: Any, x: Any, mean: Any, rstd: Any, *gamma: Any, dgamma: bool, dbeta: bool, **p: Any
) -> list[Any]:
    beta = [jnp.zeros(_params(x, **p).shape, _params(x, **p).dtype)] if dbeta else []
    _, pullback = jax.vjp(functools.partial(_stock, center=dbeta, **p), x, *gamma, *beta)
    dx, *dparams = pullback(dy)
    return [dx, *dparams[len(gamma) - dgamma :]]


# ---- Shapes ----


def _params(x: Any, *, first: int, last: int, batch: int, **_: Any) -> Any:
    weight = np.float64 if x.dtype == np.float64 else np.float32
    return jax.core.ShapedArray((*x.shape[:batch], *x.shape[first:last]), np.dtype(weight))


def _rows(x: Any, *, first: int, last: int, **_: Any) -> Any:
    return jax.core.ShapedArray((*x.shape[:first], *x.shape[last:], 2), np.dtype(np.uint32))


def _forward_shapes(x: Any, *weights: Any, **p: Any) -> list[Any]:
    return [x.update(weak_type=False), _rows(x, **p), _rows(x, **p)]


def _tangent_shape(x: Any, *rest: Any, **p: Any) -> Any:
    return x.update(weak_type=False)


def _backward_shapes(dy: Any, x: Any, *rest: Any, **p: Any) -> list[Any]:
    return [x.update(weak_type=False), *[_params(x, **p)] * (p["dgamma"] + p["dbeta"])]


# ---- Derivatives ----


def _forward_jvp(primals: Any, tangents: Any, **p: Any) -> Any:
    y, mean, rstd = forward.bind(*primals, **p)
    x, *weights = primals
    wrt = tuple(not isinstance(t, ad.Zero) for t in tangents)
    moving = [t for t, w in zip(tangents, wrt, strict=True) if w]
    dy = tangent.bind(x, mean, rstd, *weights, *moving, wrt=wrt, **p)
    # mean and rstd are for `backward` alone, which computes from x what depends on them.
    fixed = [ad.Zero(jax.typeof(s).to_tangent_aval()) for s in (mean, rstd)]
    return [y, mean, rstd], [dy, *fixed]


def _tangent_transpose(
    ct: Any, x: Any, mean: Any, rstd: Any, *rest: Any, wrt: tuple[bool, ...], **p: Any
) -> list[Any]:
    weights, moving = rest[: len(wrt) - 1], rest[len(wrt) - 1 :]
    if isinstance(ct, ad.Zero):
        return [None] * (3 + len(rest))
    # Of x, gamma and beta, those whose gradients are asked for.
    kinds = ["x", *["gamma"] * p["scale"], *["beta"] * p["center"]]
    names = [kind for kind, w in zip(kinds, wrt, strict=True) if w]
    asked = [n for n, t in zip(names, moving, strict=True) if ad.is_undefined_primal(t)]
    center = p.pop("center")
    gradients = backward.bind(
        ct,
        x,
        mean,
        rstd,
        *weights[: len(weights) - center],
        dgamma="gamma" in asked,
        dbeta="beta" in asked,
        **p,
    )
    found = dict(zip(["x", *(n for n in asked if n != "x")], gradients, strict=True))
    results = [
        found[n] if ad.is_undefined_primal(t) else None for n, t in zip(names, moving, strict=True)
    ]
    return [None] * (3 + len(weights)) + results


def _jvp_of_stock(primitive: Primitive, stock: Callable[..., Any], rows: tuple[int, int]) -> Any:
    """The derivative by way of stock ops, which compute from x what the arguments `rows` hold."""

    def rule(primals: Any, tangents: Any, **p: Any) -> Any:
        moving = [i for i, t in enumerate(tangents) if not isinstance(t, ad.Zero) and i not in rows]

        def moved(*values: Any) -> Any:
            arguments = list(primals)
            for i, value in zip(moving, values, strict=True):
                arguments[i] = value
            return stock(*arguments, **p)

        _, derivative = jax.jvp(moved, [primals[i] for i in moving], [tangents[i] for i in moving])
        return primitive.bind(*primals, **p), derivative

    return rule


# ---- vmap ----


def _batched(
    primitive: Primitive, kinds: Callable[..., tuple[list[bool], list[bool]]]
) -> Callable[..., Any]:
    """The rule for vmap. `kinds` tells which arguments and results are gamma's or beta's shape.

    While none of these is mapped, the new axis is one more that is not normalised over. Else each
    of its elements is a call of its own: it becomes the first of the `batch` axes.
    """

    def rule(arguments: Any, axes: Any, **p: Any) -> Any:
        arguments_are_params, results_are_params = kinds(len(arguments), **p)
        apart = any(results_are_params) or any(
            a is not None and is_param
            for a, is_param in zip(axes, arguments_are_params, strict=True)
        )
        new = 0 if apart else p["batch"]
        (length,) = {v.shape[a] for v, a in zip(arguments, axes, strict=True) if a is not None}

        def placed(value: Any, axis: int | None, is_param: bool) -> Any:
            if axis is not None:
                return jnp.moveaxis(value, axis, new)
            if is_param and not apart:
                return value
            return jnp.repeat(jnp.expand_dims(value, new), length, axis=new)

        p = {**p, "first": p["first"] + 1, "last": p["last"] + 1, "batch": p["batch"] + apart}
        results = primitive.bind(*map(placed, arguments, axes, arguments_are_params), **p)
        return results, [new] * len(results_are_params) if primitive.multiple_results else new

    return rule


def _forward_kinds(count: int, **p: Any) -> tuple[list[bool], list[bool]]:
    return [False, *[True] * (count - 1)], [False] * 3


def _tangent_kinds(count: int, *, wrt: tuple[bool, ...], **p: Any) -> tuple[list[bool], list[bool]]:
    weights = [True] * (len(wrt) - 1)
    moving = [i > 0 for i, w in enumerate(wrt) if w]
    return [*[False] * 3, *weights, *moving], [False]


def _backward_kinds(
    count: int, *, dgamma: bool, dbeta: bool, **p: Any
) -> tuple[list[bool], list[bool]]:
    return [*[False] * 4, *[True] * (count - 4)], [False, *[True] * (dgamma + dbeta)]


# ---- The primitives ----


def _primitive(
    name: str,
    several: bool,
    shapes: Callable[..., Any],
    stock: Callable[..., Any],
    kinds: Callable[..., tuple[list[bool], list[bool]]],
) -> Primitive:
    made = Primitive(f"py_layernorm_{name}")
    made.multiple_results = several
    made.def_impl(functools.partial(apply_primitive, made))
    made.def_abstract_eval(shapes)
    batching.primitive_batchers[made] = _batched(made, kinds)
    mlir.register_lowering(made, mlir.lower_fun(stock, multiple_results=several))
    return made


forward = _primitive("forward", True, _forward_shapes, stock_forward, _forward_kinds)
tangent = _primitive("tangent", False, _tangent_shape, stock_tangent, _tangent_kinds)
backward = _primitive("backward", True, _backward_shapes, stock_backward, _backward_kinds)

ad.primitive_jvps[forward] = _forward_jvp
ad.primitive_jvps[tangent] = _jvp_of_stock(tangent, stock_tangent, rows=(1, 2))
ad.primitive_jvps[backward] = _jvp_of_stock(backward, stock_backward, rows=(2, 3))
ad.primitive_transposes[tangent] = _tangent_transpose
