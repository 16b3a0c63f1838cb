"""Python, R, and R within Python: the same bits, the same errors, the same files."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import calls
import h5py
import keras
import numpy as np
import pytest
from cases import TOLERANCE, relative_error

import py_layernorm
from py_layernorm.r import layernorm_r

SCRIPT = Path(__file__).with_name("calls.R")
TABLE = calls.table("")
every_call = pytest.mark.parametrize("call", TABLE, ids=[call["id"] for call in TABLE])
MODELS = [call for call in TABLE if call["function"] == "model"]
every_model = pytest.mark.parametrize("call", MODELS, ids=[call["id"] for call in MODELS])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for what each way writes."""
    return {name: tmp_path_factory.mktemp(name) for name in ("python", "bridge", "r", "within")}


@pytest.fixture(scope="module")
def results(folders):
    """What the calls come to: each way's results by the calls' ids.

    python: py_layernorm's functions. bridge: the R package's, called from Python.
    r: an R script. within: the same script in the R within this process.
    Both run while this process does; they load what Python saved.
    """
    answers = {"python": in_python(py_layernorm, folders["python"])}
    code = f"source('{SCRIPT}'); " + script_call(folders, "r")
    with subprocess.Popen(["Rscript", "-e", code], stderr=subprocess.PIPE, text=True) as script:
        answers["bridge"] = in_python(layernorm_r(), folders["bridge"])
        from rpy2 import robjects

        robjects.r(f"source('{SCRIPT}')")
        robjects.r(script_call(folders, "within"))
        _, errors = script.communicate()
    assert script.returncode == 0, errors
    for way in ("r", "within"):
        table = script_table(folders, way)
        found = json.loads((folders[way] / "results.json").read_text())
        answers[way] = {c["id"]: plain(a) for c, a in zip(table, found, strict=True)}
    return answers


def in_python(functions, folder):
    return {call["id"]: plain(calls.run(functions, call)) for call in calls.table(folder)}


def script_table(folders, way):
    return calls.table(folders[way]) + calls.loads(calls.table(folders["python"]))


def script_call(folders, way):
    source, target = (folders[way] / name for name in ("calls.json", "results.json"))
    source.write_text(json.dumps(script_table(folders, way)))
    return f"run_calls('{source}', '{target}')"


def plain(answer):
    """An answer with its numbers as bytes, which are compared bit for bit."""
    if "values" in answer:
        return {**answer, "values": calls.array(answer).tobytes()}
    return answer


@every_call
def test_r_comes_to_the_same_however_it_is_reached(call, results):
    answers = [results[way][call["id"]] for way in ("r", "within", "bridge")]
    assert answers[0] == answers[1] == answers[2]


@every_call
def test_r_comes_to_the_same_as_python(call, results):
    """Where R finds an error itself, before Python starts, its own text names the argument."""
    python, r = results["python"][call["id"]], results["r"][call["id"]]
    if r.get("error") == "layernorm_argument_error":
        argument = re.match(r"`(\w+)` must be ", r["text"])[1]
        assert python["error"] in ("TypeError", "ValueError")
        assert re.search(rf"\b{argument}`? must ", python["text"])
    else:
        assert python == r


@every_call
def test_numbers_are_those_of_the_reference(call, results):
    answer = results["python"][call["id"]]
    if "error" in answer or call["function"] == "model":
        return
    y = np.frombuffer(answer["values"]).reshape(answer["shape"])
    assert relative_error(y, calls.expected(call)) <= TOLERANCE[answer["dtype"]]


def test_the_table_holds_successes_and_failures(results):
    failed = [identity for identity, answer in results["python"].items() if "error" in answer]
    assert set(failed) == {call["id"] for call in calls.wrong_calls()}


def config_in(file):
    """A saved model's configuration but for the addresses in it."""

    def without_addresses(found):
        return {name: value for name, value in found.items() if name != "shared_object_id"}

    text = zipfile.ZipFile(file).read("config.json")
    return json.loads(text, object_hook=without_addresses)


def weights_in(file):
    """The names, shapes and bytes of a saved model's weights."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, item[()].tobytes())

    with zipfile.ZipFile(file) as archive, h5py.File(archive.open("model.weights.h5")) as weights:
        weights.visititems(note)
    return found


@every_model
def test_files_are_the_same(call, results, folders):
    files = [folders[way] / Path(call["file"]).name for way in results]
    configs = [config_in(file) for file in files]
    assert all(config == configs[0] for config in configs)
    weights = [weights_in(file) for file in files]
    assert len(weights[0]) >= 4
    assert all(found == weights[0] for found in weights)


@every_model
def test_each_loads_what_the_other_saved(call, results, folders):
    saved_by_r = keras.models.load_model(folders["r"] / Path(call["file"]).name)
    y = plain(calls.encode(saved_by_r(calls.array(call["object"]))))
    assert y == results["python"][call["id"]]
    for way in ("r", "within"):
        assert results[way][f"load {call['id']}"] == results["python"][call["id"]]
