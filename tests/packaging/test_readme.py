"""Every command and every code block of the README and the guide is run."""

import os
import re
import shutil
import subprocess
import sys
import venv

import pytest
from documents import ROOT, blocks


def run(command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


PAGES = ["README.md", "docs/guide.md"]


def all_blocks(language):
    found = [(page, i, code) for page in PAGES for i, code in enumerate(blocks(page, language))]
    assert found
    return [pytest.param(code, id=f"{page}-{i}") for page, i, code in found]


@pytest.mark.parametrize("code", all_blocks("python"))
def test_python(code, tmp_path):
    run([sys.executable, "-c", code], cwd=tmp_path)


@pytest.mark.parametrize("code", all_blocks("r"))
def test_r(code, tmp_path):
    script = tmp_path / "block.R"
    script.write_text(code)
    run(["Rscript", script], cwd=tmp_path)


def test_a_model_saved_by_either_block_loads_in_the_other_language(tmp_path):
    (python,), (r, *_) = blocks("README.md", "python"), blocks("README.md", "r")
    run([sys.executable, "-c", python], cwd=tmp_path)
    (tmp_path / "load.R").write_text(
        'library(layernorm)\nlayer_layer_normalization()\nkeras <- reticulate::import("keras")\n'
        'model <- keras$models$load_model("model.keras")\ncat(length(model$layers))'
    )
    assert run(["Rscript", "load.R"], cwd=tmp_path).endswith("3")
    (tmp_path / "block.R").write_text(r)
    run(["Rscript", "block.R"], cwd=tmp_path)
    code = "import keras, py_layernorm; print(len(keras.models.load_model('model.keras').layers))"
    assert run([sys.executable, "-c", code], cwd=tmp_path).strip() == "3"


def commands():
    return [line for block in blocks("README.md", "sh") for line in block.splitlines()]


def test_the_commands_are_those_that_are_tested_here():
    """A command that joins the README needs a test; `make test` is the one that runs this file."""
    assert commands() == [
        "make demo",
        "make test",
        'python -m pip install ".[tensorflow]"',
        "R CMD INSTALL r_package",
        "python -m py_layernorm",
    ]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_make_demo():
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    printed = run(["make", "demo"], cwd=ROOT, env=environment)
    rows = [line.split() for line in printed.splitlines()]
    for title in ("iris", "sunspot.month"):
        (row,) = [r for r in rows if r and r[0] == title]
        assert float(row[-1]) == 0.0, "R and Python predict the same numbers"
        assert 0 < float(row[3]) <= 1


@pytest.fixture
def fresh(tmp_path):
    """A copy of the sources, and the variables of a new virtual environment for them.

    The environment borrows from this one what is large, TensorFlow above all.
    """
    venv.create(tmp_path / "env", with_pip=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    borrowed = [p for p in sys.path if p.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "output"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    versions = os.environ.get("VERSIONS", "locked")
    if versions != "newest":
        # Those that set-up takes; a path in `source`, where pip is run.
        environment |= dict.fromkeys(
            ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"], f"constraints/{versions}.txt"
        )
    environment["PATH"] = f"{tmp_path / 'env' / 'bin'}:{environment['PATH']}"
    return source, environment


def test_without_a_compiler_the_portable_engine_serves(fresh, tmp_path):
    source, environment = fresh
    _, _, install, _, doctor = commands()
    run(install, shell=True, cwd=source, env={**environment, "CXX": "/bin/false"})
    printed = run(doctor + " --no-r", shell=True, cwd=tmp_path, env=environment)
    assert "engine         portable (there is no native library" in printed
    assert "- the native op is missing: there is no native library" in printed
    assert "self-check     ok" in printed


def test_pip_install_and_the_doctor(fresh, tmp_path):
    source, environment = fresh
    python = tmp_path / "env" / "bin" / "python"
    _, _, install, r_install, doctor = commands()
    run(install, shell=True, cwd=source, env=environment)
    found = run(
        [python, "-c", "import py_layernorm; print(py_layernorm.__file__)"],
        cwd=tmp_path,
        env=environment,
    )
    assert str(tmp_path / "env") in found
    (tmp_path / "r-lib").mkdir()
    environment["R_LIBS"] = f"{tmp_path / 'r-lib'}:{environment.get('R_LIBS', '')}"
    environment["RETICULATE_PYTHON"] = str(python)
    run(r_install, shell=True, cwd=source, env=environment)
    assert (tmp_path / "r-lib" / "layernorm").is_dir()
    printed = run(doctor, shell=True, cwd=tmp_path, env=environment)
    assert "self-check" in printed
    assert "No problems." in printed


def test_links_lead_somewhere():
    for page in [*PAGES, "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
