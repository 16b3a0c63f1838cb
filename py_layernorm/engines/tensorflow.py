"""The fused engine: one native op forward and one backward, on TensorFlow's CPU.

`native/tensorflow/op.cc` registers PyLayernorm and PyLayernormGrad; here they are loaded, given
their gradients, and called. Imported only where Keras runs on TensorFlow.
"""

import functools
import itertools
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from py_layernorm import keras_internals
from py_layernorm.axes import Axes
from py_layernorm.engines import kernel, portable, threads

NATIVE = "the native op"


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


def unavailable_here(*tensors: Any) -> str | None:
    """Why the op cannot serve in the call that is being traced; None if it can."""
    if tf.executing_eagerly():
        return None
    if keras_internals.tracing_for_export():
        return (
            "the graph is asked for by get_concrete_function, an export or a converter, and must "
            "load where the native op is not installed"
        )
    if keras_internals.tracing_for_xla():
        from py_layernorm.engines import tensorflow_xla

        return tensorflow_xla.unavailable()
    return None


def layer_norm(x: Any, gamma: Any, beta: Any, axes: Axes, epsilon: float, dtype: str) -> Any:
    """The engine: see the package's docstring for the arguments.

    The op takes neighbouring axes, and weights that span them. Other axes are moved to the end
    for it and back; other weights are applied by standard ops, in at least float32, as in the op.
    """
    if not tf.executing_eagerly() and keras_internals.tracing_for_xla():
        from py_layernorm.engines import tensorflow_xla

        return tensorflow_xla.layer_norm(x, gamma, beta, axes, epsilon, dtype)
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
    op = make("PyLayernorm", tf.as_dtype(layer.compute_dtype), weights, attributes)

    def short(x: Any) -> Any:
        y = op(x)
        if y is None:
            if type(x) is np.ndarray and x.dtype.name == layer.compute_dtype:
                x = tf.convert_to_tensor(x)
            rank = len(x.shape)
            if rank not in attributes:
                attributes[rank] = _attributes_for(layer, x.shape, bool(weights))
            y = op(x)
        return y

    return short


def _attributes_for(layer: Any, shape: Any, weighted: bool) -> tuple[Any, ...] | None:
    """The op's attributes for inputs of one rank, or None if it cannot take them as they are."""
    try:
        axes = layer.axes(shape)
    except ValueError:
        return None
    if not axes.contiguous or (weighted and not axes.aligned):
        return None
    scale, center = layer.gamma is not None, layer.beta is not None
    attributes = _attributes(scale, center, axes.begin, axes.end, layer.epsilon)
    return tuple(itertools.chain(*attributes.items()))


@functools.lru_cache
def _attributes(scale: bool, center: bool, begin: int, end: int, epsilon: float) -> dict[str, Any]:
    """The op's attributes. Its float attributes are single precision: epsilon goes as 64 bits."""
    (bits,) = struct.unpack("<q", struct.pack("<d", epsilon))
    return {
        "scale": scale,
        "center": center,
        "axis_begin": begin,
        "axis_end": end,
        "epsilon_bits": bits,
    }


def _op(x: Any, gamma: Any, beta: Any, begin: int, end: int, epsilon: float) -> Any:
    if not _threads_are_final:
        _follow_threads()
    params = [] if gamma is None else [gamma]
    if beta is not None:
        params.append(beta)
    attributes = _attributes(gamma is not None, beta is not None, begin, end, epsilon)
    return load().py_layernorm(x=x, params=params, **attributes)[0]


@tf.RegisterGradient("PyLayernorm")
def _gradient(op: Any, dy: Any, *_: Any) -> list[Any]:
    """dx, dgamma, dbeta by the native op. Nothing but the op's own gradient uses mean and rstd."""
    scale, center = op.get_attr("scale"), op.get_attr("center")
    x = op.inputs[0]
    dx, dgamma, dbeta = load().py_layernorm_grad(
        dy=dy,
        x=x,
        gamma=[op.inputs[1]] if scale else [],
        mean=op.outputs[1],
        rstd=op.outputs[2],
        G=tf.float64 if x.dtype == tf.float64 else tf.float32,
        scale=scale,
        center=center,
        **{name: op.get_attr(name) for name in GEOMETRY},
    )
    for dparam, param in zip([dgamma] * scale + [dbeta] * center, op.inputs[1:], strict=True):
        dparam.set_shape(param.shape)  # the C API's shape functions cannot read the axes
    return [dx, *([dgamma] if scale else []), *([dbeta] if center else [])]


GEOMETRY = ("axis_begin", "axis_end", "epsilon_bits")


@tf.RegisterGradient("PyLayernormGrad")
def _gradient_of_gradient(op: Any, ddx: Any, ddgamma: Any, ddbeta: Any) -> list[Any]:
    scale, center = op.get_attr("scale"), op.get_attr("center")
    first, last, bits = (op.get_attr(name) for name in GEOMETRY)
    (epsilon,) = struct.unpack("<d", struct.pack("<q", bits))
    sources = list(op.inputs[: 2 + int(scale)])
    upstream = [ddx, ddgamma if scale else None, ddbeta if center else None]
    return [*second_gradient(sources, upstream, first, last, epsilon), None, None]


def second_gradient(
    sources: list[Any], upstream: list[Any], first: int, last: int, epsilon: float
) -> list[Any]:
    """The gradient of the gradient, in stock ops, whose own gradients TensorFlow knows.

    `sources` are dy, x and, if there is one, gamma; `upstream` belongs to dx, dgamma and dbeta, and
    is None for what is not there. Mean and rstd are functions of x here, so nothing flows to the
    inputs that hold them.
    """
    dy, x, *gamma = sources
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = _stock_gradient(dy, x, gamma[0] if gamma else None, first, last, epsilon)
    pairs = [(o, d) for o, d in zip(outputs, upstream, strict=True) if o is not None]
    pairs = [(o, d) for o, d in pairs if d is not None]
    return tape.gradient([o for o, _ in pairs], sources, output_gradients=[d for _, d in pairs])


def _stock_gradient(
    dy: Any, x: Any, gamma: Any, first: int, last: int, epsilon: float
) -> tuple[Any, Any, Any]:
    """dx, dgamma (None without gamma) and dbeta, by the formula, in at least float32."""
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    axes = list(range(first, last))
    others = [a for a in range(len(x.shape)) if a not in axes]
    g = dy = tf.cast(dy, wide)
    d = tf.cast(x, wide)
    for _ in range(2):  # twice, for the digits of rows at an offset
        d = d - tf.reduce_mean(d, axes, keepdims=True)
    rstd = tf.math.rsqrt(tf.reduce_mean(tf.square(d), axes, keepdims=True) + epsilon)
    normed = d * rstd
    if gamma is not None:
        g = dy * portable.spread(gamma, tuple(axes), dy)
    inner = g - normed * tf.reduce_mean(g * normed, axes, keepdims=True)
    dx = rstd * (inner - tf.reduce_mean(g, axes, keepdims=True))
    dgamma = None if gamma is None else tf.reduce_sum(dy * normed, others)
    return tf.cast(dx, x.dtype), dgamma, tf.reduce_sum(dy, others)
