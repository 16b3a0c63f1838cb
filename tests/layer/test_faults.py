"""Failures in the middle: whatever step fails, the model is as it was."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from test_compose import make_model, state

import py_layernorm

ROOT = Path(__file__).parents[2]
KERAS_LAYER = keras.layers.LayerNormalization
X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")

# Python 3.10 raises what a profiler raises before the generator is resumed, outside its `try`,
# where nothing real can be raised.
RAISES_BEFORE_A_RESUMED_FRAME = sys.version_info < (3, 11)


class Injected(BaseException):
    """Like KeyboardInterrupt: nothing on the way catches it by kind."""


def fail_at(step, function, *arguments):
    """Calls the function and raises at its `step`-th call of any other; whether it came to that.

    Only where the caller is this library's code or Keras's of models and layers: what those call
    fails completely, as when memory runs out or on Ctrl-C.
    """
    count = 0

    def watch(frame, event, _):
        nonlocal count
        ours = ("py_layernorm/", "keras/src/models/", "keras/src/layers/layer.py")
        code = frame.f_code  # a generator's is run when it is thrown away, too
        if event != "call" or code.co_name == "<genexpr>":
            return
        if RAISES_BEFORE_A_RESUMED_FRAME and frame.f_lasti >= 0:
            return
        if not any(part in code.co_filename for part in ours):
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


def everything(model, *others):
    """All that must not change: what a user, and Keras, can see of the model and of its layers."""
    return state(model), [_seen(layer) for root in (model, *others) for layer in parts(root)]


def parts(layer):
    return layer._flatten_layers()


def _seen(layer):
    """What is told apart about one layer: by value where it is a value, else by identity."""
    functions = ("train_function", "test_function", "predict_function", "_functional")
    nodes = [*layer._inbound_nodes, *layer._outbound_nodes]
    first = nodes and layer._inbound_nodes and (layer.input, layer.output)
    stored = {name: set(ids) for name, ids in layer._tracker.stored_ids.items()}
    lists = (layer.weights, layer.trainable_weights, layer.losses, layer.metrics, layer._layers)
    values = (type(layer), layer.name, layer.path, layer.built, layer.trainable, layer._called)
    return (
        id(layer),
        values,
        [getattr(layer, "axis", None), layer._tracker.locked, stored],
        [list(map(id, each)) for each in lists],
        list(map(id, [*nodes, *keras.tree.flatten(first)])),
        [id(getattr(layer, name, None)) for name in functions],
        sorted(vars(layer)),
        layer.get_config(),
    )


def steps(attempt, most):
    """1, 2, 3, ... as long as `attempt(step)` fails; it must fail, but not forever."""
    for step in range(1, most):
        if not attempt(step):
            assert step > 5, "nothing was injected"
            return
    raise AssertionError(f"still failing after {most} steps")


@pytest.mark.parametrize("compiled", [False, True])
def test_an_add_that_fails_at_any_step(compiled):
    keras.backend.clear_session()
    model = make_model(compiled)
    model.predict(X, verbose=0)
    layer = py_layernorm.LayerNormalization(name="norm")
    before = everything(model, layer)

    def attempt(step):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            failed = fail_at(step, py_layernorm.compose_layer, model, layer)
        if failed:
            assert everything(model, layer) == before, step
        return failed

    steps(attempt, 5000)
    assert [layer.name for layer in model.layers][-1] == "norm"
    assert model(X).shape == (2, 4, 3)


class Block(keras.layers.Layer):
    """A composite layer, whose parts are made when it is built, and which warns then."""

    def build(self, shape):
        self.inner = {"norm": KERAS_LAYER(), "more": [keras.layers.Dense(3)]}
        for part in (self.inner["norm"], *self.inner["more"]):
            part.build(shape)
        self.later = [1]
        warnings.warn("the block warns", UserWarning, stacklevel=2)

    def call(self, x):
        return self.inner["more"][0](self.inner["norm"](x))


def by_filter(patch):
    warnings.simplefilter("error")


def by_handler(patch):
    def showwarning(message, *_, **__):
        raise message

    patch.setattr(warnings, "showwarning", showwarning)


def by_logging(patch):
    class Handler(logging.Handler):
        def emit(self, record):
            raise UserWarning(record.getMessage())

    patch.setattr(logging.getLogger("py.warnings"), "handlers", [Handler()])
    patch.setattr(logging.getLogger("py.warnings"), "propagate", False)
    logging.captureWarnings(True)


@pytest.mark.parametrize("becomes_an_error", [by_filter, by_handler, by_logging])
@pytest.mark.parametrize(
    ("add", "warning"),
    [
        (lambda model, layer: py_layernorm.layer_layer_normalization(model), "compile it again"),
        (py_layernorm.compose_layer, "compile it again"),
        (lambda model, _: py_layernorm.compose_layer(model, BLOCK), "the block warns"),
        (
            lambda model, _: py_layernorm.layer_layer_normalization(
                model, gamma_initializer=lambda shape, dtype=None: np.ones(shape, dtype)
            ),
            "cannot restore",
        ),
    ],
    ids=["helper", "compose_layer", "the layer's own", "helper's argument"],
)
def test_a_warning_that_becomes_an_error_adds_nothing(becomes_an_error, add, warning, monkeypatch):
    global BLOCK
    BLOCK = Block()
    model = make_model(compiled=True)
    layer = py_layernorm.LayerNormalization()
    model.evaluate(X, np.ones((2, 4, 3)), verbose=0)
    predicted = model.predict(X, verbose=0)
    before = everything(model, layer, BLOCK)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        becomes_an_error(monkeypatch)
        try:
            with pytest.raises(UserWarning, match=warning):
                add(model, layer)
        finally:
            logging.captureWarnings(False)
    assert everything(model, layer, BLOCK) == before
    np.testing.assert_array_equal(model.predict(X, verbose=0), predicted)
    model.fit(X, predicted, verbose=0)
    other = keras.Sequential([keras.Input((4, 5))])  # of another width, which a built layer refuses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spared in (layer, BLOCK):
            py_layernorm.compose_layer(other, spared)
    assert other(X[:, :, :5]).shape == (2, 4, 3)


@pytest.mark.parametrize("change", [py_layernorm.accelerate, py_layernorm.restore])
def test_a_change_that_fails_at_any_step(change):
    keras.backend.clear_session()
    layers = [KERAS_LAYER(), keras.layers.Dense(6), KERAS_LAYER(axis=[1, 2])]
    inner = keras.Sequential([keras.Input((4, 6)), KERAS_LAYER()])
    model = keras.Sequential([keras.Input((4, 6)), *layers, inner])
    if change is py_layernorm.restore:
        py_layernorm.accelerate(model)
    model.compile("adam", "mse")
    model.fit(X, X, verbose=0)
    model.predict(X, verbose=0)
    before = everything(model)

    def attempt(step):
        failed = fail_at(step, change, model)
        if failed:
            assert everything(model) == before, step
        return failed

    steps(attempt, 3000)
    wanted = py_layernorm.LayerNormalization if change is py_layernorm.accelerate else KERAS_LAYER
    assert [type(p) for p in parts(model) if isinstance(p, KERAS_LAYER)] == [wanted] * 3


@pytest.mark.parametrize("missing", ["gamma", "beta"])
def test_weights_that_do_not_fit_leave_the_layer_as_it_was(missing, tmp_path):
    """The other layers are Keras's to guard; docs/robustness.md says what it does."""
    import h5py

    model = keras.Sequential([keras.Input((4,))])
    py_layernorm.layer_layer_normalization(model, name="norm")
    model.set_weights([np.full(4, 2.0), np.full(4, 3.0)])
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    model.set_weights([np.full(4, 5.0), np.full(4, 6.0)])
    with h5py.File(path, "r+") as file:
        stored = file["layers/layer_normalization/vars"]
        del stored["0" if missing == "gamma" else "1"]
        stored["0" if missing == "gamma" else "1"] = np.ones(7, "float32")
    with pytest.raises(ValueError, match="shape"):
        model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights(), [[5.0] * 4, [6.0] * 4])


def test_a_full_disk_is_named_in_set_up(tmp_path):
    """The real thing, a full file system, is part of `make test-interrupt`."""
    script = f"""
        . {ROOT}/scripts/setup_common.sh
        log={tmp_path}/log; : >"$log"
        attempt "writing" dd if=/dev/zero of=/dev/full bs=1 count=1
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Set-up stopped: writing failed." in done.stderr
    assert "The disk is full. Make room" in done.stderr
