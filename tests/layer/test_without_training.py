"""Backends that only predict: Keras's models have no functions for training there."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

NEEDS = {"numpy": ("scipy", "jax"), "openvino": ("openvino",)}

SCRIPT = """
import keras, numpy as np, py_layernorm

def to_numpy(y):
    return np.asarray(keras.ops.convert_to_numpy(y))

x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
assert py_layernorm.layer_layer_normalization(model, name="ours") is model
py_layernorm.compose_layer(model, keras.layers.LayerNormalization(name="theirs"))
assert [layer.name for layer in model.layers] == ["dense", "ours", "theirs"]
before = to_numpy(model(x))
assert model.predict(x, verbose=0).shape == (3, 4)

report = py_layernorm.accelerate(model)
assert report.changed == ["sequential/theirs"], report
np.testing.assert_allclose(to_numpy(model(x)), before, atol=1e-5)
report = py_layernorm.restore(model)
assert report.changed == ["sequential/ours", "sequential/theirs"], report
np.testing.assert_allclose(to_numpy(model(x)), before, atol=1e-5)

try:
    py_layernorm.layer_layer_normalization(model, axis=5)
except ValueError as error:
    assert "axis must lie between" in str(error)
else:
    raise AssertionError("axis=5 was accepted")
assert len(model.layers) == 3
np.testing.assert_allclose(to_numpy(model(x)), before, atol=1e-5)

model.predict(x, verbose=0)
py_layernorm.compose_layer(model, keras.layers.Dense(2))
assert model.predict(x, verbose=0).shape == (3, 2)
print("backend", keras.backend.backend())
"""


@pytest.mark.parametrize("backend", NEEDS)
def test_models_are_composed_accelerated_and_restored(backend):
    missing = [module for module in NEEDS[backend] if not find_spec(module)]
    if missing:
        pytest.skip(f"Keras on {backend} needs {', '.join(missing)}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["backend", backend]
