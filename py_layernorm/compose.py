"""The rule for composing a layer with an object, and the helper that is this and a constructor."""

import warnings
from typing import Any

import keras

from py_layernorm import checks
from py_layernorm.axes import Axis
from py_layernorm.layer import LayerNormalization


def compose_layer(object: Any, layer: keras.layers.Layer) -> Any:
    """Compose `layer` with `object`; what comes back depends on `object`.

    Args:
        object: None; a `keras.Sequential`; or a tensor (symbolic, eager, a NumPy array).
        layer: Any Keras layer.

    Returns:
        For None the layer. For a Sequential the same model, one layer longer. For a tensor the
        output tensor, `layer(object)`.

    Raises:
        TypeError: if `object` is anything else, or `layer` is no Keras layer.
        Exception: whatever the layer raises when it cannot be built there; the Sequential is then
            as it was before the call.

    Warns:
        UserWarning: if the Sequential was compiled: it must be compiled again to be trained,
            because its optimizer does not know the new weights.

    Example:

    >>> import keras
    >>> from py_layernorm import compose_layer
    >>> model = keras.Sequential([keras.Input((4,))])
    >>> compose_layer(model, keras.layers.Dense(3)) is model
    True
    >>> compose_layer(model.outputs[0], keras.layers.Dense(2)).shape
    (None, 2)

    Source: the `object` argument of the layer functions in R's keras.
    """
    return _compose(object, layer)


def _compose(object: Any, layer: keras.layers.Layer) -> Any:
    """`compose_layer`, one call below each public function, so that warnings name their caller."""
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"layer must be a Keras layer. {checks.received('layer', layer)}")
    if object is None:
        return layer
    if isinstance(object, keras.Sequential):
        _add(object, layer)
        return object
    if checks.is_tensor(object):
        return layer(object)
    raise TypeError(
        "object must be None, a keras.Sequential or a tensor (symbolic, eager or a NumPy array). "
        f"{_instead(object)}{checks.received('object', object)}"
    )


def _instead(object: Any) -> str:
    """What to pass instead of an object that `compose_layer` cannot take."""
    if isinstance(object, keras.Model):
        return "Pass a model's output tensor: object=model.output. "
    if isinstance(object, keras.layers.Layer):
        return "Pass a layer's output tensor, or put both into a keras.Sequential. "
    if isinstance(object, (list, tuple)) and any(checks.is_tensor(o) for o in object):
        return "Pass one tensor at a time, or join them with keras.layers.Concatenate. "
    if isinstance(object, int) and not isinstance(object, bool):
        return f"For the axis, write axis={object!r}. "
    if hasattr(object, "__array__") or isinstance(object, (list, tuple)):
        return "Make an array of it with numpy.asarray. "
    return ""


def _add(model: keras.Sequential, layer: keras.layers.Layer) -> None:
    """`model.add(layer)`, or an error that leaves the model as it was.

    Keras appends the layer, then builds the model; when the build fails, the layer stays and
    every later use of the model fails. It has no public way back: `pop()` builds anew, and so
    changes what had been built. So all that is altered is put back, by a warning made an error too.
    """
    layers = list(model._layers)
    names = ("_functional", "built", "train_function", "test_function", "predict_function")
    before = {name: getattr(model, name) for name in names}
    try:
        model.add(layer)
        # Keras would go on with what it traced before: train, test and predict without the layer.
        model.train_function = model.test_function = model.predict_function = None
        if model.compiled:
            warnings.warn(
                f"'{model.name}' was compiled before '{layer.name}' was added: compile it again "
                "before you train it, because its optimizer does not know the new weights.",
                UserWarning,
                stacklevel=4,
            )
    except BaseException:
        model._layers.clear()  # a tracked list: clearing makes the model forget the layer's weights
        model._layers.extend(layers)
        for name, value in before.items():
            setattr(model, name, value)
        raise


def layer_layer_normalization(
    object: Any = None,
    axis: Axis = -1,
    epsilon: float | None = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Any = "zeros",
    gamma_initializer: Any = "ones",
    beta_regularizer: Any = None,
    gamma_regularizer: Any = None,
    beta_constraint: Any = None,
    gamma_constraint: Any = None,
    trainable: bool = True,
    name: str | None = None,
    **kwargs: Any,
) -> Any:
    """Make a `LayerNormalization` and compose it with `object`.

    Args:
        object: None; a `keras.Sequential`; or a tensor (symbolic, eager, a NumPy array).
        axis: The axes to normalise over; this and all that follow are the arguments of
            `LayerNormalization`.
        epsilon: Added to the variance; None means `keras.backend.epsilon()**2`.
        center: Whether to add `beta`.
        scale: Whether to multiply by `gamma`.
        beta_initializer: Initializer of `beta`.
        gamma_initializer: Initializer of `gamma`.
        beta_regularizer: Regularizer of `beta`, or None.
        gamma_regularizer: Regularizer of `gamma`, or None.
        beta_constraint: Constraint of `beta`, or None.
        gamma_constraint: Constraint of `gamma`, or None.
        trainable: Whether the weights are trained.
        name: The layer's name; if None, made up, and unlike those in the Sequential.
        **kwargs: More arguments of `LayerNormalization`: `param_axis`, `dtype`, `input_shape`.

    Returns:
        For None the layer. For a Sequential the same model, one layer longer. For a tensor the
        output tensor, of the same shape and the layer's compute dtype.

    Raises:
        TypeError, ValueError: those of `LayerNormalization` and `compose_layer`.

    Example:

    >>> import keras
    >>> from py_layernorm import layer_layer_normalization
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> layer_layer_normalization(model, name="norm") is model
    True
    >>> [layer.name for layer in model.layers][-1]
    'norm'

    Source: `layer_layer_normalization` in R's keras.
    """
    arguments = dict(
        axis=axis,
        epsilon=epsilon,
        center=center,
        scale=scale,
        beta_initializer=beta_initializer,
        gamma_initializer=gamma_initializer,
        beta_regularizer=beta_regularizer,
        gamma_regularizer=gamma_regularizer,
        beta_constraint=beta_constraint,
        gamma_constraint=gamma_constraint,
        trainable=trainable,
        name=name,
        **kwargs,
    )
    layer = LayerNormalization(**arguments)
    if name is None and isinstance(object, keras.Sequential):
        # Keras counts names per process, so a loaded model may hold the name that comes next.
        taken = {other.name for other in object.layers}
        while layer.name in taken:
            layer = LayerNormalization(**arguments)
    return _compose(object, layer)
