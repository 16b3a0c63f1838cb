"""The fused engine: one native op forward and one backward, on TensorFlow's CPU.

`native/op.cc` registers PyLayernorm and PyLayernormGrad; here they are loaded, given their
gradients, and called. Imported only where Keras runs on TensorFlow.
"""

import ctypes
import functools
import struct
import sys
from typing import Any

import tensorflow as tf

from py_layernorm import checks
from py_layernorm.engines import kernel, portable


@functools.cache
def load() -> Any:
    """The module of ops of the native library; an OSError or TensorFlow's own error if it fails."""
    return tf.load_op_library(str(kernel.folder() / kernel.OP))


def kernel_description() -> str:
    """The instruction set and the number of threads that the native op uses, for the doctor."""
    loaded = ctypes.CDLL(str(kernel.folder() / kernel.KERNEL))
    loaded.py_layernorm_isa.restype = ctypes.c_char_p
    return f"{loaded.py_layernorm_isa().decode()}, threads: {loaded.py_layernorm_get_threads()}"


@functools.cache
def unavailable() -> str | None:
    """Why the op cannot serve in this process; None if it can.

    Raises:
        ValueError: if the environment asks for threads or instructions that there are not.
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


def unavailable_here(*tensors: Any) -> str | None:
    """Why the op cannot serve in the call that is being traced; None if it can."""
    if tf.executing_eagerly():
        return None
    if _in_export():
        return "the call is being traced for an exported model, which must load without the op"
    if _in_xla():
        from py_layernorm.engines import tensorflow_xla

        return tensorflow_xla.unavailable()
    return None


def _in_xla() -> bool:
    """Whether a function with jit_compile=True, or one within such, is being traced."""
    try:
        # TensorFlow has no public name for this.
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:
        return True  # rather slow than wrong
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def _in_export() -> bool:
    """Whether Keras's `model.export()` is tracing: nothing else tells than who is calling."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras.src.export."):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def layer_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    axes: tuple[int, ...],
    param_axes: tuple[int, ...],
    epsilon: float,
    dtype: str,
) -> Any:
    """The engine: see the package's docstring for the arguments.

    The op takes neighbouring axes, and weights that span them. Other axes are moved to the end
    for it and back; other weights are applied by stock ops, in at least float32, as the op does.
    """
    if not tf.executing_eagerly() and _in_xla():
        from py_layernorm.engines import tensorflow_xla

        return tensorflow_xla.layer_norm(x, gamma, beta, axes, param_axes, epsilon, dtype)
    inside = param_axes == axes or (gamma is None and beta is None)
    wide = _wider(x.dtype, tf.as_dtype(dtype))
    weight = tf.float64 if wide == tf.float64 else tf.float32
    if not inside or x.dtype != tf.as_dtype(dtype):
        x = tf.cast(x, wide)
    gamma, beta = (None if p is None else tf.cast(p, weight) for p in (gamma, beta))
    first, last = axes[0], axes[-1] + 1
    together = last - first == len(axes)
    if not together:
        rank = len(x.shape)
        order = [a for a in range(rank) if a not in axes] + list(axes)
        x = tf.transpose(x, order)
        first, last = rank - len(axes), rank
    y = _op(x, gamma if inside else None, beta if inside else None, first, last, epsilon)
    if not together:
        y = tf.transpose(y, [order.index(a) for a in range(rank)])
    if not inside:
        y = portable.affine(y, gamma, beta, param_axes)
    return tf.cast(y, dtype)


EagerTensor = type(tf.constant(0.0))


def eager(layer: Any, x: Any) -> Any:
    """`layer(x)` for a built layer and an eager tensor; None where Keras has work to do.

    That is: masks, activity regularizers, conversions, tensors of another dtype or rank than the
    op takes, and errors, which Keras's way words better.
    """
    if (
        type(x) is not EagerTensor
        or not tf.executing_eagerly()
        or layer.activity_regularizer is not None
        or layer.param_axis is not None
        or hasattr(x, "_keras_mask")
        or x.dtype.name != layer.compute_dtype
    ):
        return None
    shape = tuple(x.shape)
    axes = checks.resolve_axes(layer.axis, shape)
    first, last = axes[0], axes[-1] + 1
    params = [layer.gamma, layer.beta]
    weight = "float64" if layer.compute_dtype == "float64" else "float32"
    if last - first != len(axes) or any(
        p is not None and (p.dtype != weight or p.shape != shape[first:last]) for p in params
    ):
        return None
    gamma, beta = (None if p is None else p.value for p in params)
    return _op(x, gamma, beta, first, last, layer.epsilon)


def _wider(a: tf.DType, b: tf.DType) -> tf.DType:
    """The dtype, of at least float32, that holds the values of both."""
    return tf.float64 if tf.float64 in (a, b) else tf.float32


def _op(x: Any, gamma: Any, beta: Any, first: int, last: int, epsilon: float) -> Any:
    return load().py_layernorm(
        x=x,
        params=[p for p in (gamma, beta) if p is not None],
        scale=gamma is not None,
        center=beta is not None,
        axis_begin=first,
        axis_end=last,
        epsilon_bits=struct.unpack("<q", struct.pack("<d", epsilon))[0],
    )[0]


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
    return tape.gradient(  # type: ignore[no-any-return]
        [o for o, _ in pairs], sources, output_gradients=[d for _, d in pairs]
    )


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
