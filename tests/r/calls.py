"""The calls that are made from Python, from R, and from R within Python: one JSON table of them.

Numbers are hexadecimal strings, so that no digit is lost on the way. R runs it by calls.R.
"""

import keras
import numpy as np
import reference
from cases import CASES, Case

INTEGERS = ("bool", "int8", "uint8", "int32", "int64")

# The arguments of the layer in a saved model, whose input has the shape (batch, 3, 4).
MODELS = [
    {},
    {"axis": 1, "center": False},
    {"axis": [1, 2], "scale": False, "trainable": False},
    {"axis": [-1, 1], "epsilon": None},
    {"axis": [1, 2], "param_axis": -1, "epsilon": 0},
    {"axis": -1, "param_axis": [2, 1], "name": "norm", "dtype": "float64"},
    {"dtype": "mixed_bfloat16"},
    {"gamma_initializer": "random_normal", "gamma_regularizer": "l2"},
    {"beta_initializer": "random_uniform", "beta_constraint": "non_neg", "beta_regularizer": "l1"},
]

# Wrong arguments: those of layer_norm and of the layer for an input of shape (2, 3).
WRONG_IN_BOTH = [
    *({"axis": axis} for axis in (2, -3, 99, [0, -2], [0, 0], [], 1.5, True, "a", "1", None)),
    *({"param_axis": axis} for axis in (2, [0, -2], [1, 1], 0.5, "a", False)),
    *({"epsilon": epsilon} for epsilon in (-1, -1e-30, "a", True, [0.1, 0.2])),
]
WRONG_IN_LAYER = [
    *({"center": flag} for flag in (None, "FALSE", 1, [True, False])),
    *({"scale": flag} for flag in (None, "yes", 0)),
    {"trainable": "no"},
    *({"gamma_initializer": value} for value in (None, "onez", 1)),
    *({"beta_initializer": value} for value in (None, "nought")),
    *({"gamma_regularizer": value} for value in ("l3", 0.1)),
    *({"beta_regularizer": value} for value in ("l3", True)),
    *({"gamma_constraint": value} for value in ("positive", ["a", "b"])),
    *({"beta_constraint": value} for value in ("positive", 2)),
    {"name": 3},
    {"dtype": "int32"},
    {"rms_scaling": True},
    {"epsilom": 0.001},
]
WRONG_OBJECTS = ["model", 1.5, True, [1, 2], {"a": 1}, "layer", "functional", "complex", "scalar"]


def table(folder):
    """All calls, each with a unique `id`; models are read from and written to `folder`."""
    return [
        *(call for case in CASES for call in calls_of(case)),
        *(integers(dtype) for dtype in INTEGERS),
        *(model(arguments, folder) for arguments in MODELS),
        *wrong_calls(),
    ]


def calls_of(case):
    x, gamma, beta, _ = case.arrays()
    array = case.dtype == "float64"
    yield {
        "id": f"layer_norm({case}){' of an array' if array else ''}",
        "function": "layer_norm",
        "object": numbers(x, None if array else case.dtype),
        "weights": {
            name: numbers(value)
            for name, value in (("gamma", gamma), ("beta", beta))
            if value is not None
        },
        "arguments": case.function_arguments,
    }
    yield {
        "id": f"layer({case})",
        "function": "layer_layer_normalization",
        "object": numbers(x, case.dtype),
        "arguments": case.layer_arguments,
    }


def integers(dtype):
    x = np.random.default_rng(0).integers(0, 100, size=(3, 5)).astype(dtype)
    return {"id": f"layer_norm of {dtype}", "function": "layer_norm", "object": numbers(x, dtype)}


def model(arguments, folder):
    return {
        "id": f"model({arguments})",
        "function": "model",
        "arguments": arguments,
        "object": numbers(Case((2, 3, 4)).arrays()[0]),
        "file": f"{folder}/{MODELS.index(arguments)}.keras",
    }


def wrong_calls():
    x = numbers(np.arange(6.0).reshape(2, 3), "float32")
    for name, rows in (
        ("layer_norm", WRONG_IN_BOTH),
        ("layer_layer_normalization", WRONG_IN_BOTH + WRONG_IN_LAYER),
    ):
        for arguments in rows:
            yield {
                "id": f"{name}({arguments})",
                "function": name,
                "object": x,
                "arguments": arguments,
            }
    for value in WRONG_OBJECTS:
        yield {
            "id": f"object {value}",
            "function": "layer_layer_normalization",
            "object": value,
        }
    yield {
        "id": "gamma of another shape",
        "function": "layer_norm",
        "object": x,
        "weights": {"gamma": numbers(np.ones(4))},
    }


def numbers(x, dtype=None):
    """An array as JSON; `dtype` says that a tensor of it is to be made."""
    values = [float(v).hex() for v in np.asarray(x).astype("float64").ravel()]
    return {"values": values, "shape": list(x.shape), "dtype": dtype}


def array(encoded):
    values = [float.fromhex(v) for v in encoded["values"]]
    return np.array(values, dtype="float64").reshape(encoded["shape"])


def loads(calls):
    """The calls that load the files of those that save a model; R alone makes them."""
    return [
        {**call, "id": f"load {call['id']}", "function": "load"}
        for call in calls
        if call["function"] == "model"
    ]


def run(functions, call):
    """What a call comes to, with `functions` of py_layernorm or of the R package."""
    try:
        return encode(answer(functions, call))
    except Exception as error:
        r_class = getattr(error, "r_class", None)
        return {"error": r_class[0] if r_class else type(error).__name__, "text": str(error)}


def encode(y):
    y = keras.ops.convert_to_numpy(y)
    return numbers(y, y.dtype.name)


def answer(functions, call):
    arguments = dict(call.get("arguments", {}))
    for name, value in call.get("weights", {}).items():
        arguments[name] = array(value)
    if call["function"] == "model":
        return saved_model(functions, call, arguments)
    return getattr(functions, call["function"])(make(call["object"]), **arguments)


def make(value):
    """The object of a call: a tensor, an array, a plain value, or what a name stands for."""
    if isinstance(value, dict) and "values" in value:
        x = array(value)
        return x if value["dtype"] is None else keras.ops.cast(x, value["dtype"])
    if value == "layer":
        return keras.layers.Dense(2)
    if value == "functional":
        x = keras.Input((3,), name="x")
        return keras.Model(x, x, name="functional")
    if value == "complex":
        return keras.ops.cast(np.ones((2, 3)), "complex64")
    if value == "scalar":
        return keras.ops.cast(1.0, "float32")
    return value


def saved_model(functions, call, arguments):
    """The output of a model that was saved."""
    keras.utils.clear_session(free_memory=False)  # names are counted anew
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(4)])
    functions.layer_layer_normalization(model, **arguments)
    functions.compose_layer(model, keras.layers.Dense(2))
    model.save(call["file"])
    return model(array(call["object"]))


def expected(call):
    """What reference.py makes of a call of `layer_norm`, or of a new layer."""
    x = array(call["object"])
    weights = {name: array(value) for name, value in call.get("weights", {}).items()}
    arguments = {
        name: value
        for name, value in call.get("arguments", {}).items()
        if name in ("axis", "epsilon", "param_axis")
    }
    return reference.layer_norm(x, **weights, **arguments)
