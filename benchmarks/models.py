"""A training step of complete models, before and after `accelerate`, as Keras's `fit` runs it."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from rows import Row, paired

from py_layernorm import accelerate

SECTION = "training step of a complete model, seconds"


def encoder() -> tuple[keras.Model, tuple[int, ...]]:
    """Four transformer blocks of width 256, a small BERT."""
    inputs = x = keras.Input((128, 256))
    for _ in range(4):
        attended = keras.layers.MultiHeadAttention(4, 64)(x, x)
        x = keras.layers.LayerNormalization()(x + attended)
        hidden = keras.layers.Dense(1024, activation="gelu")(x)
        x = keras.layers.LayerNormalization()(x + keras.layers.Dense(256)(hidden))
    return keras.Model(inputs, keras.layers.Dense(2)(x[:, 0])), (16, 128, 256)


def step(
    change: Callable[[keras.Model], object] = lambda model: None, xla: bool = False
) -> Callable[[], object]:
    model, shape = encoder()
    change(model)
    model.compile("sgd", "mse", jit_compile=xla)
    random = np.random.default_rng(0)
    x, y = (random.normal(size=s).astype("float32") for s in (shape, (shape[0], 2)))
    model.train_on_batch(x, y)
    return lambda: model.train_on_batch(x, y)


def without_normalisation(model: keras.Model) -> None:
    """Its layer normalisations do nothing: what is missing then is their share of the time."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.call = lambda x: x


def rows() -> Iterator[Row]:
    graph, ours, none = step(), step(accelerate), step(without_normalisation)
    xla, ours_xla = step(xla=True), step(accelerate, xla=True)
    for name, peer, a, b in (
        ("accelerated, graph", "Keras graph", ours, graph),
        ("accelerated, graph", "Keras XLA (the default)", ours, xla),
        ("accelerated, XLA (portable ops)", "Keras XLA (the default)", ours_xla, xla),
        ("without layer normalisation, graph", "Keras graph", none, graph),
    ):
        mine, theirs, ratio = paired(a, b, budget=8)
        yield Row(SECTION, f"transformer encoder, {name}", peer, theirs, mine, ratio, None)
