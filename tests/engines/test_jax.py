"""The kernel within JAX: each transformation against the same one of the formula in jax.numpy, what
a program holds for whom it is lowered, and the calls that it must refuse."""

import functools

import keras
import numpy as np
import pytest

import py_layernorm

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

import jax.numpy as jnp  # noqa: E402

CALLS = ("py_layernorm_forward_1", "py_layernorm_backward_1")

random = np.random.default_rng(0)
SHAPE = (6, 5, 8)
X, V = (jnp.asarray(random.normal(size=SHAPE) + shift, "float32") for shift in (3, 0))
G, B = (jnp.asarray(random.normal(size=8) + shift, "float32") for shift in (1, 0))
# Six of each, for vmap.
GS, BS = (jnp.stack([p * k for k in range(1, 7)]) for p in (G, B))


def ours(x, gamma=G, beta=B):
    return py_layernorm.layer_norm(x, gamma, beta)


def formula(x, gamma=G, beta=B):
    d = x - jnp.mean(x, -1, keepdims=True)
    return d / jnp.sqrt(jnp.mean(d * d, -1, keepdims=True) + 1e-3) * gamma + beta


def curved(f):
    """A scalar of what `f` returns, none of whose derivatives vanishes."""
    return lambda *a: jnp.sum(jnp.sin(f(*a)) ** 2 + f(*a) ** 3 / 10)


def grad(f, *a):
    return jax.grad(curved(f), tuple(range(len(a))))(*a)


def of_gradients(f):
    """A function of the gradients of `f`."""
    return lambda *a: sum(jnp.sum(jnp.sin(d)) for d in grad(f, *a))


def loop(f, x):
    return jax.lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, f(c[1]) * 2), (0, x))[1]


def scan(f, x, gamma):
    return jax.lax.scan(lambda c, _: (f(c + 1, gamma) * 1.5, c.sum()), x, None, length=5)[0]


def sliced_pullbacks(f):
    """What vmap saved for the backward pass, one element of it used outside."""
    pullbacks = jax.vmap(lambda x: jax.vjp(f, x, G)[1])(X)
    return jax.tree.map(lambda a: a[2], pullbacks)(V[2])


# Each takes `ours` or `formula`.
TRANSFORMATIONS = {
    "eager": lambda f: f(X),
    "jit": lambda f: jax.jit(lambda *a: f(*a))(X, G, B),
    "grad": lambda f: grad(f, X, G, B),
    "grad in jit": lambda f: jax.jit(lambda *a: grad(f, *a))(X, G, B),
    "grad of x": lambda f: grad(f, X),
    "grad of gamma": lambda f: jax.grad(curved(lambda g: f(X, g)))(G),
    "grad of beta": lambda f: jax.grad(curved(lambda b: f(X, G, b)))(B),
    "jvp": lambda f: jax.jvp(f, (X, G, B), (V, B, G)),
    "jvp of x": lambda f: jax.jvp(f, (X,), (V,)),
    "linearize": lambda f: jax.linearize(f, X, G, B)[1](V, B, G),
    "jacfwd": lambda f: jax.jacfwd(f, (0, 1, 2))(X[0, 0], G, B),
    "jacrev": lambda f: jax.jacrev(f, (0, 1, 2))(X[0], G, B),
    "hessian": lambda f: jax.hessian(curved(f), (0, 1))(X[0, 0], G),
    "reverse over reverse": lambda f: jax.jacrev(jax.jacrev(curved(f), (0, 1)), (0, 1))(X[0, 0], G),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(curved(f)))(X[0, 0]),
    "second": lambda f: jax.grad(of_gradients(f), (0, 1, 2))(X, G, B),
    "third": lambda f: grad(lambda x: jax.grad(of_gradients(f))(x), X),
    "vmap": lambda f: jax.vmap(f)(X),
    "vmap of another axis": lambda f: jax.vmap(f, in_axes=1, out_axes=2)(X),
    "vmap twice": lambda f: jax.vmap(jax.vmap(f))(X),
    "vmap of weights too": lambda f: jax.vmap(f)(X, GS, BS),
    "vmap of gamma alone": lambda f: jax.vmap(f, in_axes=(None, 0, None))(X, GS, B),
    "vmap of beta's last axis": lambda f: jax.vmap(f, in_axes=(0, None, 1))(X, G, BS.T),
    "vmap of weights over vmap": lambda f: jax.vmap(jax.vmap(f, (0, None, None)))(X, GS, BS),
    "vmap over vmap of weights": lambda f: jax.vmap(
        jax.vmap(f, (None, 0, 0)), in_axes=(0, None, None)
    )(X, GS, BS),
    "gradients of each example": lambda f: jax.vmap(
        lambda x, g, b: grad(f, x, g, b), (0, None, None)
    )(X, G, B),
    "gradients of each example and weights": lambda f: jax.vmap(lambda x, g, b: grad(f, x, g, b))(
        X, GS, BS
    ),
    "gradients of each row": lambda f: jax.vmap(
        jax.vmap(lambda x, g: grad(f, x, g), (0, None)), (0, 0)
    )(X, GS),
    "grad of vmap": lambda f: grad(jax.vmap(f, (1, None, None)), X, G, B),
    "grad of vmap of weights": lambda f: grad(jax.vmap(f), X, GS, BS),
    "grad of vmap of gamma": lambda f: grad(jax.vmap(f, (None, 0, None)), X, GS, B),
    "jvp of vmap": lambda f: jax.jvp(jax.vmap(f), (X, GS), (V, BS)),
    "vmap of jvp": lambda f: jax.vmap(lambda x, v: jax.jvp(f, (x,), (v,)))(X, V),
    "vmap of hessian": lambda f: jax.vmap(jax.hessian(curved(f)))(X[0]),
    "slices of vmapped pullbacks": sliced_pullbacks,
    "scan": lambda f: grad(lambda x, g: scan(f, x, g), X, G),
    "scan along x": lambda f: grad(lambda x: jax.lax.scan(lambda c, r: (c, f(r)), 0, x)[1], X),
    "while": lambda f: jax.jit(lambda x: loop(f, x))(X),
    "fori_loop": lambda f: grad(lambda x: jax.lax.fori_loop(0, 3, lambda i, x: f(x) * 2, x), X),
    "cond": lambda f: grad(lambda x: jax.lax.cond(x[0, 0, 0] > 0, f, lambda x: x, x), X),
    "map": lambda f: jax.lax.map(f, X),
    "remat": lambda f: grad(jax.checkpoint(lambda x: jnp.sin(f(jnp.sin(x)))), X),
    "without jit": lambda f: _without_jit(lambda: grad(f, X, G, B)),
    "ahead of time": lambda f: jax.jit(lambda x: f(x)).lower(X).compile()(X),
}


def _without_jit(call):
    with jax.disable_jit():
        return call()


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformation(name):
    came = jax.tree.leaves(TRANSFORMATIONS[name](ours))
    wanted = jax.tree.leaves(TRANSFORMATIONS[name](formula))
    # Third derivatives are sums of hundreds of terms, some a hundred times as large as the sum.
    limit = {"second": 3e-5, "third": 1e-4}.get(name, 1e-5)
    assert len(came) == len(wanted)
    for ours_, theirs in zip(came, wanted, strict=True):
        assert (ours_.shape, ours_.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours_, theirs, atol=limit * np.abs(theirs).max(), rtol=0)


def calls_in(text):
    return tuple(text.count(f"@{name}(") for name in CALLS)


def lowered(function, *arguments, **settings):
    return jax.jit(lambda *a: function(*a), **settings).lower(*arguments).as_text()


def test_the_kernel_serves():
    assert calls_in(lowered(ours, X)) == (1, 0)
    assert calls_in(lowered(functools.partial(grad, lambda *a: ours(*a)), X, G, B))[1] >= 1
    assert calls_in(lowered(jax.vmap(ours), X)) == (1, 0)


def test_the_bits_are_those_of_the_kernel():
    """Whatever calls it: one row, a batch, a batch in a loop."""
    y = np.asarray(ours(X))
    np.testing.assert_array_equal(y, jax.jit(lambda x: ours(x))(X))
    np.testing.assert_array_equal(y, jax.vmap(ours)(X))
    np.testing.assert_array_equal(y, jax.lax.map(ours, X))
    np.testing.assert_array_equal(y[0, :1], ours(X[0, :1]))


@pytest.mark.parametrize("platforms", [None, ("cpu", "cuda", "tpu")])
@pytest.mark.parametrize("function", ["forward", "gradient"])
def test_exports_hold_stock_ops(function, platforms):
    function = {"forward": ours, "gradient": lambda x: grad(ours, x)[0]}[function]
    jax.jit(ours)(X)  # what was traced before must not be taken
    rows = jax.export.symbolic_shape("rows, 5, 8")
    exported = jax.export.export(jax.jit(lambda x: function(x)), platforms=platforms)(
        jax.ShapeDtypeStruct(rows, jnp.float32)
    )
    assert calls_in(exported.mlir_module()) == (0, 0)
    np.testing.assert_allclose(exported.call(X), function(X), atol=1e-4)


def test_exports_of_what_was_traced_hold_stock_ops():
    function = jax.jit(lambda x: ours(x))
    function(X)
    exported = jax.export.export(function)(X)
    assert calls_in(exported.mlir_module()) == (0, 0)
    np.testing.assert_allclose(exported.call(X), ours(X), atol=1e-5)


def test_exports_can_be_differentiated():
    exported = jax.export.export(jax.jit(lambda x: ours(x)))(X)
    again = jax.export.deserialize(exported.serialize(vjp_order=2))
    np.testing.assert_allclose(grad(again.call, X)[0], grad(ours, X)[0], atol=1e-4)


def test_stock_ops_leave_the_statistics_that_the_kernel_would():
    """So that a forward pass in stock ops may be followed by the kernel's backward pass."""
    from py_layernorm.engines import jax_rules

    axes = {"first": 1, "last": 2, "batch": 0}
    settings = {"scale": True, "center": True, "epsilon": 1e-3, **axes}
    came = jax.jit(lambda x: jax_rules.stock_forward(x, *weights, **settings))
    wanted = jax.jit(lambda x: jax_rules.forward.bind(x, *weights, **settings))
    x = X + 1e4
    weights = (G[:5], B[:5])
    for ours_, kernel in zip(came(x)[1:], wanted(x)[1:], strict=True):
        assert ours_.shape == kernel.shape
        assert ours_.dtype == kernel.dtype == np.uint32
        ours_, kernel = (np.asarray(s).view(np.float64) for s in (ours_, kernel))
        np.testing.assert_allclose(ours_, kernel, rtol=1e-6)
    assert np.asarray(came(x)[1]).view(np.float64).max() > 9990


def test_use_engine():
    with py_layernorm.use_engine("portable"):
        assert calls_in(lowered(ours, X)) == (0, 0)
    with py_layernorm.use_engine("fused"):
        assert calls_in(lowered(ours, X)) == (1, 0)
