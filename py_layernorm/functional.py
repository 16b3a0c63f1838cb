"""`layer_norm`: the function under the layer. It checks its arguments and calls the engine."""

from types import ModuleType
from typing import Any, ClassVar

import keras
from keras import ops

from py_layernorm import checks, engines, legacy_format, which_keras
from py_layernorm.axes import Axes, Axis

# Any, for type checkers: Keras's own class comes after the shared one among the bases.
_Base: Any = object


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
        A tensor of `x`'s shape and dtype; for integers and booleans the dtype is
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
    which = next(filter(None, map(which_keras.of_class, map(type, (x, gamma, beta)))), None)
    if which is not None:
        which_keras.common(x=x, gamma=gamma, beta=beta)
        if any(map(checks.is_symbolic, (x, gamma, beta))):
            return which_keras.operation_class(which)(axis, epsilon, param_axis)(x, gamma, beta)
    which = which or which_keras.default()
    axis, epsilon = checks.axis(axis), checks.epsilon(epsilon, which)
    param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")
    came = checks.tensor(x, "x")
    axes = checks.axes(axis, param_axis, x.shape)
    checks.weights(gamma, beta, axes, x.shape)
    return normalize(x, came, gamma, beta, axes, epsilon, result_dtype(came, which))


class SharedLayerNorm(_Base):
    """What `LayerNorm` for Keras 3 and for Keras 2 share; comes before Keras's own class."""

    which: ClassVar[ModuleType]  # the Keras of the operation

    def __init__(
        self,
        axis: Axis = -1,
        epsilon: float | None = 1e-3,
        param_axis: Axis | None = None,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.axis = checks.axis(axis)
        self.epsilon = checks.epsilon(epsilon, self.which)
        self.param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")

    def call(self, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        came = checks.tensor(x, "x")
        axes = checks.axes(self.axis, self.param_axis, x.shape)
        checks.weights(gamma, beta, axes, x.shape)
        return normalize(x, came, gamma, beta, axes, self.epsilon, result_dtype(came, self.which))

    def get_config(self) -> dict[str, Any]:
        """Keras on its own would record the arguments as passed: NumPy ints, which it cannot save,
        and epsilon=None, which may mean another number where the file is loaded."""
        config = super().get_config()
        config.update(axis=self.axis, epsilon=self.epsilon, param_axis=self.param_axis)
        return config


@keras.saving.register_keras_serializable(package="py_layernorm")
class LayerNorm(SharedLayerNorm, keras.Operation):
    """`layer_norm` as an operation, for symbolic tensors and saved models."""

    which = keras

    def compute_output_spec(self, x: Any, gamma: Any = None, beta: Any = None) -> keras.KerasTensor:
        came = checks.tensor(x, "x")
        axes = checks.axes(self.axis, self.param_axis, x.shape)
        checks.weights(gamma, beta, axes, x.shape)
        return keras.KerasTensor(x.shape, dtype=result_dtype(came, keras))

    def get_config(self) -> dict[str, Any]:
        return legacy_format.written(super().get_config())

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
    dtype: str,
) -> Any:
    """The part that the layer and `layer_norm` share.

    `x` has the dtype `came`, which may be any real dtype; the output has `dtype`.
    """
    x = ops.convert_to_tensor(x, dtype=None if came in checks.FLOAT_DTYPES else dtype)
    return engines.layer_norm(x, gamma, beta, axes, epsilon, dtype)


def result_dtype(came: str, which: ModuleType) -> str:
    """The dtype of `layer_norm(x)` for `x` of dtype `came`: its own, or Keras's default."""
    return came if came in checks.FLOAT_DTYPES else which.backend.floatx()
