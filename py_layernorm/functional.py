"""`layer_norm`: the function under the layer. It checks its arguments and calls the engine."""

from typing import Any

import keras
from keras import ops

from py_layernorm import checks, engines, legacy_format
from py_layernorm.axes import Axes, Axis


def layer_norm(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: Axis = -1,
    epsilon: float | None = 1e-3,
    param_axis: Axis | None = None,
) -> Any:
    """Layer normalisation of `x`, without state.

        y = (x - mean) / sqrt(var + epsilon) * gamma + beta

    `mean` and `var` (the mean of the squared deviations, divided by n) run over `axis`, in
    float64 for float64 input and in at least float32 for every other dtype.

    Args:
        x: A tensor, symbolic or not, or a NumPy array, of rank 1 or more, that holds real numbers.
        gamma: None, or the factors: an array with the lengths of `x` along `param_axis`, in
            increasing order of the axes.
        beta: None, or the offsets: an array like `gamma`.
        axis: An int or a list or tuple of ints, in any order: the axes to normalise over.
        epsilon: A finite number >= 0, added to the variance; None means
            `keras.backend.epsilon()**2`.
        param_axis: The axes that `gamma` and `beta` span; None means `axis`.

    Returns:
        A tensor of `x`'s shape, and of its dtype; for integers and booleans of
        `keras.config.floatx()`.

    Raises:
        TypeError: if `x` is not a dense tensor or array, or holds complex numbers; if an axis is
            not an int.
        ValueError: if an axis is out of range, named twice, or missing; if `epsilon` is negative,
            infinite or not a number; if `gamma` or `beta` has another shape.

    Example:

    >>> import numpy as np
    >>> import py_layernorm
    >>> y = py_layernorm.layer_norm(np.array([[1.0, 2.0], [30.0, 50.0]]), epsilon=0)
    >>> np.asarray(y)
    array([[-1.,  1.],
           [-1.,  1.]])

    Source: Ba, Kiros, Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450
    """
    axis, epsilon = checks.axis(axis), checks.epsilon(epsilon)
    param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")
    symbolic = keras.KerasTensor
    if isinstance(x, symbolic) or isinstance(gamma, symbolic) or isinstance(beta, symbolic):
        return LayerNorm(axis, epsilon, param_axis)(x, gamma, beta)
    came = checks.tensor(x, "x")
    axes = checks.axes(axis, param_axis, x.shape)
    checks.weights(gamma, beta, axes, x.shape)
    return normalize(x, came, gamma, beta, axes, epsilon)


@keras.saving.register_keras_serializable(package="py_layernorm")
class LayerNorm(keras.Operation):
    """`layer_norm` as an operation, so that symbolic tensors and saved models can hold it."""

    def __init__(
        self,
        axis: Axis = -1,
        epsilon: float | None = 1e-3,
        param_axis: Axis | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.axis = checks.axis(axis)
        self.epsilon = checks.epsilon(epsilon)
        self.param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")

    def call(self, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        came = checks.tensor(x, "x")
        axes = checks.axes(self.axis, self.param_axis, x.shape)
        checks.weights(gamma, beta, axes, x.shape)
        return normalize(x, came, gamma, beta, axes, self.epsilon)

    def compute_output_spec(self, x: Any, gamma: Any = None, beta: Any = None) -> keras.KerasTensor:
        came = checks.tensor(x, "x")
        axes = checks.axes(self.axis, self.param_axis, x.shape)
        checks.weights(gamma, beta, axes, x.shape)
        return keras.KerasTensor(x.shape, dtype=result_dtype(came))

    def get_config(self) -> dict[str, Any]:
        """What Keras would record by itself are the arguments: NumPy's ints, which it refuses, and
        an epsilon of None, which may mean another number where the file is loaded."""
        config = super().get_config()
        config.update(axis=self.axis, epsilon=self.epsilon, param_axis=self.param_axis)
        return legacy_format.written(config)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LayerNorm":
        return super().from_config(legacy_format.read(config))


def normalize(
    x: Any,
    came: str,
    gamma: Any,
    beta: Any,
    axes: Axes,
    epsilon: float,
    dtype: str | None = None,
) -> Any:
    """What the layer and `layer_norm` share.

    `x` is of any real dtype, `came`; the output is of `dtype`.
    """
    dtype = dtype or result_dtype(came)
    x = ops.convert_to_tensor(x, dtype=None if came in checks.FLOAT_DTYPES else dtype)
    return engines.layer_norm(x, gamma, beta, axes, epsilon, dtype)


def result_dtype(came: str) -> str:
    """The dtype of `layer_norm(x)` for `x` of dtype `came`: its own, or Keras's default."""
    return came if came in checks.FLOAT_DTYPES else keras.config.floatx()
