"""Composing a layer with an object, and the helper that constructs a layer and composes it."""

import warnings
from types import ModuleType
from typing import Any

import keras

from py_layernorm import checks, keras2_internals, keras_internals, which_keras
from py_layernorm.axes import Axis
from py_layernorm.rollback import all_or_nothing


def compose_layer(object: Any, layer: keras.layers.Layer) -> Any:
    """Compose `layer` with `object`; the result depends on `object`.

    Args:
        object: None; a `keras.Sequential`; or a tensor (symbolic, eager, or a NumPy array).
        layer: Any Keras layer.

    Returns:
        For None, the layer. For a Sequential, the same model with the layer appended. For a tensor,
        the output tensor, `layer(object)`.

    Raises:
        TypeError: if `object` is anything else, or `layer` is not a Keras layer.
        Exception: whatever the layer raises when it cannot be built there; the Sequential and the
            layer are then unchanged.

    Warns:
        UserWarning: if the Sequential was compiled: it must be compiled again before it is
            trained, because its optimizer does not know the new weights. If the warning is turned
            into an error, nothing is added.

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
    which = which_keras.of(layer)
    if which is None or not isinstance(layer, which.layers.Layer):
        raise TypeError(f"layer must be a Keras layer. {checks.received('layer', layer)}")
    which_keras.common(object=object, layer=layer)
    _check_object(object, which)
    if object is None:
        return layer
    if isinstance(object, which.Sequential):
        _add(object, layer)
        return object
    return layer(object)


def _check_object(object: Any, which: ModuleType) -> None:
    """Raise TypeError, saying what to pass instead, unless `object` can take a layer."""
    if object is None or isinstance(object, which.Sequential) or checks.is_tensor(object):
        return
    raise TypeError(
        "object must be None, a keras.Sequential or a tensor (symbolic, eager or a NumPy array). "
        f"{_instead(object, which)}{checks.received('object', object)}"
    )


def _instead(object: Any, which: ModuleType) -> str:
    """What to pass instead of an object that `compose_layer` cannot take."""
    if isinstance(object, which.Model):
        return "Pass a model's output tensor: object=model.output. "
    if isinstance(object, which.layers.Layer):
        return "Pass a layer's output tensor, or put both into a keras.Sequential. "
    if isinstance(object, (list, tuple)) and any(checks.is_tensor(o) for o in object):
        return "Pass one tensor at a time, or join them with keras.layers.Concatenate. "
    if isinstance(object, int) and not isinstance(object, bool):
        return f"For the axis, write axis={object!r}. "
    if hasattr(object, "__array__") or isinstance(object, (list, tuple)):
        return "Make an array of it with numpy.asarray. "
    return ""


def _add(model: keras.Sequential, layer: keras.layers.Layer) -> None:
    """`model.add(layer)`, or an error that leaves the model and the layer as they were.

    Keras appends the layer, then builds the model; when the build fails, the layer stays and
    every later use of the model fails. There is no public way to undo this: `pop()` rebuilds, and
    so changes what was already built. The warning comes last and inside the block, because a filter
    or a handler may turn it into an error, which must undo the change as well.
    """
    with all_or_nothing(model, layer):
        model.add(layer)
        # Otherwise Keras would train, test and predict with old traces, without the layer.
        keras_internals.forget_compiled_functions(model)
        if keras2_internals.is_compiled(model):
            warnings.warn(
                f"'{model.name}' was compiled before '{layer.name}' was added: compile it again "
                "before you train it, because its optimizer does not know the new weights.",
                UserWarning,
                stacklevel=keras_internals.levels_to_caller(),
            )


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
    """Construct a `LayerNormalization` and compose it with `object`.

    Args:
        object: None; a `keras.Sequential`; or a tensor (symbolic, eager, a NumPy array).
        axis: The axes to normalise over; this and all later arguments are those of
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
        name: The layer's name; if None, Keras's next one that is not yet in the Sequential.
        **kwargs: More arguments of `LayerNormalization`: `param_axis`, `dtype`, `input_shape`.

    Returns:
        For None, the layer. For a Sequential, the same model with the layer appended. For a tensor,
        the output tensor, of the same shape and the layer's compute dtype.

    Raises:
        TypeError: if `object` is anything else, or a tensor that is ragged, sparse, masked or not
            of real numbers. No layer is created then.
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
    which = which_keras.of(object) or which_keras.default()
    _check_object(object, which)
    if checks.is_tensor(object):
        checks.tensor(object, "object")
    if name is None and isinstance(object, which.Sequential):
        # Keras counts names per process, so a loaded model may already use the next name.
        taken = {other.name for other in keras_internals.sublayers(object)}
        name = keras_internals.new_name(which, "LayerNormalization", taken)
    layer = which_keras.layer_class(which)(
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
    return compose_layer(object, layer)
