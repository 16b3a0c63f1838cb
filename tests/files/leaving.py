"""Models that hold our layer in every way, and a fresh process that has not imported it."""

import os
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

import py_layernorm
from py_layernorm import LayerNormalization, layer_norm

SHAPE = (3, 4)
SPEC = tf.TensorSpec((None, *SHAPE), name="x")
X = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def functional():
    x = keras.Input(SHAPE, name="x")
    y = LayerNormalization(axis=[1, 2], param_axis=-1)(x)
    return filled(keras.Model(x, layer_norm(keras.layers.Dense(5)(y), np.arange(5.0) + 1.0)))


def sequential():
    return filled(keras.Sequential([keras.Input(SHAPE, name="x"), LayerNormalization()]))


def accelerated():
    layers = [keras.Input(SHAPE, name="x"), keras.layers.LayerNormalization(axis=1)]
    model = filled(keras.Sequential(layers))
    assert py_layernorm.accelerate(model).changed
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.norm = LayerNormalization()

    def call(self, x):
        return self.norm(x) + layer_norm(x)


def subclassed():
    model = Subclassed()
    model(X)
    return model


def used():
    """A model whose training and prediction were traced, with the native op, before it is saved."""
    model = functional()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(X, np.ones((2, 3, 5)), verbose=0)
    model.predict(X, verbose=0)
    model.evaluate(X, np.ones((2, 3, 5)), verbose=0)
    return model


def filled(model):
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    return model


MODELS = [functional, sequential, accelerated, subclassed, used]


class Module(tf.Module):
    """A module whose function is traced when it is saved."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(input_signature=[SPEC])
    def serve(self, x):
        return self.model(x)


def fresh(code, *arguments, **environment):
    """`code` in a new process, which must succeed; -I keeps it from importing us by chance."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()
