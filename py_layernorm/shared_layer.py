"""What our layers for Keras 3 and for Keras 2 share: the arguments, the weights and the call."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

from py_layernorm import checks, functional, registry, which_keras
from py_layernorm.axes import Axes, Axis

# Any, for type checkers: Keras's own layer comes after this class among the bases.
_Base: Any = object


class SharedLayer(_Base):
    """Comes before Keras's own layer normalisation among the bases of `LayerNormalization`."""

    which: ClassVar[ModuleType]  # the Keras of the layer
    uncast: ClassVar[dict[str, bool]]  # what keeps a weight in float32 under mixed precision

    # For a layer that was Keras's until `accelerate` changed its class.
    param_axis: Axis | None = None
    # Set by `accelerate`: input that this class rejects still goes to Keras's code.
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
        # Keras's own configs contain rms_scaling=False, so False is accepted.
        if checks.flag(kwargs.pop("rms_scaling", False), "rms_scaling"):
            raise ValueError(
                "rms_scaling must be False: use keras.layers.RMSNormalization for RMS "
                "normalisation. Received: rms_scaling=True"
            )
        which_keras.usable(self.which)
        which_keras.same(self.which, **kwargs)
        axis = checks.axis(axis)
        super().__init__(
            axis=axis,
            epsilon=checks.epsilon(epsilon, self.which),
            center=checks.flag(center, "center"),
            scale=checks.flag(scale, "scale"),
            beta_initializer=registry.lookup(self.which, beta_initializer, "beta_initializer"),
            gamma_initializer=registry.lookup(self.which, gamma_initializer, "gamma_initializer"),
            beta_regularizer=registry.lookup(self.which, beta_regularizer, "beta_regularizer"),
            gamma_regularizer=registry.lookup(self.which, gamma_regularizer, "gamma_regularizer"),
            beta_constraint=registry.lookup(self.which, beta_constraint, "beta_constraint"),
            gamma_constraint=registry.lookup(self.which, gamma_constraint, "gamma_constraint"),
            trainable=checks.flag(trainable, "trainable"),
            name=name,
            **kwargs,
        )
        checks.compute_dtype(self)
        self.axis = axis  # as it was passed: Keras turns a tuple into a list
        self.param_axis = None if param_axis is None else checks.axis(param_axis, "param_axis")

    def axes(self, shape: Sequence[int | None]) -> Axes:
        """Where the layer normalises an input of `shape`; computed once for each rank."""
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
                **self.uncast,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                **self.uncast,
            )

    def build_from_config(self, config: dict[str, Any]) -> None:
        if type(self).build is which_keras.layer_class(self.which).build:
            self.build(checks.built_shape(config))
        else:  # of a subclass, which may have several inputs
            super().build_from_config(config)

    def check_input(self, x: Any) -> None:
        """Raise what `call` would raise for `x`, before Keras creates weights for it."""
        which_keras.same(self.which, inputs=x)
        checks.tensor(x, "inputs")

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

    def load_own_variables(self, store: Any) -> None:
        """Load all weights or none: Keras assigns `gamma` before it checks `beta`."""
        before = self.get_weights()
        try:
            super().load_own_variables(store)
        except BaseException:
            self.set_weights(before)
            raise

    def before_restore(self) -> None:
        """Prepare for `restore`, which makes the layer Keras's own."""

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["axis"] = self.axis if isinstance(self.axis, (int, tuple)) else list(self.axis)
        # Left out when unused, so that Keras's own layer can be created from our config.
        if self.param_axis is not None:
            config["param_axis"] = (
                self.param_axis
                if isinstance(self.param_axis, (int, tuple))
                else list(self.param_axis)
            )
        return config
