"""Models cross to other processes: pickled, by multiprocessing and joblib, and in files."""

import copyreg
import io
import operator
import os
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import keras
import numpy as np
import pytest

import py_layernorm

LAYER, layer_norm = py_layernorm.LayerNormalization, py_layernorm.layer_norm
X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")

# Of each file that is named: unpickle it in a process of its own that has imported Keras alone.
LOAD = """
import os, pickle, sys
import keras
import numpy as np

x = np.load(sys.argv[1])
for path in sys.argv[2:]:
    assert "py_layernorm" not in sys.modules
    child = os.fork()
    if not child:
        try:
            with open(path, "rb") as file:
                loaded = pickle.load(file)
            np.save(path + ".npy", keras.ops.convert_to_numpy(loaded(x)))
        except BaseException as error:
            print(f"{path}: {type(error).__name__}: {error}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def fresh(code, *arguments, **kwargs):
    """`code` in a new process; -I keeps it from importing the package by chance."""
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


def sequential(**arguments):
    return keras.Sequential([keras.Input((3, 4)), LAYER(**arguments)])


def functional():
    x = keras.Input((3, 4))
    return keras.Model(x, layer_norm(x, axis=[1, 2]))


def nested():
    x = keras.Input((3, 4))
    return keras.Model(x, keras.layers.Identity()(sequential(axis=[1, 2], param_axis=-1)(x)))


def wrapped():
    return keras.Sequential([keras.Input((3, 4)), keras.layers.TimeDistributed(LAYER())])


def accelerated():
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.LayerNormalization()])
    py_layernorm.accelerate(model)
    return model


def compiled():
    model = sequential()
    model.compile("adam", "mse")
    return model


def layer_alone():
    layer = LAYER(axis=(1, 2), epsilon=0.5)
    layer.build((None, 3, 4))
    return layer


def not_built():
    return keras.Sequential([LAYER()])


OBJECTS = [
    sequential,
    functional,
    nested,
    wrapped,
    accelerated,
    compiled,
    layer_alone,
    not_built,
]


def in_python(value):
    """As joblib's `dump` does it: a subclass of pickle's own class in Python, not of that in C."""
    buffer = io.BytesIO()
    pickle._Pickler(buffer).dump(value)
    return buffer.getvalue()


PICKLERS = {
    "pickle": pickle.dumps,
    "pickle in Python": in_python,
    "multiprocessing": ForkingPickler.dumps,
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")
def test_a_pickle_needs_no_import_where_it_is_loaded(tmp_path):
    np.save(tmp_path / "x.npy", X)
    expected = {}
    for make in OBJECTS:
        made = make()
        for way, dumps in PICKLERS.items():
            path = tmp_path / f"{make.__name__} by {way}"
            path.write_bytes(dumps(made))
            expected[path] = keras.ops.convert_to_numpy(made(X))
    done = fresh(LOAD, tmp_path / "x.npy", *expected)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-3000:]
    for path, y in expected.items():
        np.testing.assert_array_equal(np.load(f"{path}.npy"), y, err_msg=path.name)


def test_a_pickle_that_holds_nothing_of_ours_does_not_need_us():
    x = keras.Input((3, 4))
    for model in (
        keras.Sequential([keras.Input((3, 4)), keras.layers.LayerNormalization()]),
        keras.Model(x, keras.layers.Dense(2)(x)),
    ):
        assert b"py_layernorm" not in pickle.dumps(model)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model))(X), model(X))


def test_the_classes_that_pickle_asks_us_about_are_those_of_models():
    """A Keras that builds models of another class would be pickled without our import."""
    x = keras.Input((3, 4))
    for model in (sequential(), keras.Model(x, x), not_built()):
        assert copyreg.dispatch_table[type(model)] is py_layernorm.pickling.reduced


SCRIPT = """
import multiprocessing

def layers(model):
    return len(model.layers)

if __name__ == "__main__":
    import keras
    import py_layernorm

    model = keras.Sequential([keras.Input((4,))])
    py_layernorm.layer_layer_normalization(model)
    with multiprocessing.get_context("METHOD").Pool(1) as pool:
        print(pool.map(layers, [model, model]))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    """The workers import the script, which imports nothing of ours outside its main part."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("METHOD", method))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[1, 1]", done.stderr[-3000:]


def test_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    model = sequential()
    joblib.dump(model, tmp_path / "model.joblib")
    done = fresh(
        "import joblib, sys; print(joblib.load(sys.argv[1]).name)", tmp_path / "model.joblib"
    )
    assert done.stdout.strip() == model.name, done.stderr[-3000:]
    name = joblib.delayed(operator.attrgetter("name"))
    assert joblib.Parallel(n_jobs=2)([name(model), name(model)]) == [model.name] * 2


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_file_needs_the_import_and_the_error_names_the_package(name, tmp_path):
    path = tmp_path / name
    sequential(axis=[1, 2]).save(path)
    load = "keras.models.load_model(sys.argv[1]); print('loaded')"
    without = fresh(f"import sys, keras; {load}", path)
    assert "loaded" not in without.stdout
    assert "py_layernorm" in without.stderr.splitlines()[-1], without.stderr[-3000:]
    assert fresh(f"import sys, keras, py_layernorm; {load}", path).stdout.strip() == "loaded"
