"""Composition on Keras 2: what is returned, and what is unchanged after a failure."""

import sys
import warnings

import numpy as np
import pytest
import tf_keras

import py_layernorm
from py_layernorm.keras2 import LayerNormalization

X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")


def make_model(compiled=False):
    model = tf_keras.Sequential([tf_keras.Input((4, 6)), tf_keras.layers.Dense(3)])
    if compiled:
        model.compile(tf_keras.optimizers.Adam(0.1), "mse")
        model.fit(np.ones((2, 4, 6)), np.ones((2, 4, 3)), verbose=0)
    return model


def everything(model, *others):
    """All that must not change: what a user, and Keras, can see of the model and of its layers."""
    functions = ("train_function", "test_function", "predict_function", "_is_compiled")
    return {
        "layers": list(map(id, model.layers)),
        "values": repr(model.get_weights()),
        "outputs": list(map(id, [*(model.inputs or []), *(model.outputs or [])])),
        "functions": [id(getattr(model, name)) for name in functions],
        "optimizer": model.optimizer and [v.numpy().tolist() for v in model.optimizer.variables],
        "config": model.get_config(),
        "parts": [_seen(part) for root in (model, *others) for part in root._flatten_layers()],
    }


def _seen(layer):
    lists = ("_inbound_nodes", "_outbound_nodes", "_self_tracked_trackables", "weights", "losses")
    return (
        (id(layer), type(layer), layer.name, layer.built, layer.trainable, layer._called),
        [list(map(id, getattr(layer, name, []))) for name in lists],
        [(type(a), id(a.unwrapped), n) for a, n in layer._obj_reference_counts._storage.items()],
        {name: id(value) for name, value in vars(layer).items() if not isinstance(value, float)},
        layer.get_config(),
    )


class FailsInBuild(tf_keras.layers.Layer):
    def build(self, shape):
        self.weight = self.add_weight(shape=(3,))
        raise RuntimeError("no memory for this layer")


class FailsInCall(tf_keras.layers.Layer):
    def call(self, x):
        raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (lambda: LayerNormalization(axis=3), ValueError),
        (lambda: LayerNormalization(axis=[1, 2], param_axis=7), ValueError),
        (lambda: tf_keras.layers.Conv2D(3, 3), ValueError),
        (FailsInBuild, RuntimeError),
        (FailsInCall, KeyboardInterrupt),
        (lambda: tf_keras.layers.Dense(2, name="dense"), ValueError),
        (lambda: tf_keras.Input((5,)), TypeError),
    ],
    ids=["axis", "param_axis", "rank", "build", "interrupt", "name", "no layer"],
)
def test_a_failed_add_leaves_the_model_as_it_was(compiled, layer, error):
    tf_keras.backend.clear_session()
    model = make_model(compiled)
    predicted = model.predict(X, verbose=0)
    before = everything(model)
    with pytest.raises(error):
        py_layernorm.compose_layer(model, layer())
    assert everything(model) == before
    np.testing.assert_array_equal(model.predict(X, verbose=0), predicted)
    if compiled:
        model.fit(X, predicted, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        py_layernorm.layer_layer_normalization(model)
    assert model.predict(X, verbose=0).shape == (2, 4, 3)
    assert len(model.layers) == 2


def test_keras_2_itself_leaves_a_broken_model():
    """What the atomic add is for: the model keeps its layers, but is no longer built."""
    model = make_model()
    with pytest.raises(ValueError, match="axis"):
        model.add(LayerNormalization(axis=3))
    assert not model.built


class Injected(BaseException):
    """Like KeyboardInterrupt: nothing on the way catches it by kind."""


def fail_at(step, function, *arguments):
    """Calls the function and raises at its `step`-th call of any other; whether it came to that."""
    count = 0
    ours = ("py_layernorm/", "tf_keras/src/engine/")

    def watch(frame, event, _):
        nonlocal count
        code = frame.f_code
        if event != "call" or code.co_name == "<genexpr>":
            return
        if (sys.version_info < (3, 11) and frame.f_lasti >= 0) or not any(
            part in code.co_filename for part in ours
        ):
            return
        count += 1
        if count == step:
            sys.setprofile(None)
            raise Injected(f"{code.co_filename}:{code.co_name}")

    sys.setprofile(watch)
    try:
        function(*arguments)
    except Injected:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_an_add_that_fails_at_any_step():
    """Every seventh step: a model of Keras 2 takes thousands."""
    model = make_model(compiled=True)
    model.predict(X, verbose=0)
    layer = LayerNormalization(name="norm")
    before = everything(model, layer)
    failures = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(1, 20_000, 7):
            if not fail_at(step, py_layernorm.compose_layer, model, layer):
                break
            failures += 1
            assert everything(model, layer) == before, step
    assert failures > 20
    assert [layer.name for layer in model.layers][-1] == "norm"
    assert model(X).shape == (2, 4, 3)


def test_a_failed_add_to_a_model_that_was_never_built():
    model = tf_keras.Sequential([tf_keras.layers.Dense(3)])
    py_layernorm.layer_layer_normalization(model, axis=5)  # nothing to build yet
    with pytest.raises(ValueError, match="axis must lie between"):
        model(np.ones((2, 4)))
    model.pop()
    py_layernorm.layer_layer_normalization(model)
    assert model(np.ones((2, 4))).shape == (2, 3)


def test_a_compiled_model_must_be_compiled_again():
    model = make_model(compiled=True)
    with pytest.warns(UserWarning, match="compile it again") as caught:
        py_layernorm.layer_layer_normalization(model, name="norm")
    assert "'norm'" in str(caught[0].message)
    assert caught[0].filename == __file__
    y = model.predict(X, verbose=0)
    np.testing.assert_allclose(y, model(X), rtol=1e-5, atol=1e-6)
    model.compile(tf_keras.optimizers.Adam(0.1), "mse")
    before = model.layers[-1].get_weights()
    model.fit(X, np.ones((2, 4, 3)), verbose=0)
    for old, new in zip(before, model.layers[-1].get_weights(), strict=True):
        assert np.abs(old - new).max() > 1e-3


def test_a_warning_that_becomes_an_error_adds_nothing():
    model = make_model(compiled=True)
    predicted = model.predict(X, verbose=0)
    before = everything(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="compile it again"):
            py_layernorm.layer_layer_normalization(model)
    assert everything(model) == before
    np.testing.assert_array_equal(model.predict(X, verbose=0), predicted)
    model.fit(X, predicted, verbose=0)


def test_the_bridge_to_r_can_undo_an_add():
    from py_layernorm.r import bridge

    model = make_model(compiled=True)
    before = everything(model)
    result, caught, undo = bridge.call("layer_layer_normalization", object=model)
    assert result is None  # R has the model already
    assert len(model.layers) == 2
    assert "compile it again" in caught[0]
    undo()
    assert everything(model) == before


def test_a_loaded_model_is_extended_without_a_clash_of_names():
    """Keras counts names per process: a new one makes the names anew that the file holds."""
    model = tf_keras.Sequential([tf_keras.Input((3,))])
    tf_keras.backend.clear_session()
    for _ in range(3):
        py_layernorm.layer_layer_normalization(model)
    tf_keras.backend.clear_session()
    py_layernorm.layer_layer_normalization(model)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) == 4
    tf_keras.backend.clear_session()
    with pytest.raises(ValueError, match="unique names"):  # a name that was asked for stays
        py_layernorm.layer_layer_normalization(model, name="layer_normalization")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf_keras.Model(x := tf_keras.Input((2,)), x + 1), r"object=model\.output"),
        (lambda: tf_keras.layers.Dense(2), "layer's output tensor"),
        (lambda: (tf_keras.Input((2,)),), "one tensor at a time"),
        (lambda: tf_keras.Sequential, r"\(type\)"),
    ],
    ids=["model", "layer", "tensors", "class"],
)
def test_any_other_object_is_refused(make, message):
    with pytest.raises(TypeError, match=message) as caught:
        py_layernorm.layer_layer_normalization(make())
    assert "object must be None, a keras.Sequential or a tensor" in str(caught.value)
