"""Canaries: each private name of Keras and TensorFlow that this package uses is still there.

A failure says which release changed what; until it is adapted, the slower way serves.
"""

import keras
import numpy as np
import pytest

import py_layernorm
from py_layernorm import keras_internals

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="names of TensorFlow's"
)


def test_symbolic_tensors_say_what_they_stand_for():
    assert not keras_internals.is_sparse_or_ragged(keras.KerasTensor((2, 3)))
    assert keras_internals.is_sparse_or_ragged(keras.KerasTensor((2, 3), sparse=True))


def test_layers_know_that_they_are_rematerialised():
    layer = keras.layers.LayerNormalization()
    assert not keras_internals.is_rematerialised(layer)
    with keras.RematScope(mode="full"):
        layer = keras.layers.LayerNormalization()
    assert keras_internals.is_rematerialised(layer)


def test_a_warning_names_the_line_outside_this_package():
    with pytest.warns(UserWarning, match="gamma_initializer") as caught:
        py_layernorm.LayerNormalization(gamma_initializer=lambda shape, dtype: np.ones(shape))
    assert caught[0].filename == __file__


@on_tensorflow
def test_variables_have_one_class_outside_strategies():
    import tensorflow as tf

    assert keras_internals.is_ordinary_variable(tf.Variable(1.0))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert not keras_internals.is_ordinary_variable(tf.Variable(1.0))


@on_tensorflow
def test_a_trace_for_xla_is_recognised():
    import tensorflow as tf

    seen = []
    for compiled in (True, False):
        function = tf.function(
            lambda x: (seen.append(keras_internals.tracing_for_xla()), x)[1], jit_compile=compiled
        )
        function(tf.constant(1.0))
    assert seen == [True, False]


@on_tensorflow
def test_a_trace_for_an_export_is_recognised(tmp_path):
    seen = []

    class Look(keras.layers.Layer):
        def call(self, x):
            seen.append(keras_internals.tracing_for_export())
            return x

    model = keras.Sequential([keras.Input((3,)), Look()])
    model.predict(np.ones((1, 3)), verbose=0)
    assert not any(seen)
    seen.clear()
    model.export(tmp_path / "exported", verbose=False)
    assert seen
    assert all(seen)


@on_tensorflow
def test_tensorflow_tells_whether_it_is_initialised():
    import tensorflow as tf

    tf.constant(1.0)
    assert keras_internals.tensorflow_is_initialised()


@on_tensorflow
def test_eager_ops_can_be_called_directly():
    assert keras_internals.eager_op_maker() is not None
