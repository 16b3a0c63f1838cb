"""Each format that Keras writes, for each kind of model: the same numbers come back."""

import copy
import json
import pickle

import h5py
import keras
import numpy as np
import pytest

import py_layernorm

LAYER, layer_norm = py_layernorm.LayerNormalization, py_layernorm.layer_norm
SHAPE = (3, 4, 2)

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def by_file(name, **arguments):
    """Through a file of `model.save`, in the format that its name asks for."""

    def through(model, folder):
        model.save(folder / name, **arguments)
        return keras.models.load_model(folder / name)

    return through


def by_weights(name, **arguments):
    """Through a file of weights, into a model of the same configuration."""

    def through(model, folder):
        model.save_weights(folder / name, **arguments)
        fresh = keras.models.clone_model(model)
        fresh.load_weights(folder / name)
        return fresh

    return through


def by_config(again):
    """Through the configuration alone; the weights are copied."""

    def through(model, folder):
        fresh = again(model)
        fresh.set_weights(model.get_weights())
        return fresh

    return through


serialize, deserialize = keras.saving.serialize_keras_object, keras.saving.deserialize_keras_object

FORMATS = {
    ".keras": by_file("model.keras"),
    "a folder": by_file("model", zipped=False),
    ".h5": by_file("model.h5"),
    ".weights.h5": by_weights("model.weights.h5"),
    ".weights.json": by_weights("model.weights.json", max_shard_size=1),
    "to_json": by_config(lambda model: keras.models.model_from_json(model.to_json())),
    "clone_model": by_config(keras.models.clone_model),
    "from_config": by_config(lambda model: type(model).from_config(model.get_config())),
    "serialize": by_config(lambda model: deserialize(serialize(model))),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}

ARGUMENTS = [
    {"axis": 1},
    {"axis": [1]},
    {"axis": (-1,)},
    {"axis": [1, 2]},
    {"axis": (2, -1)},
    {"axis": [3, 1]},
    {"axis": [np.int64(1), -2]},
    {"axis": [1, 2, 3]},
    {"axis": [1, 2], "center": False, "scale": False},
    {"axis": [1, 2], "param_axis": -1},
    {"axis": [1, 2], "param_axis": (-1,)},
    {"axis": -1, "param_axis": (1, -2)},
    {"axis": [1, 2], "param_axis": [3, np.int32(1)]},
    {"axis": (1, 3), "epsilon": None},
    {"axis": [2, 3], "epsilon": np.float32(0.5), "dtype": "mixed_bfloat16"},
    {"axis": [2, 3], "dtype": "float64"},
    {"axis": [2, 3], "dtype": keras.DTypePolicy("mixed_float16")},
    {
        "axis": [2, 3],
        "gamma_initializer": keras.initializers.RandomUniform(1.0, 2.0, seed=3),
        "beta_initializer": "variance_scaling",
        "beta_regularizer": "l2",
        "gamma_constraint": keras.constraints.MaxNorm(2.0),
    },
]


def name_of(arguments):
    return ",".join(f"{name}={getattr(v, 'name', v)}" for name, v in list(arguments.items())[:3])


def sequential(**arguments):
    return keras.Sequential([keras.Input(SHAPE), LAYER(**arguments)])


def functional(**arguments):
    """One layer, called twice."""
    layer = LAYER(**arguments)
    x = keras.Input(SHAPE)
    return keras.Model(x, layer(keras.layers.Identity()(layer(x))))


def nested(**arguments):
    x = keras.Input(SHAPE)
    return keras.Model(x, keras.layers.Identity()(sequential(**arguments)(x)))


def in_a_wrapper(**arguments):
    x = keras.Input((2, *SHAPE))
    return keras.Model(x, keras.layers.TimeDistributed(LAYER(**arguments))(x))


def of_the_function(**arguments):
    """`layer_norm` with constant weights."""
    own = {name: arguments[name] for name in arguments if name in ("axis", "epsilon", "param_axis")}
    axes = sorted({a % 4 for a in np.ravel(own.get("param_axis", own["axis"]))})
    shape = [(None, *SHAPE)[a] for a in axes]
    gamma = np.arange(np.prod(shape), dtype="float32").reshape(shape) + 1.0
    x = keras.Input(SHAPE)
    return keras.Model(x, layer_norm(x, gamma, gamma * 0.5, **own))


MODELS = [sequential, functional, nested, in_a_wrapper, of_the_function]


def numbers(model, x):
    return keras.ops.convert_to_numpy(model(x)).astype("float64")


def filled(model):
    """`model` with weights that differ from one another, and an input for it."""
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    return model, random.normal(size=(2, *model.inputs[0].shape[1:])).astype("float32")


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=name_of)
def test_the_same_numbers_come_back(make, arguments, tmp_path):
    model, x = filled(make(**arguments))
    expected, wrong = numbers(model, x), {}
    for name, through in FORMATS.items():
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        came = numbers(through(model, folder), x)
        if not np.array_equal(came, expected):
            wrong[name] = f"off by {np.abs(came - expected).max()}"
    assert not wrong


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_epsilon_of_none_is_the_number_that_it_was(make, tmp_path):
    """Also where Keras's own epsilon is another one by the time that the file is loaded."""
    model, x = filled(make(axis=[1, 2], epsilon=None))
    expected = numbers(model, x * 1e-7)
    for name in (".keras", ".h5"):
        keras.config.set_epsilon(1e-7)
        model.save(tmp_path / f"model{name}")
        keras.config.set_epsilon(1e-2)
        loaded = keras.models.load_model(tmp_path / f"model{name}")
        np.testing.assert_array_equal(numbers(loaded, x * 1e-7), expected, err_msg=name)


def without_the_second_copy(path):
    """The file as a version that wrote the axis once would have written it."""

    def strip(value):
        if isinstance(value, dict):
            return {name: strip(v) for name, v in value.items() if name != "axes"}
        return [strip(v) for v in value] if isinstance(value, list) else value

    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(strip(json.loads(file.attrs["model_config"])))


@pytest.mark.parametrize("make", [sequential, functional, nested, of_the_function])
def test_an_h5_file_without_its_axis_is_one_error_with_a_remedy(make, tmp_path):
    arguments = {"axis": [1, 2], "param_axis": -1}
    model, x = filled(make(**arguments))
    path = tmp_path / "model.h5"
    model.save(path)
    without_the_second_copy(path)
    with pytest.raises(ValueError, match=r"^axis of '\w+' is not in this file: .*load_weights"):
        keras.models.load_model(path)
    again = make(**arguments)
    again.load_weights(path)
    np.testing.assert_array_equal(numbers(again, x), numbers(model, x))


def test_the_second_copy_is_in_h5_files_only(tmp_path):
    """Elsewhere it would keep Keras's own layer from standing in for ours."""
    model = sequential(axis=[1, 2])
    assert "axes" not in model.layers[0].get_config()
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert '"axes": [1, 2]' in file.attrs["model_config"]
    with pytest.raises(TypeError, match=r"Unrecognized keyword arguments.*axes"):
        LAYER.from_config({"axis": [1, 2], "axes": [1, 2]})


@keras.saving.register_keras_serializable("tests")
class Scaled(LAYER):
    """A subclass with an argument of its own."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return super().call(inputs) * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@pytest.mark.parametrize("name", [".keras", ".h5", "to_json", "pickle"])
def test_a_subclass_keeps_its_axes_and_its_own_argument(name, tmp_path):
    model, x = filled(keras.Sequential([keras.Input(SHAPE), Scaled(3.0, axis=(1, 2))]))
    loaded = FORMATS[name](model, tmp_path)
    np.testing.assert_array_equal(numbers(loaded, x), numbers(model, x))


def test_symbolic_weights_of_the_function_come_back(tmp_path):
    x, gamma = keras.Input(SHAPE), keras.Input(batch_shape=(4, 2))
    model = keras.Model([x, gamma], layer_norm(x, gamma, axis=(2, 3)))
    data = [
        np.random.default_rng(0).normal(size=s).astype("float32") for s in [(2, 3, 4, 2), (4, 2)]
    ]
    for name in (".keras", ".h5", "to_json", "pickle"):
        loaded = FORMATS[name](model, tmp_path)
        np.testing.assert_array_equal(numbers(loaded, data), numbers(model, data), err_msg=name)
