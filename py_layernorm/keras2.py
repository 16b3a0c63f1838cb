"""`LayerNormalization` for Keras 2: the package `tf_keras`, TensorFlow's `tf.keras` of old.

Imported when Keras 2 is, and not before: see `when_imported.py`. What this layer and that of Keras
3 share is in `shared_layer.py`; here is what Keras 2 does differently.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras

from py_layernorm import functional, keras2_internals, pickling
from py_layernorm.axes import Axis
from py_layernorm.shared_layer import SharedLayer

# For graphs, Keras 2 rewrites the code of `call` and of all that it calls. Ours needs none of that.
CALL, CALL_NORM = map(
    tf.autograph.experimental.do_not_convert, (SharedLayer.call, functional.SharedLayerNorm.call)
)


def _registered(cls: type) -> type:
    """`cls`, which Keras 2 finds when it loads a file.

    By the class's own name too: that is all that Keras 2 reads of a layer within a wrapper, and of
    one within a nested model in an `.h5` file.
    """
    tf_keras.utils.get_custom_objects()[cls.__name__] = cls
    name = cls.__name__.title().replace("_", "")
    return tf_keras.saving.register_keras_serializable("py_layernorm", name)(cls)


# The class has not the name of Keras's own, which Keras 2 would make of our layer in those places,
# but one with the same form in snake case, by which it finds the weights in a file.
@_registered
class Layer_normalization(SharedLayer, tf_keras.layers.LayerNormalization):
    """Layer normalisation for Keras 2: every row is centred and scaled by its mean and variance.

        y = (x - mean) / sqrt(var + epsilon) * gamma + beta

    A subclass of `tf_keras.layers.LayerNormalization` with the same weights, so each can load the
    other's weights files. The arguments, shapes, dtypes, errors, warnings, numbers and engines are
    those of `py_layernorm.LayerNormalization`, the layer for Keras 3; `epsilon=None` means
    `tf_keras.backend.epsilon()**2`.

    Example:

    >>> import tf_keras
    >>> from py_layernorm.keras2 import LayerNormalization
    >>> model = tf_keras.Sequential([tf_keras.Input((4,)), LayerNormalization()])
    >>> model.output_shape
    (None, 4)

    Source: Ba, Kiros, Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450;
    the arguments are those of `tf.keras.layers.LayerNormalization`.
    """

    which = tf_keras
    uncast: ClassVar = {"experimental_autocast": False}

    # Keras 2 wraps a list that a layer is given, unless its class has the attribute too.
    axis: Axis = -1

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = tuple(tf.TensorShape(input_shape).as_list())
        super().build(shape)
        if self._accelerated:
            self.axis = list(self.axes(shape).normalised)  # what Keras's own `call` uses
        tf_keras.layers.Layer.build(self, shape)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A subclass with its own `call`, or a patched one, may take any input.
        if args and type(self).call is OWN_CALL and not self._accelerated:
            self.check_input(args[0])
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any) -> Any:
        return CALL(self, inputs)

    def before_restore(self) -> None:
        """Leave what Keras's own `call` expects of a layer that is built: the axes from 0 on."""
        if self.built:
            shape = self.get_build_config()["input_shape"]
            self.axis = list(self.axes(shape).normalised)


LayerNormalization = Layer_normalization
OWN_CALL = LayerNormalization.call


@_registered
class Layer_norm(functional.SharedLayerNorm, tf_keras.layers.Layer):
    """`layer_norm` for symbolic tensors of Keras 2, and in its saved models: without weights."""

    which = tf_keras
    axis: Axis = -1  # see above
    param_axis: Axis | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, autocast=False, **kwargs)  # the result has the dtype of x

    def call(self, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        gamma, beta = map(_from_file, (gamma, beta))
        return CALL_NORM(self, x, gamma, beta)


LayerNorm = Layer_norm


def _from_file(parameter: Any) -> Any:
    """An array of a list, which is how a file holds `gamma` and `beta` that are constants."""
    return np.array(parameter) if isinstance(parameter, list) else parameter


pickling.register(tf_keras.Sequential, keras2_internals.functional_class())
