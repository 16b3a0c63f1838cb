"""Keras 2's files in a new process, and what a new process imports and registers."""

import os
import pickle
import subprocess
import sys

import numpy as np
import tf_keras
from test_keras2_files import CLOSE, X, functional, save

from py_layernorm.keras2 import LayerNormalization

# Each part runs in a fork of its own, made before TensorFlow starts its threads.
PARTS = """
import os, sys, traceback

def part(function):
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        function()
        print(function.__name__, "ok", flush=True)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    os._exit(0)
"""


def run(code, *arguments):
    """What the parts of `code` print in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PARTS + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return done.stdout


def parts_of(code):
    return [line.split()[1].split("(")[0] for line in code.splitlines() if line[:4] == "def "]


IMPORTS = """
import py_layernorm

@part
def imports_no_second_keras():
    assert not [name for name in sys.modules if name.split(".")[0] == "tf_keras"]
    assert "py_layernorm.keras2" not in sys.modules

@part
def registers_when_keras_2_is_imported():
    import tf_keras
    found = tf_keras.saving.get_registered_object("py_layernorm>LayerNormalization")
    assert found is sys.modules["py_layernorm.keras2"].LayerNormalization
    assert not any(type(f).__module__.startswith("py_layernorm") for f in sys.meta_path)

@part
def works_without_keras_2():
    import numpy as np
    sys.modules["tf_keras"] = None
    layer = py_layernorm.layer_layer_normalization()
    assert layer(np.ones((2, 3), "float32")).shape == (2, 3)
    py_layernorm.layer_norm(np.ones((2, 3), "float32"))
    try:
        import tf_keras
    except ModuleNotFoundError:
        return
    raise AssertionError

@part
def leaves_the_import_of_a_missing_keras_2_as_it_is():
    sys.path[:] = [p for p in sys.path if not os.path.exists(os.path.join(p, "tf_keras"))]
    try:
        import tf_keras
    except ModuleNotFoundError:
        return
    raise AssertionError

@part
def follows_tensorflows_setting():
    import numpy as np
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    layer = py_layernorm.layer_layer_normalization()
    import tf_keras
    assert isinstance(layer, tf_keras.layers.LayerNormalization)
    layer = py_layernorm.layer_layer_normalization(np.ones((2, 3), "float32"))
    tf_keras.backend.set_floatx("float64")
    assert py_layernorm.layer_norm(np.ones((2, 3), "int32")).dtype.name == "float64"

@part
def says_that_keras_2_is_missing():
    os.environ["TF_USE_LEGACY_KERAS"] = "True"
    sys.modules["tf_keras"] = None
    try:
        py_layernorm.layer_layer_normalization()
    except ImportError as error:
        assert "TF_USE_LEGACY_KERAS asks for Keras 2, and tf_keras is not installed" in str(error)
        assert "Received: TF_USE_LEGACY_KERAS=True" in str(error)
        return
    raise AssertionError
"""


def test_what_is_imported_and_which_keras_serves():
    said = run(IMPORTS)
    assert [f"{name} ok" for name in parts_of(IMPORTS)] == said.splitlines(), said


LOAD = """
import pickle
import tensorflow as tf
import tf_keras
import numpy as np

folder = sys.argv[1]
x = np.load(f"{folder}/x.npy")

def saved(name, y):
    np.save(f"{folder}/{name}.npy", y)

def fails(path):
    try:
        tf_keras.models.load_model(path)
    except Exception as error:
        return print("failed:", type(error).__name__)
    raise AssertionError(path)

@part
def bare():
    loaded = tf.saved_model.load(f"{folder}/model")
    assert "py_layernorm" not in sys.modules
    saved("bare", next(iter(loaded.signatures["serving_default"](tf.constant(x)).values())))

@part
def pickled():
    with open(f"{folder}/model.pickle", "rb") as file:
        saved("pickled", pickle.load(file).predict(x, verbose=0))

@part
def h5():
    import py_layernorm
    saved("h5", tf_keras.models.load_model(f"{folder}/model.h5").predict(x, verbose=0))

@part
def keras():
    import py_layernorm
    saved("keras", tf_keras.models.load_model(f"{folder}/model.keras").predict(x, verbose=0))

@part
def registered_afterwards():
    import py_layernorm
    assert tf_keras.saving.get_registered_object("py_layernorm>LayerNormalization")

@part
def never_makes_keras_own_layer_of_ours():
    for place in ("flat", "nested", "wrapped"):
        for ending in ("keras", "h5"):
            fails(f"{folder}/{place}.{ending}")
"""


def test_files_in_a_new_process(tmp_path):
    model = functional()
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)  # traced with the native op
    y = model.predict(X, verbose=0)
    np.save(tmp_path / "x.npy", X)
    for name in ("model", "model.h5", "model.keras"):
        save(model, tmp_path / name)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    start, norm = tf_keras.Input((4, 4)), LayerNormalization()
    flat = tf_keras.Sequential([start, norm])
    others = {
        "nested": tf_keras.Sequential([start, flat]),
        "wrapped": tf_keras.Sequential([start, tf_keras.layers.TimeDistributed(norm)]),
    }
    for place, other in {"flat": flat, **others}.items():
        for ending in ("keras", "h5"):
            save(other, tmp_path / f"{place}.{ending}")
    said = run(LOAD, tmp_path)
    assert said.count("failed: ") == 6, said
    assert {f"{name} ok" for name in parts_of(LOAD)} - {"saved ok", "fails ok"} <= set(
        said.splitlines()
    ), said
    for name in ("bare", "pickled", "h5", "keras"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), y, **CLOSE)
