"""The fused engine on TensorFlow under XLA (`jit_compile=True`): the kernel as custom calls.

The first derivative is the kernel's; the second is that of the formula in stock ops.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import tensorflow as tf

from py_layernorm.engines import arrange, stablehlo, tensorflow, xla

OLDEST = (2, 18)
HALVES = (2,)  # of the doubles that mean and rstd are
# Both return the address of XLA's table of functions: C's name, or C++'s where there is no other.
GET_API = ("XLA_FFI_GetApi", "_ZN3xla3ffi12GetXlaFfiApiEv")
LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")


@functools.cache
def unavailable() -> str | None:
    """Why the kernel cannot serve under TensorFlow's XLA in this process; None if it can."""
    if tuple(int(n) for n in tf.__version__.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return f"XLA takes the kernel from TensorFlow {oldest} on; this is {tf.__version__}"
    try:
        api = _api()
        for name in xla.SYMBOLS:
            xla.register(api, name)
        stablehlo.register_gradients({xla.FORWARD: _gradient, xla.BACKWARD: _gradient_of_gradient})
        xla.try_out(_both_passes)
    except Exception as error:  # no library, a truncated one, another version of the interface
        return f"{type(error).__name__}: {error}"
    return None


def _both_passes() -> None:
    """Raise an error where this TensorFlow no longer takes what the adapter gives it."""

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec((None, 2))], autograph=False)
    def program(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = _normalise(x, None, None, 1, 2, 0.0)
        return y, tape.gradient(y, x, x)

    y, dx = program([[3.0, 5.0]])
    if y.numpy().tolist() != [[-1, 1]] or dx.numpy().tolist() != [[0, 0]]:
        raise RuntimeError(f"the kernel gives {y} and {dx}")


def _api() -> int:
    """The address of the functions of TensorFlow's XLA."""
    for library in LIBRARIES:
        path = Path(tf.sysconfig.get_lib()) / library
        if not path.exists():
            continue
        loaded = ctypes.CDLL(str(path))
        for name in GET_API:
            if hasattr(loaded, name):
                function = getattr(loaded, name)
                function.restype = ctypes.c_void_p
                return int(function())
    raise RuntimeError(f"this TensorFlow's libraries do not have {' or '.join(GET_API)}")


def layer_norm(x: Any, gamma: Any, beta: Any, *arguments: Any) -> Any:
    """The engine: see the package's docstring for the arguments."""
    return arrange.layer_norm(_normalise, x, gamma, beta, *arguments)


def _normalise(x: Any, gamma: Any, beta: Any, first: int, last: int, epsilon: float) -> Any:
    every = tuple(range(len(x.shape)))
    rows = (tf.uint32, (*every[:first], *every[last:]), HALVES)
    params = [p for p in (gamma, beta) if p is not None]
    attributes = {"scale": gamma is not None, "center": beta is not None, "epsilon": epsilon}
    results = [(x.dtype, every, ()), rows, rows]
    return stablehlo.call(xla.FORWARD, x, [], params, results, (first, last), attributes)[0]


def _gradient(call: stablehlo.Call, op: Any, dy: Any, *_: Any) -> list[Any]:
    """dx, dgamma, dbeta by the kernel. Nothing but this uses mean and rstd."""
    x, *params = op.inputs
    scale, center = call.attributes["scale"], call.attributes["center"]
    every = tuple(range(len(x.shape)))
    first, last = call.axes
    param = (tf.float64 if x.dtype == tf.float64 else tf.float32, every[first:last], ())
    # The second derivative, in stock ops, needs epsilon.
    attributes = {
        "scale": scale,
        "dgamma": scale,
        "dbeta": center,
        "epsilon": call.attributes["epsilon"],
    }
    results = [(x.dtype, every, ()), *[param] * len(params)]
    _, mean, rstd = op.outputs
    dy.set_shape(x.shape)  # in forward mode these are not known
    for rows in (mean, rstd):
        rows.set_shape([*x.shape[:first], *x.shape[last:], *HALVES])
    after = [mean, rstd, *params[:scale]]
    return stablehlo.call(xla.BACKWARD, x, [dy], after, results, call.axes, attributes)


def _gradient_of_gradient(call: stablehlo.Call, op: Any, ddx: Any, *rest: Any) -> list[Any]:
    dy, x, _, _, *gamma = op.inputs
    given = iter(rest)
    upstream = [ddx, *(next(given) if call.attributes[n] else None for n in ("dgamma", "dbeta"))]
    ddy, dx, *dgamma = tensorflow.second_gradient(
        [dy, x, *gamma], upstream, *call.axes, call.attributes["epsilon"]
    )
    return [ddy, dx, None, None, *dgamma]
