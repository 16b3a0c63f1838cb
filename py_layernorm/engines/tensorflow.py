"""The fused engine: one native op forward and one backward, on TensorFlow's CPU.

`native/tensorflow/op.cc` registers PyLayernorm and PyLayernormGrad; here they are loaded, given
their gradients, and called. Imported only where Keras runs on TensorFlow.
"""

import functools
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from py_layernorm import keras_internals
from py_layernorm.axes import Axes
from py_layernorm.engines import kernel, portable, threads


@functools.cache
def load() -> Any:
    """The native library's ops as a module; OSError or an error of TensorFlow's if it fails."""
    kernel.Kernel()  # reads the settings in the environment, and refuses wrong ones
    return tf.load_op_library(str(kernel.find(kernel.OP)))


@functools.cache
def unavailable() -> str | None:
    """Why the op cannot serve in this process; None if it can.

    Raises:
        ValueError: if the environment asks for threads or instructions that do not exist.
    """
    kernel.check_settings()
    for kind in ("GPU", "TPU"):
        if tf.config.get_visible_devices(kind):
            return f"a {kind} is in use, and the native op runs on the CPU"
    try:
        load()
    except Exception as error:  # a truncated file, another platform's, a missing symbol: all count
        return str(error)
    return None


_threads_are_final = False


def _follow_threads() -> None:
    """Use as many threads as TensorFlow: users may say how many until it is initialised."""
    global _threads_are_final
    if _threads_are_final:
        return
    _threads_are_final = keras_internals.tensorflow_is_initialised()
    told = tf.config.threading.get_intra_op_parallelism_threads()
    if not told:
        variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        told = int(variable) if variable.isdecimal() else 0
    threads.follow(told)


def is_tracing() -> bool:
    """Whether a graph is being made, rather than values computed."""
    return not tf.executing_eagerly()


def unavailable_here() -> str | None:
    """Why the op cannot serve in the call that is being traced; None if it can."""
    if tf.executing_eagerly():
        return None
    if keras_internals.tracing_for_xla():
        return "the call is being traced for XLA, which does not know the native op"
    if keras_internals.tracing_for_export():
        return (
            "the graph is asked for by get_concrete_function, an export or a converter, and must "
            "load where the native op is not installed"
        )
    return None


def layer_norm(x: Any, gamma: Any, beta: Any, axes: Axes, epsilon: float, dtype: str) -> Any:
    """The engine: see the package's docstring for the arguments.

    The op takes neighbouring axes, and weights that span them. Other axes are moved to the end
    for it and back; other weights are applied by standard ops, in at least float32, as in the op.
    """
    inside = axes.aligned or (gamma is None and beta is None)
    came = tf.as_dtype(x.dtype).name
    same = came == dtype
    wide = tf.float64 if "float64" in (came, dtype) else tf.float32
    if not (inside and same):
        x = tf.cast(x, wide)
    gamma = None if gamma is None else tf.cast(gamma, wide)
    beta = None if beta is None else tf.cast(beta, wide)
    begin, end = axes.begin, axes.end
    if not axes.contiguous:
        others = [a for a in range(axes.rank) if a not in axes.normalised]
        order = [*others, *axes.normalised]
        x = tf.transpose(x, order)
        begin, end = len(others), axes.rank
    y = _op(x, gamma if inside else None, beta if inside else None, begin, end, epsilon)
    if not axes.contiguous:
        y = tf.transpose(y, [order.index(a) for a in range(axes.rank)])
    if not inside:
        y = portable.affine(y, gamma, beta, axes.spanned)
    return y if inside and same else tf.cast(y, dtype)


def short_way(layer: Any) -> Callable[[Any], Any] | None:
    """A function that is `layer(x)` for a built layer and an eager tensor or a NumPy array.

    It returns None where Keras has work to do: masks, conversions, inputs of another dtype or
    shape than the op takes, and errors, which Keras's own way words better. There is none for a
    layer that needs Keras's way for every input.
    """
    make = keras_internals.eager_op_maker()
    weights = [w for w in (layer.gamma, layer.beta) if w is not None] if layer.built else []
    wide = tf.float64 if layer.compute_dtype == "float64" else tf.float32
    if (
        make is None
        or not layer.built
        or "call" in layer.__dict__
        or layer.activity_regularizer is not None
        or layer.input_spec is not None
        or keras_internals.is_rematerialised(layer)
        or not all(
            keras_internals.is_ordinary_variable(w.value) and w.dtype == wide for w in weights
        )
    ):
        return None
    _follow_threads()
    attributes: dict[int, tuple[Any, ...] | None] = {}

    def otherwise(x: Any) -> Any:
        """What `op` leaves: arrays and the first input of each rank. None for all else."""
        if type(x) is np.ndarray and x.dtype.name == layer.compute_dtype:
            return op(tf.convert_to_tensor(x))
        if not (isinstance(x, tf.Tensor) and tf.executing_eagerly()):
            return None
        rank = len(x.shape)
        if rank in attributes:
            return None
        attributes[rank] = _attributes_for(layer, x.shape, bool(weights))
        return op(x)

    dtype = tf.as_dtype(layer.compute_dtype)
    op = make("PyLayernorm", dtype, weights, attributes, ("S", 0), ("S", 1), otherwise)
    return op


def _attributes_for(layer: Any, shape: Any, weighted: bool) -> tuple[Any, ...] | None:
    """The op's attributes for inputs of one rank, or None if it cannot take them as they are."""
    try:
        axes = layer.axes(shape)
    except ValueError:
        return None
    if not axes.contiguous or (weighted and not axes.aligned):
        return None
    settings = _settings(axes.begin, axes.end, layer.epsilon, layer.gamma is not None)
    return ("settings", settings)


@functools.lru_cache
def _settings(begin: int, end: int, epsilon: float, scale: bool) -> tuple[int, ...]:
    """The op's attribute; see native/tensorflow/op.cc."""
    return (begin, end, *struct.unpack("<q", struct.pack("<d", epsilon)), int(scale))


def _op(x: Any, gamma: Any, beta: Any, begin: int, end: int, epsilon: float) -> Any:
    if not _threads_are_final:
        _follow_threads()
    params = [] if gamma is None else [gamma]
    if beta is not None:
        params.append(beta)
    settings = _settings(begin, end, epsilon, gamma is not None)
    return load().py_layernorm(x=x, params=params, S=1, settings=settings).y


@tf.RegisterGradient("PyLayernorm")
def _gradient(op: Any, dy: Any, *_: Any) -> list[Any]:
    """dx, dgamma, dbeta by the native op. Nothing but the op's own gradient uses stats."""
    settings = op.get_attr("settings")
    scale = settings[3]
    center = len(op.inputs) > 1 + scale
    x = op.inputs[0]
    dx, dgamma, dbeta = load().py_layernorm_grad(
        dy=dy,
        x=x,
        gamma=[op.inputs[1]] if scale else [],
        stats=op.outputs[1],
        G=tf.float64 if x.dtype == tf.float64 else tf.float32,
        center=center,
        settings=settings,
    )
    for dparam, param in zip([dgamma] * scale + [dbeta] * center, op.inputs[1:], strict=True):
        dparam.set_shape(param.shape)  # the C API's shape functions cannot read the axes
    return [dx, *([dgamma] if scale else []), *([dbeta] if center else [])]


@tf.RegisterGradient("PyLayernormGrad")
def _gradient_of_gradient(op: Any, ddx: Any, ddgamma: Any, ddbeta: Any) -> list[Any]:
    first, last, bits, scale = op.get_attr("settings")
    (epsilon,) = struct.unpack("<d", struct.pack("<q", bits))
    sources = list(op.inputs[: 2 + scale])
    upstream = [ddx, ddgamma if scale else None, ddbeta if op.get_attr("center") else None]
    return [*second_gradient(sources, upstream, first, last, epsilon), None]


def second_gradient(
    sources: list[Any], upstream: list[Any], first: int, last: int, epsilon: float
) -> list[Any]:
    """The gradient of the gradient, in stock ops, whose own gradients TensorFlow knows.

    `sources` are dy, x and, if there is one, gamma; `upstream` belongs to dx, dgamma and dbeta, and
    is None for what is not there. Mean and rstd are functions of x here, so nothing flows to what
    holds them.

    With h = (x - mean) * rstd and the means taken over a row, dx is project(dy * gamma), where

        project(g) = rstd * (g - mean(g) - h * mean(g * h))

    is both the gradient of h and its own transpose. A tape cannot compute this: TensorFlow also
    calls it for the tangent of a function's output, and no tape records anything then.
    """
    dy, x, *gamma = sources
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    axes = tuple(range(first, last))
    others = [a for a in range(len(x.shape)) if a not in axes]

    def mean(t: Any) -> Any:
        return tf.reduce_mean(t, axes, keepdims=True)

    d, g = tf.cast(x, wide), tf.cast(dy, wide)
    for _ in range(2):  # twice, for the digits of rows at an offset
        d = d - mean(d)
    rstd = tf.math.rsqrt(mean(tf.square(d)) + epsilon)
    h = d * rstd

    def project(t: Any) -> Any:
        return rstd * (t - mean(t) - h * mean(t * h))

    ddx, ddgamma, ddbeta = (None if t is None else tf.cast(t, wide) for t in upstream)
    to_dy = project(ddx)
    to_gamma = [tf.reduce_sum(g * to_dy, others)] if gamma else []
    to_h = 0
    if gamma:
        spread_gamma, ddgamma = (portable.spread(t, axes, h) for t in (gamma[0], ddgamma))
        to_h = ddgamma * g
        to_dy = to_dy * spread_gamma + ddgamma * h
        g = g * spread_gamma
    if ddbeta is not None:
        to_dy += portable.spread(ddbeta, axes, h)
    to_h -= rstd * (ddx * mean(g * h) + g * mean(ddx * h))
    to_rstd = mean(ddx * g) - mean(ddx) * mean(g) - mean(ddx * h) * mean(g * h)
    to_x = project(to_h) - tf.square(rstd) * h * to_rstd
    return [tf.cast(to_dy, x.dtype), tf.cast(to_x, x.dtype), *to_gamma]
