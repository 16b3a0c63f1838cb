"""Calls the public functions and the op with generated arguments; `make fuzz` runs it.

    scripts/run python tests/fuzz/fuzz.py -max_total_time=600      libFuzzer's options
    scripts/run python tests/fuzz/fuzz.py build/fuzz/crash-...     one input again

Each call must end in a right result or in an error of the documented kind: anything else, a dead
process above all, is a finding. Whether a call is in order is decided here, apart from the checks
of the library, so that accepting too much is a finding as well as crashing.
"""

import contextlib
import os
import sys

import numpy as np
from oracle import check_values, expect, in_order
from source import DTYPES, Source

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def function(source):
    """`layer_norm` on anything."""
    import keras

    import py_layernorm

    x = source.array() if source.integer(0, 3) else source.anything()
    arguments = {}
    for name in ("axis", "param_axis"):
        if source.flag():
            arguments[name] = source.axes()
    for name in ("gamma", "beta"):
        if source.flag():
            arguments[name] = (
                source.array(shape=list(np.shape(x)[-1:]))
                if isinstance(x, np.ndarray) and source.flag()
                else source.anything()
            )
    if source.flag():
        arguments["epsilon"] = source.anything()
    right = in_order(x, arguments)
    try:
        y = py_layernorm.layer_norm(x, **arguments)
    except (TypeError, ValueError) as error:
        expect(not right, f"refused what is in order: {arguments}: {error!r}")
        expect("Received: " in str(error), f"{error!r} does not say what came")
        return
    expect(right, f"took what is out of order: {arguments}")
    assert tuple(y.shape) == tuple(x.shape)
    if not isinstance(y, keras.KerasTensor) and y.shape.num_elements():
        check_values(y, x, **arguments)


LAYER_ARGUMENTS = (
    "axis", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
    "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint", "trainable",
    "name", "param_axis", "dtype", "rms_scaling",
)  # fmt: skip


def layer(source):
    """The layer, made by the helper, and a call of the result."""
    import keras

    import py_layernorm

    arguments = {}
    for _ in range(source.integer(0, 3)):
        name = source.one_of(LAYER_ARGUMENTS)
        arguments[name] = source.axes() if "axis" in name else source.anything()
    first = source.anything() if source.flag() else None
    before = list(first.layers) if isinstance(first, keras.Sequential) else None
    try:
        result = py_layernorm.layer_layer_normalization(first, **arguments)
    except (TypeError, ValueError):
        assert before is None or list(first.layers) == before
        return
    if not isinstance(result, py_layernorm.LayerNormalization):
        return
    config = result.get_config()
    # Keras saves neither an initializer made of an array, nor a layer in the place of one.
    if not any(text in repr(config) for text in ("'function'", "'keras.layers'", "'keras'")):
        assert type(result).from_config(config).get_config() == config
    x = source.array()
    with contextlib.suppress(TypeError, ValueError):
        assert tuple(result(x).shape) == x.shape


def others(source):
    """The functions that take a model or a name."""
    import py_layernorm

    name = source.one_of(("accelerate", "restore", "use_engine", "compose_layer"))
    arguments = [source.anything() for _ in range(1 + (name == "compose_layer"))]
    try:
        getattr(py_layernorm, name)(*arguments)
    except (TypeError, ValueError):
        pass
    finally:
        py_layernorm.use_engine("auto")


def op_arguments(source):
    """Shapes, dtypes and attributes: in order more often than chance would have it."""
    shape = source.shape()
    begin = source.integer(-1, 5)
    end = begin + source.integer(-1, 3)
    dtype = source.one_of(DTYPES[:4])
    weight = "float64" if dtype == "float64" else "float32"
    scale = source.flag()
    if source.integer(0, 9) == 0:
        begin, end = source.integer(-(2**63), 2**63 - 1), source.integer(-(2**63), 2**63 - 1)
    # Where the axes are out of order, anything is: no arrays of more rows than elements.
    proper = 0 <= begin <= end
    inside = shape[begin:end] if proper else []
    rows = int(np.prod(shape[:begin] + shape[end:])) if proper else source.integer(0, 3)
    epsilon = source.one_of((1e-3, 0.0, 1e-14, -1.0, float("nan"), float("inf"), -0.0))

    def bent(right):
        """`right`, or another shape."""
        return right if source.integer(0, 7) else source.shape(3)

    def of(right):
        return right if source.integer(0, 15) else source.one_of(DTYPES[:4])

    def params(count):
        count += source.one_of((-1, 1)) if source.integer(0, 15) == 0 else 0
        kind = of(weight)
        return [source.array(kind, bent(inside)) for _ in range(max(count, 0))]

    settings = [begin, end, int(np.array(epsilon).view("int64")), int(scale)]
    in_order = 0 <= begin < end <= len(shape) and epsilon >= 0
    if source.integer(0, 31) == 0:
        settings = source.one_of((settings[:3], [*settings, 0], [*settings[:3], 2]))
        in_order = False
    return shape, dtype, weight, inside, rows, bent, of, params, scale, settings, in_order


def fits(array, dtype, shape):
    return array.dtype.name == dtype and list(array.shape) == list(shape)


def op(source):
    """The op forward: in order means no error, out of order InvalidArgumentError."""
    import tensorflow as tf

    from py_layernorm.engines import tensorflow

    shape, dtype, weight, inside, rows, _, of, params, scale, settings, in_order = op_arguments(
        source
    )
    x = source.array(of(dtype), shape)
    weights = params(scale + source.flag())
    wanted = source.one_of((0, 1, 1, 2))
    weight = "float64" if x.dtype == "float64" else "float32"
    in_order &= len(weights) - scale in (0, 1) and wanted < 2
    in_order &= all(fits(w, weight, inside) for w in weights)
    try:
        y, stats = tensorflow.load().py_layernorm(
            x=tf.constant(x), params=list(map(tf.constant, weights)), S=wanted, settings=settings
        )
    except (tf.errors.InvalidArgumentError, TypeError) as error:
        expect(not in_order, f"refused what is in order: {settings}: {error}")
        return
    assert in_order, f"took what is out of order: {settings}"
    assert list(y.shape) == shape
    assert [list(s.shape) for s in stats] == wanted * [[2, rows]]


def gradient_op(source):
    """The op backward, the same way."""
    import tensorflow as tf

    from py_layernorm.engines import tensorflow

    shape, dtype, _, inside, rows, bent, of, params, scale, settings, in_order = op_arguments(
        source
    )
    x = source.array(dtype, shape)
    dy = source.array(of(dtype), bent(shape))
    gamma = params(int(source.flag()))
    stats = source.array("float64", bent([2, rows]))
    center = source.flag()
    weight = "float64" if dtype == "float64" else "float32"
    due = of(weight)
    in_order &= fits(dy, dtype, shape) and len(gamma) <= 1
    in_order &= all(fits(g, weight, inside) for g in gamma) and due == weight
    in_order &= list(stats.shape) == [2, rows]
    try:
        dx, dgamma, dbeta = tensorflow.load().py_layernorm_grad(
            dy=tf.constant(dy),
            x=tf.constant(x),
            gamma=list(map(tf.constant, gamma)),
            stats=tf.constant(stats),
            center=center,
            G=due,
            settings=settings,
        )
    except (tf.errors.InvalidArgumentError, TypeError) as error:
        expect(not in_order, f"refused what is in order: {settings}: {error}")
        return
    assert in_order, f"took what is out of order: {settings}"
    assert list(dx.shape) == shape
    assert list(dgamma.shape) == (inside if scale else [0])
    assert list(dbeta.shape) == (inside if center else [0])


# Inputs long enough for a whole call from the start.
OPTIONS = (
    "-print_final_stats=1",
    "-rss_limit_mb=8192",
    "-len_control=0",
    "-max_len=300",
    "-reduce_inputs=0",
)
TARGETS = (function, layer, others, op, gradient_op, op, gradient_op)


def main():
    import importlib.util
    import warnings

    import atheris

    # An editable install's own importer hides the sources from atheris, which then counts no
    # coverage: they are imported from their folder, and told where what was compiled lies.
    folders = importlib.util.find_spec("py_layernorm").submodule_search_locations
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__]
    sys.path[:0] = [os.path.dirname(TESTS), TESTS]
    with atheris.instrument_imports(include=["py_layernorm"]):
        import py_layernorm
        import py_layernorm.engines.tensorflow
    py_layernorm.__path__ = list(folders)
    reason = py_layernorm.engines.fused_unavailable()
    if reason:
        raise SystemExit(f"the native op is not there to be tried: {reason}")
    warnings.simplefilter("ignore")

    def once(data):
        source = Source(atheris.FuzzedDataProvider(data))
        source.one_of(TARGETS)(source)

    atheris.Setup([*sys.argv, *OPTIONS], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
