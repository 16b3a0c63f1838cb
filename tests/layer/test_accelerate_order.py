"""accelerate and restore where Keras orders gamma and beta otherwise than by the input's axes."""

import keras
import numpy as np
import pytest
from keras_versions import KERAS, in_order

from py_layernorm import LayerNormalization
from py_layernorm.accelerate import accelerate, restore

KERAS_LAYER = keras.layers.LayerNormalization

X = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")


@pytest.mark.parametrize("axis", [[1, 2], [2, 1], [-1, 1], [1, -1], [-2, 2], [2, -2], [-1, -2]])
def test_an_axis_is_left_where_keras_orders_it_wrongly(axis):
    right = in_order(axis)
    keras_layer = KERAS_LAYER(axis=axis)
    keras_layer.build((None, 5, 6))
    assert (keras_layer.gamma.shape == (5, 6)) == right  # what is said of Keras is still true

    layers = [KERAS_LAYER(axis=axis, beta_initializer="random_normal") for _ in range(2)]
    model = keras.Sequential([keras.Input((5, 6)), *layers])
    before = model(X)
    report = accelerate(model)
    assert len(report.changed) == (2 if right else 0)
    assert all("Keras orders gamma and beta wrongly" in why for why in report.left.values())
    np.testing.assert_allclose(model(X), before, atol=1e-5)

    ours = keras.Sequential([keras.Input((5, 6)), LayerNormalization(axis=axis)])
    ours.set_weights([np.arange(30.0).reshape(5, 6) + i for i in range(2)])
    before = ours(X)
    assert len(restore(ours).changed) == right
    np.testing.assert_allclose(ours(X), before, rtol=1e-4, atol=1e-4)


def test_an_axis_of_a_layer_of_unknown_rank_is_left_where_some_rank_would_be_wrong():
    """[-3, 1] is in order for three axes, and for four it is not, except where Keras sees to it."""
    model = keras.Sequential([KERAS_LAYER(axis=[-3, 1], name="norm")])
    if KERAS > (3, 15):
        assert accelerate(model).changed == ["norm"]
    else:
        assert accelerate(model).left == {
            "norm": "Keras orders gamma and beta wrongly for axis=[-3, 1]"
        }
