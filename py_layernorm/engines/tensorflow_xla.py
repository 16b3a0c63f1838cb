"""The fused engine on TensorFlow under XLA (`jit_compile=True`): the kernel as custom calls.

The first derivative is the kernel's, the second is that of the formula in stock ops, as without XLA.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import tensorflow as tf

from py_layernorm.engines import arrange, stablehlo, tensorflow, xla

OLDEST = (2, 18)
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
    except Exception as error:  # no library, a truncated one, another version of the interface
        return str(error)
    return None


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
    scale, center = gamma is not None, beta is not None
    every = range(len(x.shape))
    rows = (tf.uint32, (*every[:first], *every[last:]), (2,))
    param = (tf.float64 if x.dtype == tf.float64 else tf.float32, tuple(every[first:last]), ())
    call = functools.partial(stablehlo.call, axes=(first, last))

    @tf.custom_gradient
    def forward(x: Any, *params: Any) -> Any:
        attributes = {"scale": scale, "center": center, "epsilon": epsilon}
        results = [(x.dtype, tuple(every), ()), rows, rows]
        y, mean, rstd = call(xla.FORWARD, x, [], [*params], results, attributes=attributes)
        return y, lambda dy: backward(dy, x, mean, rstd, *params[:scale])

    @tf.custom_gradient
    def backward(dy: Any, x: Any, mean: Any, rstd: Any, *gamma: Any) -> Any:
        attributes = {"scale": scale, "dgamma": scale, "dbeta": center}
        results = [(x.dtype, tuple(every), ()), *[param] * (scale + center)]
        gradients = call(xla.BACKWARD, x, [dy], [mean, rstd, *gamma], results, attributes=attributes)

        def second(ddx: Any, *rest: Any) -> list[Any]:
            upstream = [ddx, *rest] if scale else [ddx, None, *rest]
            ddy, dx, *dgamma = tensorflow.second_gradient(
                [dy, x, *gamma], [*upstream, None][:3], first, last, epsilon
            )
            return [ddy, dx, None, None, *dgamma]

        return gradients, second

    return forward(x, *(p for p in (gamma, beta) if p is not None))
