"""Failures in the middle: whatever step fails, the model is as it was."""

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


class Injected(BaseException):
    """Like KeyboardInterrupt: nothing on the way catches it by kind."""


def fail_at(step, function, *arguments):
    """Calls the function and raises at its `step`-th call of any other; whether it came to that.

    Only where the caller is this library's code or Keras's of models and layers: what those call
    fails as a whole, as it would for want of memory or at Ctrl-C.
    """
    count = 0

    def watch(frame, event, _):
        nonlocal count
        ours = ("py_layernorm/", "keras/src/models/", "keras/src/layers/layer.py")
        code = frame.f_code  # a generator's is run when it is thrown away, too
        if event != "call" or code.co_name == "<genexpr>":
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


def whole(model):
    """All that must not change: `state` and the functions that training and predicting use."""
    functions = (model.train_function, model.test_function, model.predict_function)
    classes = [type(layer) for layer in model._flatten_layers()]
    return state(model), list(map(id, functions)), classes


def steps(attempt, most):
    """1, 2, 3, ... as long as `attempt(step)` fails; it must, and must not for ever."""
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
    before = whole(model)

    def attempt(step):
        layer = py_layernorm.LayerNormalization(name="norm")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            failed = fail_at(step, py_layernorm.compose_layer, model, layer)
        if failed:
            assert whole(model) == before, step
        return failed

    steps(attempt, 5000)
    assert [layer.name for layer in model.layers][-1] == "norm"
    assert model(X).shape == (2, 4, 3)


def test_a_warning_that_is_an_error_adds_nothing():
    model = make_model(compiled=True)
    model.evaluate(X, np.ones((2, 4, 3)), verbose=0)
    model.predict(X, verbose=0)
    before = whole(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="compile it again"):
            py_layernorm.layer_layer_normalization(model)
    assert whole(model) == before


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
    before = whole(model)

    def attempt(step):
        failed = fail_at(step, change, model)
        if failed:
            assert whole(model) == before, step
        return failed

    steps(attempt, 2000)
    wanted = py_layernorm.LayerNormalization if change is py_layernorm.accelerate else KERAS_LAYER
    assert [c for c in whole(model)[2] if issubclass(c, KERAS_LAYER)] == [wanted] * 3


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
