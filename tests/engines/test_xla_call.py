"""What the custom calls refuse: an error says why, and nothing is read out of bounds."""

import keras
import numpy as np
import pytest

from py_layernorm import engines

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

X = np.ones((3, 4), "float32")
G = np.ones(4, "float32")
ROWS = ((3, 2), "uint32")
FORWARD = {"axis_begin": 1, "axis_end": 2, "batch": 0, "scale": True, "center": True}
BACKWARD = {"axis_begin": 1, "axis_end": 2, "batch": 0, "scale": True, "dgamma": True}
STATISTICS = [np.zeros(ROWS[0], "uint32")] * 2


def call(name, operands, results, attributes):
    assert engines.fused_unavailable() is None
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    function = jax.ffi.ffi_call(f"py_layernorm_{name}_1", shapes)
    given = {k: np.int64(v) if type(v) is int else v for k, v in attributes.items()}
    return jax.jit(lambda *o: function(*o, **given))(*operands)


def forward(operands=(X, G, G), results=None, **changed):
    results = results or [(X.shape, "float32"), ROWS, ROWS]
    attributes = {**FORWARD, "epsilon": np.float64(1e-3), **changed}
    given = {k: v for k, v in attributes.items() if v is not None}
    return call("forward", operands, results, given)


def backward(operands=(X, X, *STATISTICS, G), results=None, **changed):
    results = results or [(X.shape, "float32"), (G.shape, "float32"), (G.shape, "float32")]
    return call("backward", operands, results, {**BACKWARD, "dbeta": True, **changed})


def test_the_calls_as_they_should_be():
    jax.config.update("jax_enable_x64", True)
    try:
        assert np.asarray(forward()[0]).max() == 1
        assert np.asarray(backward()[2]).max() == 3
    finally:
        jax.config.update("jax_enable_x64", False)


WIDE = np.ones((3, 4, 5), "float32")
HOSTILE = {
    "gamma's length": (forward, {"operands": (X, G[:3], G)}, r"gamma must have the shape \[4\]. R"),
    "gamma's rank": (forward, {"operands": (X, X, G)}, r"gamma must have the shape \[4\]"),
    "gamma's dtype": (forward, {"operands": (X, G.astype("float16"), G)}, "gamma has the wrong d"),
    "beta's length": (forward, {"operands": (X, G, G[:1])}, r"beta must have the shape \[4\]"),
    "x's dtype": (forward, {"operands": (X.astype("int32"), G, G)}, "x must be float16, bfloat16"),
    "no beta": (forward, {"operands": (X, G)}, "beta is missing"),
    "no operand": (forward, {"operands": ()}, "x is missing"),
    "one too many": (forward, {"operands": (X, G, G, G)}, "must have 3 arguments and 3 results"),
    "y's shape": (
        forward,
        {"results": [((3, 3), "float32"), ROWS, ROWS]},
        r"y must have the shape",
    ),
    "y's dtype": (forward, {"results": [((3, 4), "float16"), ROWS, ROWS]}, "y has the wrong dtype"),
    "mean's shape": (
        forward,
        {"results": [((3, 4), "float32"), ((2, 2), "uint32"), ROWS]},
        r"mean must have the shape \[3, 2\]",
    ),
    "rstd's dtype": (
        forward,
        {"results": [((3, 4), "float32"), ROWS, ((3, 2), "int32")]},
        "rstd has the wrong dtype",
    ),
    "no rstd": (forward, {"results": [((3, 4), "float32"), ROWS]}, "rstd is missing"),
    "axes out of range": (forward, {"axis_end": 3}, "the axes must be 0 <= batch <= axis_begin"),
    "no axis": (forward, {"axis_end": 1}, "the axes must be 0 <= batch <= axis_begin < axis_end"),
    "a negative axis": (forward, {"axis_begin": -1}, "the axes must be 0 <= batch <= axis_begin"),
    "batch": (forward, {"batch": 2}, "the axes must be 0 <= batch <= axis_begin"),
    "a negative batch": (forward, {"batch": -1}, "the axes must be 0 <= batch <= axis_begin"),
    "batched weights": (forward, {"batch": 1}, r"gamma must have the shape \[3, 4\]"),
    "a missing attribute": (forward, {"axis_begin": None}, "there is no attribute axis_begin"),
    "an attribute's type": (
        forward,
        {"axis_begin": True},
        "the attribute axis_begin has the wrong",
    ),
    "an attribute's kind": (forward, {"scale": "yes"}, "the attribute scale has the wrong type"),
    "a negative epsilon": (forward, {"epsilon": np.float64(-1)}, "epsilon must be a number >= 0"),
    "epsilon that is NaN": (forward, {"epsilon": np.float64("nan")}, "epsilon must be a number"),
    "dy's shape": (backward, {"operands": (WIDE, X, *STATISTICS, G)}, r"x must have the shape"),
    "x of another dtype": (
        backward,
        {"operands": (X, X.astype("float16"), *STATISTICS, G)},
        "x has the wrong dtype",
    ),
    "mean too short": (
        backward,
        {"operands": (X, X, STATISTICS[0][:2], STATISTICS[1], G)},
        r"mean must have the shape \[3, 2\]",
    ),
    "dgamma's shape": (
        backward,
        {"results": [((3, 4), "float32"), ((3,), "float32"), ((4,), "float32")]},
        r"dgamma must have the shape \[4\]",
    ),
    "no dbeta": (
        backward,
        {"results": [((3, 4), "float32"), ((4,), "float32")]},
        "dbeta is missing",
    ),
    "dbeta not wanted": (backward, {"dbeta": False}, "must have 5 arguments and 2 results"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name):
    function, arguments, message = HOSTILE[name]
    jax.config.update("jax_enable_x64", True)
    try:
        with pytest.raises(Exception, match=message):
            jax.block_until_ready(function(**arguments))
    finally:
        jax.config.update("jax_enable_x64", False)
