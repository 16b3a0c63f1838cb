"""Every private name of Keras and TensorFlow that this package uses, and why it needs it.

Each is guarded: where a release no longer has it, something slower but right takes its place.
tests/engines/test_keras_internals.py and tests/layer/test_models_internals.py fail by name then.
"""

import functools
import operator
import sys
from collections.abc import Callable, Container
from types import CodeType, FrameType
from typing import Any

from keras import KerasTensor


def levels_to_caller() -> int:
    """The `stacklevel` at which a warning of the calling function names the user's line.

    `warnings.warn(skip_file_prefixes=...)` does the same from Python 3.12 on.
    """
    level, frame = 0, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("py_layernorm"):
        level, frame = level + 1, frame.f_back
    return level + 1


def is_sparse_or_ragged(x: KerasTensor) -> bool:
    """Whether a symbolic tensor stands for sparse or ragged ones; older Keras has no `ragged`."""
    return bool(getattr(x, "sparse", False) or getattr(x, "ragged", False))


def is_rematerialised(layer: Any) -> bool:
    """Whether the layer was made within a `keras.RematScope`, which changes how it is called."""
    return getattr(layer, "_remat_mode", None) is not None


def in_legacy_format() -> bool:
    """Whether Keras is writing or reading an `.h5` file; it has no public way to ask.

    True where this cannot be told: what a legacy file needs does no harm elsewhere.
    """
    try:
        from keras.src.backend.common.global_state import get_global_attribute
    except ImportError:
        return True
    return bool(get_global_attribute("use_legacy_config", False))


def functional_class() -> type | None:
    """The class of `keras.Model(inputs, outputs)`, which has no public name; None if not found."""
    try:
        from keras.src.models.functional import Functional
    except ImportError:
        return None
    return Functional


# ---- Models and the layers within them ----------------------------------------------------------

# What Keras compiles once for a model and keeps. It must be dropped when a layer changes, and Keras
# has no public way to do so short of compile(), which also recreates the optimizer. NumPy's and
# OpenVINO's models have no function for training; OpenVINO's keep a compiled model besides.
COMPILED = ("train_function", "test_function", "predict_function", "ov_compiled_model")


def flatten_layers(layer: Any) -> list[Any]:
    """`layer` and every layer within it, at any depth.

    The public `layers` stops at composite layers, which hold layers as attributes. Without the
    private name those are not reached.
    """
    try:
        return layer._flatten_layers()
    except AttributeError:
        found = [layer]
        for part in getattr(layer, "layers", []):
            found += [p for p in flatten_layers(part) if not any(p is f for f in found)]
        return found


def sublayers(layer: Any) -> list[Any]:
    """The layers that `layer` holds itself. There is no public name for those of a composite."""
    return list(getattr(layer, "_layers", getattr(layer, "layers", [])))


def tracker(layer: Any) -> Any:
    """What notices the weights and layers that `layer` is given; None if Keras no longer has it.

    It remembers what it has seen, so undoing a change needs it.
    """
    return getattr(layer, "_tracker", None)


def symbolic_inputs(layer: Any) -> list[Any]:
    """The tensors that `layer` was called with in functional models, from all of its calls.

    The public `layer.input` gives those of the first call only.
    """
    nodes = getattr(layer, "_inbound_nodes", [])
    return [tensor for node in nodes for tensor in getattr(node, "input_tensors", [])]


def forget_compiled_functions(model: Any) -> None:
    """Drop what Keras compiled for training, testing and predicting; the next use rebuilds it."""
    for name in COMPILED:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)


def new_name(kind: str, taken: Container[str]) -> str | None:
    """The next of the names that Keras makes up for a layer of a class, unlike those `taken`.

    Keras counts names for the whole process, and publicly only by making a layer. Without the
    private name the layer takes what Keras gives it: None.
    """
    try:
        from keras.src.utils.naming import auto_name
    except ImportError:
        return None
    name = auto_name(kind)
    while name in taken:
        name = auto_name(kind)
    return name


# ---- TensorFlow ---------------------------------------------------------------------------------


def is_ordinary_variable(variable: Any) -> bool:
    """Whether it is one variable of TensorFlow, not one of a distribution strategy's."""
    try:
        from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable
    except ImportError:
        return False
    return isinstance(variable, BaseResourceVariable)


def tracing_for_xla() -> bool:
    """Whether a function with `jit_compile=True`, or one within such a function, is being traced.

    TensorFlow has no public name for this.
    """
    try:
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:
        return True  # slow is better than wrong
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


# Modules of TensorFlow that ask for a function's graph in order to run it in this process.
_RUNS_HERE = ("tensorflow.python.data.", "tensorflow.python.distribute.", "tensorflow.python.ops.")


def tracing_for_export() -> bool:
    """Whether the function that is being traced was asked for as a graph, rather than called.

    Whatever takes a graph out of the process asks for it by `get_concrete_function`: Keras's and
    TensorFlow's own saving, and the converters to TFLite, ONNX and OpenVINO. Only the callers tell.
    """
    asking = _get_concrete_function()
    if asking is None:
        return True  # slow is better than a file that does not load
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is asking:
            while frame.f_back and _module(frame).startswith("tensorflow.python.eager."):
                frame = frame.f_back
            if not _module(frame).startswith(_RUNS_HERE):
                return True
        frame = frame.f_back
    return False


@functools.cache
def _get_concrete_function() -> CodeType | None:
    """The code through which every request for a graph passes, or None."""
    try:
        import tensorflow as tf

        function = type(tf.function(lambda: None))._get_concrete_function_garbage_collected
        return function.__code__
    except (ImportError, AttributeError):
        return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def tensorflow_is_initialised() -> bool:
    """Whether TensorFlow has made its threads: from then on their number cannot change."""
    try:
        from tensorflow.python.eager import context

        return bool(context.context()._initialized)
    except (ImportError, AttributeError):
        return True


@functools.cache
def eager_op_maker() -> Callable[..., Callable[[Any], Any]] | None:
    """A function that makes `eager_op` below, tried out once; None where it does not work.

    TensorFlow runs an eager op by a call in C, which each op's Python wrapper prepares. For a
    small tensor that wrapper, and reading two variables one by one, take longer than the op.
    """
    try:
        import tensorflow as tf
        from keras.src.backend.common import global_state
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.eager import context, core

        run, no_tape = pywrap_tfe.TFE_Py_FastPathExecute, pywrap_tfe.TFE_Py_TapeSetIsEmpty
        eager_tensor = tf.__internal__.EagerTensor
        rank_of, enum_of = eager_tensor._rank, eager_tensor._datatype_enum
        handle_of = operator.attrgetter("_value.handle")  # of a variable of Keras's
        errors = (core._FallbackException, core._NotOkStatusException)
    except (ImportError, AttributeError):
        return None

    def make(
        op: str,
        dtype: Any,
        weights: list[Any],
        attributes: dict[int, tuple[Any, ...] | None],
        unwatched: tuple[Any, ...],
        watched: tuple[Any, ...],
        otherwise: Callable[[Any], Any],
    ) -> Callable[[Any], Any]:
        """How to call an op that takes a tensor of `dtype` and the values of `weights`.

        `attributes` holds the op's for each rank of the input, names and values in turn;
        `unwatched` or `watched` follow them, the latter where a tape may ask for the gradient.
        `otherwise` is called for what is not an ordinary tensor of such a dtype and rank.
        """
        enum = dtype.as_datatype_enum
        types = [tf.as_dtype(weight.dtype).as_datatype_enum for weight in weights]

        def eager_op(x: Any) -> Any:
            """The op's first output for an eager tensor.

            `otherwise` serves where there is more to do: while tracing, where Keras keeps the
            values of variables elsewhere (`stateless_call`), for masks, and for input of another
            dtype or rank. None where the op fails.
            """
            now = context._context
            if (
                type(x) is not eager_tensor
                or enum_of(x) != enum
                or not now._thread_local_data.is_eager
                # Its __dict__, because asking for a missing attribute takes microseconds.
                or global_state.GLOBAL_STATE_TRACKER.__dict__.get("stateless_scope") is not None
                or "_keras_mask" in x.__dict__
            ):
                return otherwise(x)
            known = attributes.get(rank_of(x))
            if known is None:
                return otherwise(x)
            try:
                if not no_tape():  # which has to see which variables are read
                    values = [weight._value for weight in weights]
                    return run(now, op, None, x, values, *known, *watched)[0]
                handles = [*map(handle_of, weights)]
                values = handles and run(now, "_ReadVariablesOp", None, handles, "dtypes", types)
                return run(now, op, None, x, values, *known, *unwatched)[0]
            except errors:
                return None

        return eager_op

    return make if _works(make) else None


def _works(make: Callable[..., Callable[[Any], Any]]) -> bool:
    """Whether an op of TensorFlow's own, called that way, gives what it should."""
    import tensorflow as tf
    from keras import Variable

    with tf.init_scope():
        weights = [Variable([2.0]), Variable([3.0])]
        try:
            concat = make("Concat", tf.int32, weights, {0: ()}, (), (), lambda x: None)
            joined = concat(tf.constant(0))
        except AttributeError:  # in one of the private objects
            return False
        return joined is not None and float(joined) == 2.0  # the first element of [2, 3]
