"""Error against float64, as max |error| / max |reference|, beside Keras's own layer."""

from collections.abc import Callable, Iterator

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf
from rows import Row

from py_layernorm import LayerNormalization, use_engine

COLUMNS = (64, 768, 65536)
OFFSETS = (0.0, 1e2, 1e4, 1e6)
KERAS = keras.layers.LayerNormalization


def data(columns: int, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    rows = max(4, 2**20 // columns)
    random = np.random.default_rng(0).normal(size=(rows, columns))
    return (random * scale + offset).astype("float32")


def normed(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """The reference and rstd, in long double: a square of 1e30 has to fit."""
    wide = x.astype("longdouble")
    d = wide - wide.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((d**2).mean(axis=-1, keepdims=True) + epsilon)
    return d * rstd, rstd


def relative(came: object, expected: np.ndarray) -> float:
    """max |error| / max |reference|; infinite where a NaN came."""
    error = np.abs(np.asarray(came, dtype="longdouble") - expected).max()
    return float(error / np.abs(expected).max()) if np.isfinite(error) else np.inf


def forward(make: Callable[..., object], x: np.ndarray, epsilon: float) -> float:
    return relative(make(epsilon=epsilon)(tf.constant(x)), normed(x, epsilon)[0])


def forward_rows() -> Iterator[Row]:
    inputs = [(f"N(0,1) + {offset:g}", 1.0, offset, 1e-3) for offset in OFFSETS]
    inputs += [(f"N(0,1) x {scale:g}", scale, 0.0, 1e-3) for scale in (1e20, 1e30)]
    inputs += [("N(0,1) x 1e-20, epsilon 0", 1e-20, 0.0, 0.0)]
    for name, scale, offset, epsilon in inputs:
        for columns in COLUMNS:
            x = data(columns, scale, offset)
            theirs, ours = (forward(make, x, epsilon) for make in (KERAS, LayerNormalization))
            yield Row(
                "accuracy: y, float32", f"rows of {columns}, {name}", "keras.layers",
                theirs, ours, ours, 1e-6,
            )  # fmt: skip


def gradients(layer: object, x: np.ndarray, dy: np.ndarray) -> list[tf.Tensor]:
    tensor = tf.constant(x)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = layer(tensor)
    return tape.gradient(y, [tensor, layer.gamma.value, layer.beta.value], tf.constant(dy))


def gradient_rows() -> Iterator[Row]:
    for offset in OFFSETS:
        for columns in COLUMNS:
            x, dy = data(columns, offset=offset), data(columns)[:, ::-1].copy()
            xhat, rstd = normed(x, 1e-3)
            g = dy.astype("longdouble")
            inner = g - xhat * (g * xhat).mean(axis=-1, keepdims=True)
            dx = rstd * (inner - g.mean(axis=-1, keepdims=True))
            expected = {"dx": dx, "dgamma": (g * xhat).sum(axis=0), "dbeta": g.sum(axis=0)}
            came = [gradients(make(), x, dy) for make in (KERAS, LayerNormalization)]
            for i, (name, reference) in enumerate(expected.items()):
                theirs, ours = (relative(c[i], reference) for c in came)
                yield Row(
                    "accuracy: gradients, float32", f"{name}, rows of {columns}, + {offset:g}",
                    "keras.layers", theirs, ours, ours, 5e-7,
                )  # fmt: skip


def half_precision_rows() -> Iterator[Row]:
    x = data(768).astype(ml_dtypes.bfloat16)
    correct = normed(x.astype("float32"), 1e-3)[0].astype("float64").astype(ml_dtypes.bfloat16)
    theirs, ours = (
        float((np.asarray(make(dtype="bfloat16")(tf.constant(x))) != correct).mean())
        for make in (KERAS, LayerNormalization)
    )
    yield Row(
        "accuracy: bfloat16",
        "share not correctly rounded",
        "keras.layers",
        theirs,
        ours,
        ours,
        1e-4,
    )


def portable_rows() -> Iterator[Row]:
    with use_engine("portable"):
        for offset in OFFSETS:
            for columns in COLUMNS:
                x = data(columns, offset=offset)
                theirs, ours = (forward(make, x, 1e-3) for make in (KERAS, LayerNormalization))
                yield Row(
                    "accuracy: y of the portable engine, float32",
                    f"rows of {columns}, N(0,1) + {offset:g}", "keras.layers",
                    theirs, ours, ours, 1e-5,
                )  # fmt: skip


def rows() -> Iterator[Row]:
    yield from forward_rows()
    yield from gradient_rows()
    yield from half_precision_rows()
    yield from portable_rows()
