"""Derivatives on each engine, against finite differences of the reference: dx, dgamma and dbeta,
their derivatives, forward mode, and within TensorFlow's loops, branches, maps and data sets."""

import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import Case

import py_layernorm

# Of the largest value. A derivative is a sum of some ten terms, each rounded; in half precision
# dy and dx are rounded too, and so is the first derivative that the second one is taken of.
LIMIT = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-6, "float64": 1e-9}
DTYPES = tuple(LIMIT)
STEP = 1e-6  # central differences in long double: off by its square
CASES = [
    Case((3, 4)),
    Case((2, 3, 4), axis=1),
    Case((2, 3, 4), axis=(0, 2)),
    Case((2, 3, 4), axis=(1, 2), param_axis=-1),
    Case((2, 3, 4), axis=-1, param_axis=(0, 1)),
]


def arrays(case, dtype):
    """x, gamma, beta, dy in `dtype` (the weights in at least float32), and v like x."""
    case = Case(case.shape, case.axis, case.param_axis, dtype=dtype)
    x, gamma, beta, dy = case.arrays()
    v = case.arrays(seed=1)[0]
    weight = "float64" if dtype == "float64" else "float32"
    return x, gamma.astype(weight), beta.astype(weight), dy, v


def difference(function, argument, direction):
    """The derivative of `function` of `argument` along `direction`."""
    argument = np.asarray(argument).astype(np.longdouble)
    step = STEP * np.asarray(direction).astype(np.longdouble)
    plus, minus = (np.asarray(function(a)) for a in (argument + step, argument - step))
    return (plus - minus) / (2 * STEP)


def gradient(function, argument):
    """The gradient of a scalar `function`, element by element."""
    units = np.eye(argument.size).reshape(argument.size, *argument.shape)
    return np.stack([difference(function, argument, unit) for unit in units]).reshape(
        argument.shape
    )


def agree(came, wanted, dtype, size=1.0):
    wanted = np.asarray(wanted)
    off = np.abs(np.asarray(came).astype(wanted.dtype) - wanted).max()
    assert off <= LIMIT[dtype] * max(size, np.abs(wanted).max())


def arguments_of(case):
    return {"axis": case.axis, "param_axis": case.param_axis}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_first(case, dtype, engine):
    arrays_ = arrays(case, dtype)
    x, gamma, beta, dy = map(tf.constant, arrays_[:4])
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y = py_layernorm.layer_norm(x, gamma, beta, **arguments_of(case))
    came = tape.gradient(y, [x, gamma, beta], output_gradients=dy)
    values = [a.astype(np.longdouble) for a in arrays_[:3]]
    dy = arrays_[3].astype(np.longdouble)
    for number, derivative in enumerate(came):

        def loss(argument, number=number):
            changed = [*values[:number], argument, *values[number + 1 :]]
            return (dy * reference.layer_norm(*changed, **arguments_of(case))).sum()

        agree(derivative, gradient(loss, values[number]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_second(case, dtype, engine):
    """Of sum(v * dx) + sum(dgamma), whose own gradients reach x, gamma and dy."""
    arrays_ = arrays(case, dtype)
    x, gamma, beta, dy, v = map(tf.constant, arrays_)
    with tf.GradientTape() as outer:
        outer.watch([x, gamma, dy])
        with tf.GradientTape() as inner:
            inner.watch([x, gamma])
            y = py_layernorm.layer_norm(x, gamma, beta, **arguments_of(case))
        dx, dgamma = inner.gradient(y, [x, gamma], output_gradients=dy)
        total = tf.reduce_sum(tf.cast(v * dx, gamma.dtype)) + tf.reduce_sum(dgamma)
    came = outer.gradient(total, [x, gamma, dy])
    values = [arrays_[i].astype(np.longdouble) for i in (0, 3, 1)]  # x, dy, gamma
    v = arrays_[4].astype(np.longdouble)
    for number, derivative in zip((0, 2, 1), came, strict=True):

        def loss(argument, number=number):
            changed = [*values[:number], argument, *values[number + 1 :]]
            dx, dgamma, _ = reference.gradients(*changed, **arguments_of(case))
            return (v * dx).sum() + dgamma.sum()

        agree(derivative, gradient(loss, values[number]), dtype)


def test_third():
    def third(engine):
        with py_layernorm.use_engine(engine):
            x = tf.constant(np.random.default_rng(0).normal(size=(1, 3)))
            with tf.GradientTape() as c:
                c.watch(x)
                with tf.GradientTape() as b:
                    b.watch(x)
                    with tf.GradientTape() as a:
                        a.watch(x)
                        loss = tf.reduce_sum(py_layernorm.layer_norm(x) ** 3)
                    loss = tf.reduce_sum(a.gradient(loss, x) ** 2)
                loss = tf.reduce_sum(b.gradient(loss, x) ** 2)
            return c.gradient(loss, x)

    np.testing.assert_allclose(third("auto"), third("portable"), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_mode(case, dtype, engine):
    arrays_ = arrays(case, dtype)
    x, gamma, beta, _, v = map(tf.constant, arrays_)
    values = [a.astype(np.longdouble) for a in arrays_[:3]]
    for number, (primal, tangent) in enumerate(((x, v), (gamma, gamma + 1), (beta, beta))):
        with tf.autodiff.ForwardAccumulator(primal, tangent) as accumulator:
            y = py_layernorm.layer_norm(x, gamma, beta, **arguments_of(case))

        def function(argument, number=number):
            changed = [*values[:number], argument, *values[number + 1 :]]
            return reference.layer_norm(*changed, **arguments_of(case))

        wanted = difference(function, values[number], tangent)
        agree(accumulator.jvp(y), wanted, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_jacobian(case, dtype, engine):
    arrays_ = arrays(case, dtype)
    x, gamma, beta = map(tf.constant, arrays_[:3])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, gamma])
        y = py_layernorm.layer_norm(x, gamma, beta, **arguments_of(case))
    dx, dgamma = tape.jacobian(y, [x, gamma])
    values = [a.astype(np.longdouble) for a in arrays_[:3]]
    for number, derivative in ((0, dx), (1, dgamma)):
        units = np.eye(values[number].size).reshape(-1, *values[number].shape)

        def function(argument, number=number):
            changed = [*values[:number], argument, *values[number + 1 :]]
            return reference.layer_norm(*changed, **arguments_of(case))

        columns = [difference(function, values[number], unit) for unit in units]
        wanted = np.stack(columns, axis=-1).reshape(derivative.shape)
        agree(derivative, wanted, dtype)
    if 0 not in reference.resolve(case.axis, 3):
        of_rows = [np.take(dx[row], row, axis=x.ndim - 1) for row in range(x.shape[0])]
        np.testing.assert_allclose(tape.batch_jacobian(y, x), of_rows, rtol=1e-5, atol=1e-6)


@tf.function
def while_loop(x, gamma):
    return tf.while_loop(
        lambda i, _: i < 1, lambda i, x: (i + 1, py_layernorm.layer_norm(x, gamma)), (0, x)
    )[1]


@tf.function
def branch(x, gamma):
    return tf.cond(
        tf.reduce_sum(x) < 1e4, lambda: py_layernorm.layer_norm(x, gamma), lambda: tf.zeros_like(x)
    )


def mapped(x, gamma):
    return tf.vectorized_map(lambda row: py_layernorm.layer_norm(row, gamma), x)


def recomputed(x, gamma):
    return tf.recompute_grad(py_layernorm.layer_norm)(x, gamma)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(
    "function", [while_loop, branch, mapped, recomputed], ids=["while", "cond", "map", "recompute"]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_within(function, dtype, graph, engine):
    """Values and gradients are those outside of it."""
    x, gamma, _, dy, _ = arrays(Case((6, 5)), dtype)
    if isinstance(function, tf.types.experimental.PolymorphicFunction):
        function = tf.function(function.python_function)  # one that no other engine has traced

    def both(x, gamma):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma])
            y = function(x, gamma)
        return y, *tape.gradient(y, [x, gamma], output_gradients=tf.constant(dy))

    y, dx, dgamma = (tf.function(both) if graph else both)(tf.constant(x), tf.constant(gamma))
    wanted = (reference.layer_norm(x, gamma), *reference.gradients(x, dy, gamma)[:2])
    for came, value in zip((y, dx, dgamma), wanted, strict=True):
        agree(came, value, dtype)


def called(x, gamma):
    return tf.function(py_layernorm.layer_norm)(x, gamma)


def nested(x, gamma):
    return tf.function(tf.function(py_layernorm.layer_norm))(x, gamma)


def with_own_gradient(x, gamma):
    @tf.custom_gradient
    def doubled(y):
        return 2 * y, lambda dy: 2 * dy

    return tf.function(lambda x: doubled(py_layernorm.layer_norm(x, gamma)) / 2)(x)


AROUND = [called, nested, with_own_gradient]


@pytest.mark.parametrize("function", AROUND, ids=lambda function: function.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_around_a_function(function, dtype, engine):
    """Forward mode, forward over reverse and reverse over reverse, asked for from outside it."""
    x, gamma, _, dy, v = arrays(Case((6, 5)), dtype)
    values = [a.astype(np.longdouble) for a in (x, dy, gamma)]
    x, gamma, dy, v = map(tf.constant, (x, gamma, dy, v))

    def dx():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x, gamma)
        return tape.gradient(y, x, output_gradients=dy)

    with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
        y, first = function(x, gamma), dx()
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(dx() * v)
    wanted = difference(lambda x: reference.layer_norm(x, values[2]), values[0], v)
    agree(accumulator.jvp(y), wanted, dtype)
    wanted = difference(lambda x: reference.gradients(x, *values[1:])[0], values[0], v)
    agree(accumulator.jvp(first), wanted, dtype)
    agree(tape.gradient(total, x), wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_dataset(dtype, engine):
    x = arrays(Case((6, 5)), dtype)[0]
    data = tf.data.Dataset.from_tensor_slices(x).batch(2).map(py_layernorm.layer_norm)
    agree(np.concatenate(list(data)), reference.layer_norm(x), dtype)
