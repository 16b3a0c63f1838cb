"""Model files that are damaged or hostile: one clear error, and none of the file's code is run."""

import io
import json
import zipfile

import keras
import pytest
from keras_versions import KNOWS_COMPLEX

import py_layernorm

OURS = "py_layernorm>LayerNormalization"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(4)])
    py_layernorm.layer_layer_normalization(model, name="norm").save(path)
    return path


def load(path):
    return keras.models.load_model(path)


def rewritten(saved, path, change):
    """The file with `change` applied to our layer's entry in its configuration."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                (entry,) = (e for e in config["config"]["layers"] if e["registered_name"] == OURS)
                change(entry)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def with_config(saved, path, **values):
    return rewritten(saved, path, lambda entry: entry["config"].update(values))


def test_the_rewriting_itself_does_no_harm(saved, tmp_path):
    path = with_config(saved, tmp_path / "model.keras", epsilon=0.5)
    assert load(path).get_layer("norm").epsilon == 0.5


@pytest.mark.parametrize("part", [0, 1, 10, 0.3, 0.5, 0.9, -1])
def test_a_truncated_file(saved, tmp_path, part):
    content = saved.read_bytes()
    cut = int(part * len(content)) if isinstance(part, float) else part
    path = tmp_path / "model.keras"
    path.write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"File not found|not accessible|valid `\.keras` zip"):
        load(path)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_altered_bytes(saved, tmp_path, member):
    """The archive's own checksum tells."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(saved) as archive:
        info = archive.getinfo(member)
    content = bytearray(saved.read_bytes())
    at = info.header_offset + 30 + len(member) + info.compress_size // 2
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises((zipfile.BadZipFile, OSError), match=r"CRC|checksum|truncated|corrupt"):
        load(path)


# What a layer's configuration may be altered to, and a part of the one error that names it.
HOSTILE = [
    ({"axis": [-1] * 1_000_000}, "axis must not name the same axis twice"),
    ({"axis": list(range(100_000))}, "axis must lie between"),
    ({"axis": 10**30}, "axis must lie between"),
    ({"axis": [0, "x" * 1_000_000]}, "axis must be an int"),
    ({"axis": []}, "axis must name at least one axis"),
    ({"axis": "-1"}, "axis must be an int"),
    ({"axis": [[1], [2]]}, "axis must be an int"),
    ({"axis": {"class_name": "__tuple__", "items": ["a"]}}, "axis must be an int"),
    ({"param_axis": 9}, "param_axis must lie between"),
    ({"param_axis": True}, "param_axis must be an int"),
    ({"epsilon": -1}, "epsilon must be a finite number"),
    ({"epsilon": "0.1"}, "epsilon must be a finite number"),
    ({"epsilon": float("nan")}, "epsilon must be a finite number"),
    ({"epsilon": 10**400}, "epsilon must be a finite number|Exceeds the limit"),
    ({"center": "yes"}, "center must be True or False"),
    ({"scale": 1}, "scale must be True or False"),
    ({"trainable": None}, "trainable must be True or False"),
    ({"gamma_initializer": "nonesuch"}, "gamma_initializer must be a Keras initializer"),
    ({"gamma_initializer": 3}, "gamma_initializer must be a Keras initializer"),
    ({"beta_regularizer": {"a": {"b": {}}}}, "beta_regularizer must be a Keras regularizer"),
    ({"dtype": "int32"}, "dtype must be one of float16"),
    # Keras that knows no complex dtypes refuses it before ours does.
    ({"dtype": "complex64"}, "dtype must be one of float16" if KNOWS_COMPLEX else "'complex64'"),
    ({"rms_scaling": True}, "rms_scaling must be False"),
    # What a newer version might add.
    ({"axis_order": "sorted"}, "Unrecognized keyword arguments.*axis_order"),
]


@pytest.mark.parametrize(
    ("values", "message"), HOSTILE, ids=[f"{i}-{next(iter(v))}" for i, (v, _) in enumerate(HOSTILE)]
)
def test_a_hostile_value_is_one_clear_error(saved, tmp_path, values, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        load(with_config(saved, tmp_path / "model.keras", **values))
    # Keras quotes the configuration before the reason; the reason itself stays short.
    reason = str(caught.value).rpartition("Exception encountered: ")[2]
    assert len(reason) < 1000


@pytest.mark.parametrize(
    "value",
    ["x", {"shapes": [3, 4]}, *({"input_shape": s} for s in (None, "abc", ["3"], [-4], [4.0], 4))],
    ids=str,
)
def test_a_hostile_build_config_is_one_clear_error(saved, tmp_path, value):
    """From which Keras builds the layer before any input comes."""
    path = rewritten(
        saved, tmp_path / "model.keras", lambda entry: entry.update(build_config=value)
    )
    with pytest.raises((TypeError, ValueError), match="build_config must hold the input_shape"):
        load(path)


def marking_lambda(path):
    """A Keras lambda that writes a file, however it is called, as `keras.saving` stores it."""
    layer = keras.layers.Lambda(eval(f"lambda x, *_, **__: open({str(path)!r}, 'w').close() or x"))
    return keras.saving.serialize_keras_object(layer)["config"]["function"]


def payloads(marker):
    """Configurations that name code: the file's own, or of modules that are none of Keras's."""
    code = marking_lambda(marker)
    yield "lambda", code
    yield (
        "lambda layer",
        {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"name": "l", "function": code},
            "registered_name": None,
        },
    )
    for module, name, config in (
        ("builtins", "function", "eval"),
        ("builtins", "open", {"file": str(marker), "mode": "w"}),
        ("os", "system", {"command": f"touch {marker}"}),
        ("subprocess", "Popen", {"args": ["touch", str(marker)]}),
        ("pathlib", "Path", {"args": str(marker)}),
        ("keras.src.utils.python_utils", "func_load", {"code": "eA=="}),
        ("py_layernorm.doctor", "main", {}),
    ):
        yield (
            f"{module}.{name}",
            {
                "module": module,
                "class_name": name,
                "config": config,
                "registered_name": name,
            },
        )


ARGUMENTS = ("gamma_initializer", "beta_regularizer", "gamma_constraint", "axis", "epsilon")


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_no_code_of_a_file_is_run(saved, tmp_path, argument):
    marker = tmp_path / "marker"
    for name, payload in payloads(marker):
        path = with_config(saved, tmp_path / "model.keras", **{argument: payload})
        with pytest.raises((TypeError, ValueError)) as caught:
            load(path)
        assert str(caught.value), name
        assert not marker.exists(), name


def test_a_lambda_in_the_place_of_our_layer(saved, tmp_path):
    marker = tmp_path / "marker"

    def change(entry):
        entry.clear()
        entry.update(dict(payloads(marker))["lambda layer"])

    path = rewritten(saved, tmp_path / "model.keras", change)
    with pytest.raises(ValueError, match="safe_mode=False"):
        load(path)
    assert not marker.exists()
    # What is the user's to turn off shows that the payload is one, and that this test can fail.
    keras.models.load_model(path, safe_mode=False)(keras.ops.ones((2, 3, 4)))
    assert marker.exists()


@pytest.mark.parametrize(
    ("values", "quoted"),
    [
        ({"class_name": "Popen", "module": "subprocess", "registered_name": "Popen"}, "Popen"),
        ({"registered_name": "py_layernorm>Nonesuch", "class_name": "Nonesuch"}, "Nonesuch"),
        ({"config": "not a configuration"}, "not a configuration"),
        ({"config": [1, 2]}, r"'config': \[1, 2\]"),
    ],
    ids=["another module's", "unknown class", "text", "list"],
)
def test_an_entry_that_names_something_else(saved, tmp_path, values, quoted):
    """Keras refuses it, and quotes what it is."""
    path = rewritten(saved, tmp_path / "model.keras", lambda entry: entry.update(values))
    with pytest.raises((TypeError, ValueError), match=quoted):
        load(path)


def test_weights_of_another_shape_are_an_error(saved, tmp_path):
    other = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(4)])
    arguments = {"axis": [1, 2], "name": "norm"}  # whose weights alone are of another shape
    py_layernorm.layer_layer_normalization(other, **arguments).save(tmp_path / "other.keras")
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(tmp_path / "other.keras") as archive:
        weights = archive.read("model.weights.h5")
    buffer = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, weights if name.endswith(".h5") else source.read(name))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="shape"):
        load(path)
