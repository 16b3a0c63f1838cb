"""Peak memory of a training step, beside Keras's own layer. Linux only: reads /proc/self."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rows import Row

SHAPE = (32, 128, 768)


def peak_of_a_step(which: str) -> float:
    """MB by which a training step of ten layers raises this process's peak. Needs a new process."""
    import keras
    import tensorflow as tf

    from py_layernorm import LayerNormalization

    make = {"ours": LayerNormalization, "keras": keras.layers.LayerNormalization}[which]
    layers = [make() for _ in range(10)]
    for layer in layers:
        layer.build(SHAPE)

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE[1:]))])
    def step(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for layer in layers:
                y = layer(y)
        weights = [w.value for layer in layers for w in layer.trainable_weights]
        return tape.gradient(y, [x, *weights])

    small, x = tf.ones((2, *SHAPE[1:])), tf.ones(SHAPE)
    step(small)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is in use
    before = memory("VmHWM")
    step(x)
    return memory("VmHWM") - before


def memory(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def rows() -> Iterator[Row]:
    ours, theirs = (
        float(
            subprocess.run(
                [sys.executable, __file__, which], capture_output=True, text=True, check=True
            ).stdout.split()[-1]
        )
        for which in ("ours", "keras")
    )
    yield Row(
        "memory", "peak of a training step, 10 layers, 32x128x768", "Keras graph",
        theirs, ours, ours / theirs, 0.6, "MB",
    )  # fmt: skip


if __name__ == "__main__":
    print(peak_of_a_step(sys.argv[1]))
