"""The cases that ONNX, PyTorch and Keras test their own layer normalisation with, run here.

docs/tests.md says which test stands for which of theirs.
"""

import itertools

import numpy as np
import pytest
import ulps
from cases import to_dtype

import py_layernorm
from py_layernorm import engines

# ---- ONNX: the package's own cases, inputs, attributes and expected outputs


def onnx_cases():
    """(name, axis, epsilon, inputs, outputs) of every case, as the package makes them."""
    import onnx
    import onnx.backend.test.case.node.layernormalization as module

    made = []

    def expect(node, inputs, outputs, name):
        found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        # The defaults of the operator.
        made.append((name, found.get("axis", -1), found.get("epsilon", 1e-5), inputs, outputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "expect", expect)
        np.random.seed(0)
        cases = module.LayerNormalization
        for export in (cases.export, cases.export_default_axis, cases.export2d):
            export()
        cases.export3d_epsilon()
    return made


ONNX = onnx_cases()

# Theirs is computed in float32 too: the two differ by the roundings of both. ONNX itself allows
# 1e-3.
ONNX_LIMIT = 2 * ulps.LIMIT["float32"]


def test_onnx_has_nineteen_cases():
    assert len(ONNX) == len({name for name, *_ in ONNX}) == 19


@pytest.mark.parametrize("case", ONNX, ids=lambda case: case[0])
def test_onnx(case, engine):
    _, axis, epsilon, (x, gamma, beta), (expected, _, _) = case
    axes = tuple(range(axis % x.ndim, x.ndim))
    arguments = (x, np.zeros_like(x), gamma, beta)
    _, (size, *_) = ulps.expected(*arguments, axis=axes, epsilon=epsilon)
    y = py_layernorm.layer_norm(x, gamma, beta, axis=axes, epsilon=epsilon)
    off = np.abs(np.asarray(y) - expected) / (size * ulps.ULP["float32"])
    assert off.max() <= ONNX_LIMIT


@pytest.mark.skipif(engines.fused_unavailable() is not None, reason="mean and rstd are the op's")
@pytest.mark.parametrize("case", ONNX, ids=lambda case: case[0])
def test_onnx_mean_and_inverse_deviation(case):
    """ONNX gives them out; here they are what the op keeps for its gradient."""
    import tensorflow as tf

    from py_layernorm.engines import tensorflow

    _, axis, epsilon, (x, _, _), (_, mean, rstd) = case
    (came,) = (
        tensorflow.load()
        .py_layernorm(
            x=tf.constant(x),
            params=[],
            S=1,
            settings=[axis % x.ndim, x.ndim, int(np.float64(epsilon).view("int64")), 0],
        )
        .stats
    )
    for value, wanted in zip(came, (mean, rstd), strict=True):
        np.testing.assert_allclose(value, wanted.ravel(), rtol=1e-5, atol=1e-6)


# ---- PyTorch: the samples of nn.functional.layer_norm and of native_layer_norm

# Input's shape, normalized_shape, eps; None stands for the default.
SHAPES = [
    ((1, 2, 3), (1, 2, 3), 0.5),
    ((2, 2, 3), (2, 3), -0.5),
    ((1,), (1,), None),
    ((1, 2), (2,), None),
    ((0, 1), (1,), None),
]
PYTORCH = [
    # layer_norm: each with weight and bias, and one without.
    *((*shapes, True, True) for shapes in SHAPES),
    ((1, 2), (2,), None, False, False),
    # native_layer_norm: each with both, one of the two, none.
    *(
        (*shapes, weight, bias)
        for shapes, weight, bias in itertools.product(SHAPES, (True, False), (True, False))
    ),
]
PYTORCH_DTYPES = ("float16", "bfloat16", "float32", "float64")


def pytorch_sample(sample, dtype):
    """The arguments of `ulps.run`; numbers from -9 to 9, as make_tensor has them."""
    shape, normalized, epsilon, weight, bias = sample
    random = np.random.default_rng(0)
    x, dy = (to_dtype(random.uniform(-9, 9, shape), dtype) for _ in range(2))
    wide = "float64" if dtype == "float64" else "float32"
    gamma, beta = random.uniform(-9, 9, (2, *normalized)).astype(wide)
    axes = tuple(range(len(shape) - len(normalized), len(shape)))
    keywords = {"axis": axes, "epsilon": 1e-5 if epsilon is None else epsilon}
    return (x, dy, gamma if weight else None, beta if bias else None), keywords


@pytest.mark.parametrize("dtype", PYTORCH_DTYPES)
def test_pytorch_operator_samples(dtype, engine):
    ran = refused = 0
    for sample in PYTORCH:
        arguments, keywords = pytorch_sample(sample, dtype)
        if keywords["epsilon"] < 0:
            # PyTorch takes it, and gives NaN for rows of a small variance.
            with pytest.raises(ValueError, match=r"epsilon must be a finite number, zero or"):
                ulps.run(*arguments, **keywords)
            refused += 1
        else:
            came = ulps.run(*arguments, **keywords)
            assert not ulps.faults(came, ulps.expected(*arguments, **keywords)), sample
            ran += 1
    assert (ran, refused) == (21, 5)


@pytest.mark.parametrize(
    ("shape", "axis", "gamma", "beta", "message"),
    [
        ((1, 2, 3), (), None, None, r"axis must name at least one axis\. Received: axis=\(\)"),
        ((1, 2, 3), (0, 1, 2), (1, 2), None, r"gamma must have the shape \(1, 2, 3\).*\(1, 2\)"),
        ((1, 2, 3), (0, 1, 2), None, (1, 2), r"beta must have the shape \(1, 2, 3\).*\(1, 2\)"),
        # normalized_shape says what gamma's shape says here.
        ((2, 2, 3), (1, 2), (2, 2), None, r"gamma must have the shape \(2, 3\).*\(2, 2\)"),
    ],
    ids=["no axis", "weight", "bias", "normalized_shape"],
)
def test_pytorch_error_inputs(shape, axis, gamma, beta, message, engine):
    gamma, beta = (None if s is None else np.ones(s, "float32") for s in (gamma, beta))
    with pytest.raises(ValueError, match=message):
        py_layernorm.layer_norm(np.ones(shape, "float32"), gamma, beta, axis=axis)


@pytest.mark.parametrize("dtype", PYTORCH_DTYPES)
@pytest.mark.parametrize(
    ("shape", "rank", "scale", "center"),
    [
        ((4, 5, 5), 1, True, True),
        ((128, 5, 5), 1, True, True),
        ((4, 5, 5), 1, False, False),
        ((4, 2, 2, 5), 3, True, True),
        ((4, 2, 2, 5), 3, False, False),
        ((0, 5), 1, True, True),
        ((4, 2, 2, 5), 3, True, False),
    ],
    ids=["1d", "large batch", "1d plain", "3d", "3d plain", "empty", "no bias"],
)
def test_pytorch_module_inputs(shape, rank, scale, center, dtype, engine):
    policy = f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype
    layer = py_layernorm.LayerNormalization(
        list(range(-rank, 0)), 1e-3, center, scale, dtype=policy
    )
    sample = (shape, shape[-rank:], 1e-3, scale, center)
    arguments, keywords = pytorch_sample(sample, dtype)
    layer.build(shape)
    layer.set_weights([w for w in arguments[2:] if w is not None])
    y = layer(arguments[0])
    assert y.shape == shape
    wanted = ulps.expected(*arguments, **keywords)
    assert not ulps.faults((y, None, None, None), wanted)


# ---- Keras: the configurations of its layer's test, by Keras's own check

KERAS = [
    ({"gamma_regularizer": "l2", "beta_regularizer": "l2"}, (3, 4, 2), 2, 2),
    ({"gamma_initializer": "ones", "beta_initializer": "ones"}, (3, 4, 2), 2, 0),
    ({"scale": False, "center": False}, (3, 3), 0, 0),
    ({"axis": (-3, -2, -1)}, (2, 8, 8, 3), 2, 0),
    ({}, (1, 0, 10), 2, 0),
]


# What Keras's check itself does.
@pytest.mark.filterwarnings(
    "ignore:`shuffle=True` was passed:UserWarning",
    "ignore:The model does not have any trainable weights:UserWarning",
)
@pytest.mark.parametrize(("arguments", "shape", "weights", "losses"), KERAS, ids=str)
def test_keras_configurations(arguments, shape, weights, losses, engine):
    """Shapes, dtypes, files, masks, training and mixed precision, as Keras checks its layers."""
    # There is no public name for the check.
    from keras.src.testing import TestCase

    TestCase().run_layer_test(
        py_layernorm.LayerNormalization,
        init_kwargs=arguments,
        input_shape=shape,
        expected_output_shape=shape,
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=losses,
        supports_masking=True,
    )


def test_keras_sixth_configuration_is_refused():
    with pytest.raises(ValueError, match=r"rms_scaling must be False: use keras\.layers\.RMS"):
        py_layernorm.LayerNormalization(rms_scaling=True)


def test_keras_output(engine):
    layer = py_layernorm.LayerNormalization(beta_initializer="ones")
    x = np.arange(5, dtype="float32")[None]
    np.testing.assert_allclose(layer(x), [[-0.41386, 0.29307, 1.0, 1.70693, 2.41386]], atol=1e-5)


def test_keras_correctness(engine):
    """Theirs at 1e-1, ours at 1e-5: a million roundings of 6e-8 that cancel."""
    x = np.random.default_rng(0).normal(5, 10, (1000, 2, 2, 2)).astype("float32")
    y = np.asarray(py_layernorm.LayerNormalization(epsilon=0)(x), "float64")
    assert abs(y.mean()) < 1e-5
    assert abs(y.std() - 1) < 1e-5


def test_keras_weights_are_not_autocast(engine):
    """Constant rows give beta, and NaN for a gamma that float16 would make infinite."""
    import tensorflow as tf

    layer = py_layernorm.LayerNormalization(dtype="mixed_float16")
    layer.build((1, 4, 4, 3))
    layer.set_weights([np.full(3, 70000.0), np.full(3, 2.0)])
    x = np.ones((1, 4, 4, 3), "float16")
    for call in (layer, tf.function(layer)):
        np.testing.assert_array_equal(call(x), 2 * x)
