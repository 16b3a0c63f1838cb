"""R in this process: what crosses, how it fails, what is left undisturbed."""

import os
import signal
import sys
import threading
import warnings

import keras
import numpy as np
import pytest

import py_layernorm
from py_layernorm.r import RError, embed, layernorm_r, process


@pytest.fixture(scope="module")
def r():
    return layernorm_r()


@pytest.fixture(scope="module")
def robjects(r):
    from rpy2 import robjects

    return robjects


def new_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_r_starts_once(r):
    assert layernorm_r() is r


def test_the_names_are_those_of_the_r_package(r, robjects):
    names = set(robjects.r("getNamespaceExports('layernorm')"))
    assert set(vars(r)) == names
    assert names >= set(py_layernorm.__all__) - {"LayerNormalization"}
    assert repr(r).startswith("<the R package layernorm: accelerate, ")
    assert r.layer_norm.__name__ == "layer_norm"
    assert r.layer_norm.__doc__.startswith(
        "R's layernorm::layer_norm(x, gamma = NULL, beta = NULL, axis = -1"
    )


def test_a_model_that_goes_through_r_is_the_same_object(r, robjects):
    model, layer = new_model(), keras.layers.ReLU()
    assert r.layer_layer_normalization(model, -1, name="norm") is model
    assert r.compose_layer(model, layer) is model
    assert r.compose_layer(None, layer) is layer
    robjects.globalenv["model"] = model
    robjects.r("same <- identical(model |> layernorm::layer_layer_normalization(), model)")
    assert robjects.r("same")[0]
    assert robjects.globalenv["model"] is model
    assert [layer.name for layer in model.layers[1:3]] == ["norm", layer.name]
    assert len(model.layers) == 4


OBJECTS = [
    keras.layers.Dense(2),
    keras.Input((3,)),
    keras.Variable(np.ones(2)),
    keras.ops.ones((2, 3)),
    keras.initializers.Ones(),
    keras.regularizers.L2(0.1),
    keras.constraints.NonNeg(),
    keras.optimizers.SGD(),
    keras.losses.MeanSquaredError(),
    keras.metrics.Mean(),
    keras.callbacks.Callback(),
    keras.DTypePolicy("float16"),
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_keras_objects_cross_by_reference(thing, robjects):
    robjects.globalenv["thing"] = thing
    assert robjects.globalenv["thing"] is thing
    assert robjects.r("identity")(thing) is thing


def test_converters_that_are_made_later_know_keras_objects(robjects):
    """As those of a notebook that loads rpy2's extension after R has started."""
    from rpy2.robjects import numpy2ri

    model = new_model()
    converter = robjects.default_converter + robjects.flatlist_converter + numpy2ri.converter
    with converter.context():
        robjects.globalenv["model"] = model
        assert robjects.globalenv["model"] is model
        robjects.globalenv["x"] = np.arange(6.0).reshape(2, 3)
        assert robjects.globalenv["x"].shape == (2, 3)
    # R's own are left alone.
    assert isinstance(robjects.r("environment()"), robjects.Environment)
    assert isinstance(robjects.r("identity"), robjects.functions.Function)


def test_arrays_keep_their_dtype(r):
    x = np.arange(6, dtype="float32").reshape(2, 3)
    for given in (x, x.T, keras.ops.convert_to_tensor(x, "bfloat16")):
        y, expected = r.layer_norm(given), py_layernorm.layer_norm(given)
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


def test_r_values_come_as_python_values(r):
    assert r.use_engine("portable") == "auto"
    assert r.use_engine("auto") == "portable"
    model = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization()], name="m")
    report = r.accelerate(model)
    assert report["changed"].startswith("m/layer_normalization")
    assert report["left"] is None
    array = r.as_r_array(keras.ops.ones((2, 3), "bfloat16"))
    assert (array.dtype, array.shape) == ("float64", (2, 3))


def test_an_error_of_r_has_its_text_and_classes(r):
    with pytest.raises(RError, match=r"`axis` must be a whole number.*\nReceived: axis = 1.5") as e:
        r.layer_layer_normalization(axis=1.5)
    assert e.value.r_class == ("layernorm_argument_error", "error", "condition")


def test_an_exception_of_python_goes_through_r_as_itself(r):
    error = LookupError("from an initializer")

    def initializer(shape, dtype=None):
        raise error

    with pytest.raises(LookupError) as caught:
        r.layer_layer_normalization(new_model(), gamma_initializer=initializer)
    assert caught.value is error


def test_warnings_name_the_caller(r):
    model = new_model()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="compile it again") as caught:
        r.layer_layer_normalization(model)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("how", ["helper", "compose", "function"])
def test_a_warning_that_python_makes_an_error_leaves_the_model_as_it_was(r, how):
    model = new_model()
    if how != "function":
        model.compile("sgd", "mse")
    layers, weights = list(model.layers), list(model.weights)
    calls = {
        "helper": lambda: r.layer_layer_normalization(model),
        "compose": lambda: r.compose_layer(model, keras.layers.ReLU()),
        "function": lambda: r.layer_layer_normalization(
            model, beta_initializer=lambda shape, dtype: keras.ops.zeros(shape, dtype)
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            calls[how]()
    assert model.layers == layers
    assert [id(w) for w in model.weights] == [id(w) for w in weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls[how]()
    assert len(model.layers) == 2


def test_a_warning_within_r_that_r_makes_an_error_leaves_the_model_as_it_was(r, robjects):
    model = new_model()
    model.compile("sgd", "mse")
    robjects.globalenv["model"] = model
    code = "tryCatch(layernorm::layer_layer_normalization(model), warning = conditionMessage)"
    assert "compile it again" in robjects.r(code)[0]
    assert len(model.layers) == 1


def test_ctrl_c_is_pythons(r):
    def initializer(shape, dtype=None):
        signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        r.layer_layer_normalization(new_model(), gamma_initializer=initializer)
    assert r.layer_layer_normalization(name="fine").name == "fine"


def test_other_threads_are_told(r):
    errors = []

    def call(function):
        try:
            function()
        except RuntimeError as error:
            errors.append(str(error))

    for function in (layernorm_r, r.layer_layer_normalization):
        thread = threading.Thread(target=call, args=[function], name="helper")
        thread.start()
        thread.join()
    assert len(errors) == 2
    assert all("main thread only. Received: a call from the thread 'helper'" in e for e in errors)


def test_what_reticulate_changes_is_changed_back(monkeypatch):
    def handler(*_):
        pass

    check = "RETICULATE_CHECK_REQUIRED_PACKAGES"
    for before in (None, "true"):
        if before:
            monkeypatch.setenv(check, before)
        monkeypatch.setattr(sys, "path", ["/somewhere"])
        old = signal.signal(signal.SIGINT, handler)
        try:
            with process.undisturbed():
                assert os.environ[check] == "false"
                sys.path[:] = ["", "/somewhere", "/reticulate"]
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                monkeypatch.setenv("LD_LIBRARY_PATH", "/of/r")
            assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, old)
        assert sys.path == ["/somewhere", "/reticulate"]
        assert os.environ.get(check) == before
        assert os.environ.get("LD_LIBRARY_PATH") != "/of/r"


def test_without_rpy2(monkeypatch):
    monkeypatch.setitem(sys.modules, "rpy2", None)
    monkeypatch.delitem(sys.modules, "rpy2.rinterface", raising=False)
    with pytest.raises(ImportError, match="needs rpy2") as caught:
        process._import_rpy2()
    assert f'{sys.executable} -m pip install "py-layernorm[r]"' in str(caught.value)


def test_without_r(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    with pytest.raises(RuntimeError, match=r"R was not found: .*apt-get install r-base"):
        process._import_rpy2()


def test_in_a_python_that_r_has_started(monkeypatch):
    monkeypatch.setenv("R_SESSION_INITIALIZED", f'PID={os.getpid()}:NAME="reticulate"')
    monkeypatch.delitem(sys.modules, "rpy2.rinterface", raising=False)
    with pytest.raises(RuntimeError, match="R has started this Python"):
        process._import_rpy2()


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("layernorm", "", "the R package layernorm is not installed.* R CMD INSTALL r_package"),
        ("reticulate", "", "reticulate is not installed.*install.packages"),
        ("reticulate", "1.38.0", "reticulate is older than 1.41.*install.packages"),
    ],
)
def test_without_the_r_packages(package, version, message):
    functions = {"version": lambda name: [version if name == package else "99.0"]}
    with pytest.raises(RuntimeError, match=message):
        embed._Session(functions)


def test_a_failure_to_bind_names_the_interpreter():
    functions = {"version": lambda name: ["99.0"], "bind": lambda program: ["no such library"]}
    with pytest.raises(RuntimeError, match=rf"{sys.executable}: no such library"):
        embed._Session(functions)
