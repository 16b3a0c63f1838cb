"""Error against float64, as max |error| / max |reference|, beside Keras's own layer."""

from collections.abc import Iterator

import keras
import numpy as np
from rows import Row

from py_layernorm import LayerNormalization

COLUMNS = (64, 768, 65536)
OFFSETS = (0.0, 1e2, 1e4, 1e6)


def error(layer: keras.layers.Layer, x: np.ndarray, expected: np.ndarray) -> float:
    y = keras.ops.convert_to_numpy(layer(x))
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def rows() -> Iterator[Row]:
    for offset in OFFSETS:
        for columns in COLUMNS:
            random = np.random.default_rng(0)
            x = (random.normal(size=(max(4, 2**20 // columns), columns)) + offset).astype("float32")
            wide = x.astype("float64")
            d = wide - wide.mean(axis=-1, keepdims=True)
            expected = d / np.sqrt((d**2).mean(axis=-1, keepdims=True) + 1e-3)
            theirs = error(keras.layers.LayerNormalization(), x, expected)
            ours = error(LayerNormalization(), x, expected)
            yield Row(
                "accuracy: error against float64, float32 input",
                f"rows of {columns}, N(0,1) + {offset:g}",
                "keras.layers",
                theirs,
                ours,
                ours,
                1e-5,
            )
