"""Complete layers in TensorFlow: ours, and Keras's in graph mode and under XLA.

The layers take turns in one process. Each function is traced before it is timed, and returns a
single number, so that nothing is spent on handing results to Python.
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from rows import Row, paired

from py_layernorm import LayerNormalization, use_engine

KERAS = keras.layers.LayerNormalization
SHAPES = ((32, 128, 768), (8, 1024, 1024))
SECTION = "TensorFlow: complete layers, seconds"


def tensor(shape: tuple[int, ...], dtype: str = "float32") -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"), dtype)


def chain(make: Callable[..., keras.layers.Layer], x: tf.Tensor, **kwargs: object) -> list:
    layers = [make(dtype=x.dtype.name, **kwargs) for _ in range(20)]
    for layer in layers:
        layer.build(x.shape)
    return layers


def forward(layers: list, x: tf.Tensor, xla: bool = False) -> Callable[[], object]:
    """The layers one after the other in one function."""

    @tf.function(jit_compile=xla)
    def function(x: tf.Tensor) -> tf.Tensor:
        for layer in layers:
            x = layer(x)
        return x

    function(x)
    return lambda: function(x)


def training(layers: list, x: tf.Tensor, xla: bool = False) -> Callable[[], object]:
    """Forward and backward through one layer: the gradients of its input and weights."""
    layer = layers[0]

    @tf.function(jit_compile=xla)
    def function(x: tf.Tensor, dy: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)], dy)

    dy = tensor(tuple(x.shape), x.dtype.name)
    function(x, dy)
    return lambda: function(x, dy)


def against_keras(
    name: str, measure: Callable[..., Callable[[], object]], x: tf.Tensor, graph: float, xla: float
) -> Iterator[Row]:
    ours, theirs = chain(LayerNormalization, x), chain(KERAS, x)
    for peer, jit, limit in (("Keras graph", False, graph), ("Keras XLA", True, xla)):
        a, b, ratio = paired(measure(ours, x), measure(theirs, x, jit))
        yield Row(SECTION, name, peer, b, a, ratio, limit)


def one(layers: list, x: tf.Tensor, xla: bool = False) -> Callable[[], object]:
    return forward(layers[:1], x, xla)


def text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def copies(x: tf.Tensor) -> Callable[[], object]:
    """A copy of the same bytes by the same pool of threads as TensorFlow's own ops."""
    function = tf.function(lambda x: tf.raw_ops.DeepCopy(x=x))
    function(x)
    return lambda: function(x)


def repeated(call: Callable[[], object], times: int = 20) -> Callable[[], None]:
    """Calls as small as an eager one are timed by the score, as a program makes them."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def rows() -> Iterator[Row]:
    for shape in SHAPES:
        x = tensor(shape)
        yield from against_keras(f"forward, 20 in a row, {text(shape)}", forward, x, 0.11, 0.28)
        yield from against_keras(f"forward, one to a call, {text(shape)}", one, x, 0.16, 0.35)
        yield from against_keras(f"forward + backward, {text(shape)}", training, x, 0.15, 0.25)
        a, b, _ = paired(forward(chain(LayerNormalization, x), x), copies(x))
        yield Row(
            SECTION, f"each of a chain of 20, {text(shape)}", "a copy", b, a / 20, a / 20 / b, 1.0
        )

    x = tensor((256, 64))
    ours, theirs = LayerNormalization(), KERAS()
    ours(x), theirs(x)
    a, b, ratio = paired(repeated(lambda: ours(x)), repeated(lambda: theirs(x)))
    yield Row(SECTION, "eager, 256x64", "Keras eager", b, a, ratio, 0.15)
    a, b, ratio = paired(repeated(lambda: ours(x)), repeated(lambda: tf.nn.relu(x)))
    yield Row(SECTION, "eager, 256x64", "tf.nn.relu", b, a, ratio, 3.5)

    for dtype in ("bfloat16", "float16"):
        x = tensor((4096, 768), dtype)
        ours, theirs = chain(LayerNormalization, x), chain(KERAS, x)
        a, b, ratio = paired(forward(ours, x), forward(theirs, x))
        yield Row(
            SECTION, f"forward, 20 in a row, 4096x768, {dtype}", "Keras graph", b, a, ratio, 0.08
        )

    for shape, axis in (((32, 64, 56, 56), 1), ((32, 56, 56, 64), [1, 2])):
        x = tensor(shape)
        ours, theirs = (chain(make, x, axis=axis) for make in (LayerNormalization, KERAS))
        a, b, ratio = paired(one(ours, x), one(theirs, x, True))
        yield Row(SECTION, f"forward, axis {axis} of {text(shape)}", "Keras XLA", b, a, ratio, 0.25)


def portable_rows() -> Iterator[Row]:
    """What the portable engine costs beside Keras's own layer, where there is no op."""
    x = tensor(SHAPES[0])
    with use_engine("portable"):
        ours, theirs = chain(LayerNormalization, x), chain(KERAS, x)
        for peer, jit in (("Keras graph", False), ("Keras XLA", True)):
            a, b, ratio = paired(one(ours, x, jit), one(theirs, x, jit))
            yield Row(
                "portable engine, seconds", f"forward, {text(SHAPES[0])}", peer, b, a, ratio, None
            )
            a, b, ratio = paired(training(ours, x, jit), training(theirs, x, jit))
            yield Row(
                "portable engine, seconds",
                f"forward + backward, {text(SHAPES[0])}",
                peer,
                b,
                a,
                ratio,
                None,
            )
