"""How far y, dx, dgamma and dbeta are from the reference, in ulps, and how far they may be."""

import numpy as np
import reference
import tensorflow as tf

import py_layernorm

NAMES = ("y", "dx", "dgamma", "dbeta")
ULP = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
SUBNORMAL = {
    "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
    "float32": 2.0**-149,
    "float64": 2.0**-1074,
}

# Of the size of the terms that a value is the sum of, see `reference.sizes`. Both engines.
LIMIT = {
    # The output's own rounding is half an ulp; what float32 computes before it adds 2^-12 of one.
    "float16": 0.51,
    # The same, with 2^-15 of an ulp.
    "bfloat16": 0.51,
    # Half an ulp each: x - first, its mean, x - mean, var, its root, two products and a sum.
    "float32": 4.0,
    # The same roundings, in float64.
    "float64": 4.0,
}


def run(x, dy, gamma=None, beta=None, **arguments):
    """y, dx, dgamma and dbeta of the current engine; None where there is no gamma or beta."""
    x = tf.convert_to_tensor(x)
    gamma, beta = (None if p is None else tf.convert_to_tensor(p) for p in (gamma, beta))
    watched = [t for t in (x, gamma, beta) if t is not None]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        y = py_layernorm.layer_norm(x, gamma, beta, **arguments)
    came = tape.gradient(y, watched, output_gradients=tf.convert_to_tensor(dy))
    assert all(derivative is not None for derivative in came), "y does not depend on all of them"
    came = iter(came)
    return y, *(None if t is None else next(came) for t in (x, gamma, beta))


def expected(x, dy, gamma=None, beta=None, **arguments):
    """What the reference says of them, and the unit of their errors."""
    values = (
        reference.layer_norm(x, gamma, beta, **arguments),
        *reference.gradients(x, dy, gamma, **arguments),
    )
    return values, reference.sizes(x, dy, gamma, beta, **arguments)


def errors(came, wanted):
    """{name: (dtype, the largest error in ulps of that dtype)}; NaN where a NaN came."""
    found = {}
    for name, value, value_wanted, size in zip(NAMES, came, *wanted, strict=True):
        if value is not None:
            dtype = value.dtype.name
            value = value.numpy().astype(value_wanted.dtype)
            assert value.shape == value_wanted.shape, (name, value.shape, value_wanted.shape)
            if value.size:
                off = np.abs(value - value_wanted) / np.maximum(size * ULP[dtype], SUBNORMAL[dtype])
                found[name] = dtype, float(off.max())
    return found


def beyond(found, factor=1):
    """Those of `errors` that are beyond `factor` times their limit."""
    return {
        name: (dtype, off)
        for name, (dtype, off) in found.items()
        if not off <= factor * LIMIT[dtype]
    }


def faults(came, wanted, factor=1):
    """{name: (dtype, error)} of the values that are beyond `factor` times their limit."""
    return beyond(errors(came, wanted), factor)
