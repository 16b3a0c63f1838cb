"""`layer_norm`: the function under the layer. It checks, then hands over to the engine."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from py_layernorm import checks, engines
from py_layernorm.checks import Axis


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
        x: A tensor, symbolic or not, or a NumPy array, of rank 1 or more and real numbers.
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
        TypeError: if `x` is no tensor or array, or holds complex numbers; if an axis is no int.
        ValueError: if an axis is out of range, named twice, or missing; if `epsilon` is negative,
            infinite or no number; if `gamma` or `beta` has another shape.

    Example:

    >>> import numpy as np
    >>> import py_layernorm
    >>> y = py_layernorm.layer_norm(np.array([[1.0, 2.0], [30.0, 50.0]]), epsilon=0)
    >>> np.asarray(y)
    array([[-1.,  1.],
           [-1.,  1.]])

    Source: Ba, Kiros, Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450
    """
    checks.dense(x, "x")
    if any(isinstance(value, keras.KerasTensor) for value in (x, gamma, beta)):
        return LayerNorm(axis, epsilon, param_axis)(x, gamma, beta)
    axis = checks.axis(axis)
    param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")
    return normalize(x, gamma, beta, axis, param_axis, checks.epsilon(epsilon))


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
        return normalize(x, gamma, beta, self.axis, self.param_axis, self.epsilon)

    def compute_output_spec(self, x: Any, gamma: Any = None, beta: Any = None) -> keras.KerasTensor:
        _, param_axes = resolve(x.shape, self.axis, self.param_axis)
        for name, value in (("gamma", gamma), ("beta", beta)):
            check_param(name, value, param_axes, x.shape)
        return keras.KerasTensor(x.shape, dtype=result_dtype(x))


def normalize(
    x: Any,
    gamma: Any,
    beta: Any,
    axis: Axis,
    param_axis: Axis | None,
    epsilon: float,
    dtype: str | None = None,
) -> Any:
    """What the layer and `layer_norm` share: `x` of any real dtype in, `dtype` out."""
    checks.dense(x, "x")
    came = checks.dtype(x, "x")
    dtype = dtype or result_dtype(x)
    x = ops.convert_to_tensor(x, dtype=None if came in checks.FLOAT_DTYPES else dtype)
    checks.rank_is_known(x, "x")
    axes, param_axes = resolve(x.shape, axis, param_axis)
    for name, value in (("gamma", gamma), ("beta", beta)):
        check_param(name, value, param_axes, x.shape)
    return engines.layer_norm(x, gamma, beta, axes, param_axes, epsilon, dtype)


def resolve(
    shape: Sequence[int | None], axis: Axis, param_axis: Axis | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes to normalise over and those that the weights span, for an input of `shape`."""
    axes = checks.resolve_axes(axis, shape)
    if param_axis is None:
        return axes, axes
    return axes, checks.resolve_axes(param_axis, shape, "param_axis")


def result_dtype(x: Any) -> str:
    """The dtype of `layer_norm(x)`: that of `x` if it is a float, else Keras's own default."""
    came = checks.dtype(x, "x")
    return came if came in checks.FLOAT_DTYPES else keras.config.floatx()


def check_param(
    name: str, value: Any, param_axes: Sequence[int], shape: Sequence[int | None]
) -> None:
    """Raise ValueError unless `value` is None or has the lengths of `shape` along `param_axes`."""
    if value is None:
        return
    if not (checks.is_tensor(value) and checks.is_whole(value)):
        raise TypeError(
            f"{name} must be a tensor, an array or None, and dense. {checks.received(name, value)}"
        )
    checks.dtype(value, name)
    expected = tuple(shape[a] for a in param_axes)
    came = tuple(value.shape)
    if len(came) != len(expected) or any(
        None not in (e, c) and e != c for e, c in zip(expected, came, strict=True)
    ):
        raise ValueError(
            f"{name} must have the shape {expected}: the lengths of the input, of shape "
            f"{tuple(shape)}, along the axes {list(param_axes)}. "
            f"Received: {name} of shape {came}"
        )
