"""`LayerNormalization`: the layer, its arguments and its weights."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from py_layernorm import checks, engines, functional, legacy_format
from py_layernorm.axes import Axes, Axis


@keras.saving.register_keras_serializable(package="py_layernorm")
class LayerNormalization(keras.layers.LayerNormalization):
    """Layer normalisation: every row is centred and scaled by its own mean and variance.

        y = (x - mean) / sqrt(var + epsilon) * gamma + beta

    `mean` and `var` (the mean of the squared deviations, divided by n) run over `axis`; `gamma`
    and `beta` are weights that span `param_axis`. Statistics are computed in float64 for float64
    input and in at least float32 for every other dtype, whatever the dtype policy.

    A subclass of `keras.layers.LayerNormalization` with the same weights, so weights files go
    both ways. Masks pass through unchanged.

    Shapes: input of any shape of rank 1 or more; the output has the same shape and the layer's
    compute dtype. Integers and booleans are converted to the compute dtype first.

    Args:
        axis: An int or a list or tuple of ints, in any order: the axes to normalise over.
        epsilon: A finite number >= 0, added to the variance; None means
            `keras.backend.epsilon()**2`, read when the layer is made.
        center: If True, add `beta`.
        scale: If True, multiply by `gamma`. Superfluous when the next layer is linear.
        beta_initializer: Initializer of `beta`: a name, a config or a callable.
        gamma_initializer: Initializer of `gamma`, likewise.
        beta_regularizer: Regularizer of `beta`, or None.
        gamma_regularizer: Regularizer of `gamma`, or None.
        beta_constraint: Constraint of `beta`, or None.
        gamma_constraint: Constraint of `gamma`, or None.
        trainable: Whether the weights are trained.
        name: The layer's name; made up if None.
        param_axis: The axes that `gamma` and `beta` span, like `axis`; None means `axis`. With
            `axis=[1, 2, 3], param_axis=-1` this is group normalisation with one group.
        **kwargs: Arguments of `keras.layers.Layer`, such as `dtype` and `input_shape`.

    Raises:
        TypeError: from the constructor for an axis that is no int, a `center`, `scale`,
            `trainable` or `rms_scaling` that is no bool; from a call for input of complex numbers
            or strings.
        ValueError: from the constructor for a wrong `epsilon`, initializer, regularizer or
            constraint, and for `rms_scaling=True`, which is
            `keras.layers.RMSNormalization`'s work; from `build` for an axis out of range, named
            twice, or of unknown length where a weight must span it.

    Warns:
        UserWarning: from the constructor for an initializer, regularizer or constraint that a
            `.keras` file cannot bring back, such as a lambda: Keras saves such a model and then
            fails to load it. Weights can be saved all the same.

    Example:

    >>> import numpy as np
    >>> from py_layernorm import LayerNormalization
    >>> data = np.arange(10, dtype="float32").reshape(5, 2) * 10
    >>> layer = LayerNormalization(axis=1)
    >>> np.round(np.asarray(layer(data))[0], 3)
    array([-1.,  1.], dtype=float32)

    Source: Ba, Kiros, Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450;
    the arguments are those of `tf.keras.layers.LayerNormalization`.
    """

    # For a layer that was Keras's until `accelerate` changed its class.
    param_axis: Axis | None = None
    # `accelerate` sets it: what this class refuses goes to Keras's code, as it did before.
    _accelerated = False

    def __init__(
        self,
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
        *,
        param_axis: Axis | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras's own configs carry rms_scaling=False, so that much is accepted.
        if checks.flag(kwargs.pop("rms_scaling", False), "rms_scaling"):
            raise ValueError(
                "rms_scaling must be False: use keras.layers.RMSNormalization for RMS "
                "normalisation. Received: rms_scaling=True"
            )
        initializer = keras.initializers.get
        regularizer = keras.regularizers.get
        constraint = keras.constraints.get
        axis = checks.axis(axis)
        super().__init__(
            axis=axis,
            epsilon=checks.epsilon(epsilon),
            center=checks.flag(center, "center"),
            scale=checks.flag(scale, "scale"),
            beta_initializer=checks.from_registry(
                initializer, beta_initializer, "beta_initializer", optional=False
            ),
            gamma_initializer=checks.from_registry(
                initializer, gamma_initializer, "gamma_initializer", optional=False
            ),
            beta_regularizer=checks.from_registry(
                regularizer, beta_regularizer, "beta_regularizer", optional=True
            ),
            gamma_regularizer=checks.from_registry(
                regularizer, gamma_regularizer, "gamma_regularizer", optional=True
            ),
            beta_constraint=checks.from_registry(
                constraint, beta_constraint, "beta_constraint", optional=True
            ),
            gamma_constraint=checks.from_registry(
                constraint, gamma_constraint, "gamma_constraint", optional=True
            ),
            trainable=checks.flag(trainable, "trainable"),
            name=name,
            **kwargs,
        )
        checks.compute_dtype(self)
        self.axis = axis  # as it was passed: Keras turns a tuple into a list
        self.param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")

    def axes(self, shape: Sequence[int | None]) -> Axes:
        """Where the layer normalises an input of `shape`; worked out once for each rank."""
        known = self.__dict__.setdefault("_axes_by_rank", {})
        if len(shape) not in known:
            known[len(shape)] = checks.axes(self.axis, self.param_axis, shape)
        return known[len(shape)]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "_called":  # which Keras sets at every call
            self.__dict__.pop("_axes_by_rank", None)
            self.__dict__.pop("_short_way", None)

    def build(self, input_shape: Sequence[int | None]) -> None:
        axes = self.axes(input_shape)
        self.gamma = self.beta = None
        if not (self.scale or self.center):
            return
        shape = checks.weight_shape(
            axes, input_shape, "axis" if self.param_axis is None else "param_axis"
        )
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def build_from_config(self, config: dict[str, Any]) -> None:
        if isinstance(config, dict) and "shapes_dict" in config:  # of a subclass with more inputs
            super().build_from_config(config)
        else:
            self.build(checks.built_shape(config))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A subclass with a `call` of its own takes what it likes, and so does a patched one.
        if args and type(self).call is OWN_CALL:
            if len(args) == 1 and not kwargs and KERAS_LAYER.__call__ is KERAS_CALL:
                short = self.__dict__.get("_short_way")
                if short is None or not engines.is_chosen(short[0]):
                    short = self.__dict__["_short_way"] = engines.short_way(self)
                y = short[1](args[0])
                if y is not None:
                    return y
            if not self._accelerated:
                checks.tensor(args[0], "inputs")  # before Keras makes weights for it
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any) -> Any:
        try:
            came = checks.tensor(inputs, "inputs")
            axes = self.axes(inputs.shape)
            checks.weights(self.gamma, self.beta, axes, inputs.shape)
        except (TypeError, ValueError):
            if self._accelerated:
                return super().call(inputs)
            raise
        return functional.normalize(
            inputs, came, self.gamma, self.beta, axes, self.epsilon, self.compute_dtype
        )

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        if not all(n is None or isinstance(n, int) for n in input_shape):
            return super().compute_output_shape(input_shape)  # several shapes, for a subclass
        if self._accelerated:
            return super().compute_output_shape(input_shape)
        axes = self.axes(input_shape)
        if self.built:
            checks.weights(self.gamma, self.beta, axes, input_shape)
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # Keras's own demands every argument of `call`, which a subclass may not pass on.
        if isinstance(inputs, keras.KerasTensor) and not (args or kwargs or self._accelerated):
            return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)
        return super().compute_output_spec(inputs, *args, **kwargs)

    def load_own_variables(self, store: Any) -> None:
        """All weights or none: Keras's own assigns `gamma` before it looks at `beta`."""
        before = [(weight, ops.convert_to_numpy(weight)) for weight in self.weights]
        try:
            super().load_own_variables(store)
        except BaseException:
            for weight, value in before:
                weight.assign(value)
            raise

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["axis"] = self.axis if isinstance(self.axis, (int, tuple)) else list(self.axis)
        # Left out when unused, so that Keras's own layer can be made of our config.
        if self.param_axis is not None:
            config["param_axis"] = (
                self.param_axis
                if isinstance(self.param_axis, (int, tuple))
                else list(self.param_axis)
            )
        return legacy_format.written(config)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LayerNormalization":
        return super().from_config(legacy_format.read(config))


# What the short way of eager calls must not pass by: a user or a tool may have replaced either.
OWN_CALL = LayerNormalization.call
KERAS_LAYER = keras.layers.LayerNormalization
KERAS_CALL = KERAS_LAYER.__call__
