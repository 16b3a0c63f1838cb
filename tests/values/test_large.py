"""Inputs whose bytes, or whose elements, no 32-bit number counts: `make test-large`.

A block of rows again and again: what comes of it must be what comes of the block alone, bit for
bit. Up to 13 GiB of memory.
"""

import gc

import numpy as np
import pytest
import reference
import tensorflow as tf
import ulps

import py_layernorm

pytestmark = pytest.mark.large

ROWS, COLUMNS = 4099, 768  # a block; the number of rows is a prime, so that blocks begin anywhere


def block(dtype):
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype("float32")
    return tf.cast(x, dtype)


def differing_blocks(large, small):
    """How many of the blocks of `large` differ from `small`, one block in memory at a time."""
    bits = {2: tf.uint16, 4: tf.uint32}[small.dtype.size]
    small = tf.bitcast(small, bits)
    return sum(
        not np.array_equal(tf.bitcast(large[begin : begin + ROWS], bits), small)
        for begin in range(0, large.shape[0], ROWS)
    )


@pytest.fixture(autouse=True)
def nothing_is_left_over():
    gc.collect()
    yield
    gc.collect()


def test_more_than_2_to_the_31_bytes(engine):
    """float32, forward and, on the fused engine, backward."""
    small = block("float32")
    count = 2**31 // 4 // (ROWS * COLUMNS) + 1
    x = tf.tile(small, [count, 1])
    assert x.dtype.size * int(tf.size(x, tf.int64)) > 2**31
    if engine == "portable":
        y = py_layernorm.layer_norm(x)
        # TensorFlow's ops round a last bit by a number's place among the others.
        wanted = reference.layer_norm(small)
        for begin in range(0, x.shape[0], ROWS):
            off = np.abs(y[begin : begin + ROWS] - wanted)
            assert off.max() <= ulps.LIMIT["float32"] * ulps.ULP["float32"] * np.abs(wanted).max()
        return
    y, dx, *_ = ulps.run(x, x)
    wanted = ulps.run(small, small)
    assert differing_blocks(y, wanted[0]) == 0
    assert differing_blocks(dx, wanted[1]) == 0


def test_more_than_2_to_the_31_elements():
    """bfloat16, forward and backward, with gamma and beta, on the engine in use."""
    small = block("bfloat16")
    gamma, beta = tf.linspace(0.5, 2.0, COLUMNS), tf.linspace(-1.0, 1.0, COLUMNS)
    wanted = ulps.run(small, small, gamma, beta)
    count = 2**31 // (ROWS * COLUMNS) + 1
    x = tf.tile(small, [count, 1])
    assert int(tf.size(x, tf.int64)) > 2**31
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y = py_layernorm.layer_norm(x, gamma, beta)
    assert differing_blocks(y, wanted[0]) == 0
    dx, dgamma, dbeta = tape.gradient(y, [x, gamma, beta], output_gradients=x)
    assert differing_blocks(dx, wanted[1]) == 0
    # Sums of count * ROWS terms of about 1 that cancel: float32's rounding of partial sums.
    for value, of_block in ((dgamma, wanted[2]), (dbeta, wanted[3])):
        sums = count * of_block.numpy().astype("float64")
        np.testing.assert_allclose(value, sums, rtol=1e-5, atol=1e-6 * count * ROWS)
