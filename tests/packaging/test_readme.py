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
    (python, *_), (r, *_) = blocks("README.md", "python"), blocks("README.md", "r")
    run([sys.executable, "-c", python], cwd=tmp_path)
    (tmp_path / "load.R").write_text(
        'library(layernorm)\nkeras <- reticulate::import("keras")\n'
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
    """Every command in the README needs a test here; `make test` is the one that runs this file."""
    assert commands() == [
        "make demo",
        "make test",
        "R CMD INSTALL r_package",
        'python -m pip install ".[tensorflow]"',
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
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".[!R]*", "build", "output", "*.so"),
    )
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
    _, _, _, install, doctor = commands()
    run(install, shell=True, cwd=source, env={**environment, "CXX": "/bin/false"})
    printed = run(doctor + " --no-r", shell=True, cwd=tmp_path, env=environment)
    assert "engine         portable (there is no native library" in printed
    assert "- the native op is missing: there is no native library" in printed
    assert "self-check     ok" in printed


@pytest.fixture
def r_install(fresh, tmp_path):
    """Installs the R package as the README says, into an empty library; what R printed."""
    source, environment = fresh
    (tmp_path / "r-lib").mkdir()
    environment["R_LIBS"] = f"{tmp_path / 'r-lib'}:{environment.get('R_LIBS', '')}"

    def install():
        return run(f"{commands()[2]} 2>&1", shell=True, cwd=source, env=environment)

    return install


def native(folder):
    return sorted(p.name for p in (folder / "python/py_layernorm/native").rglob("*.so"))


def test_without_a_compiler_r_says_that_the_portable_engine_serves(fresh, r_install, tmp_path):
    _, environment = fresh
    (tmp_path / "Makevars").write_text("CXX17 = /no/such/compiler\n")
    environment["R_MAKEVARS_USER"] = str(tmp_path / "Makevars")
    printed = r_install()
    assert "there is no C++ compiler: /no/such/compiler does not run" in printed
    assert "layernorm is installed with the portable engine only" in printed
    assert native(tmp_path / "r-lib/layernorm") == []


def test_a_compiler_that_fails_leaves_the_portable_engine(fresh, r_install, tmp_path):
    _, environment = fresh
    (tmp_path / "Makevars").write_text("CXX17FLAGS = --no-such-flag\n")
    environment["R_MAKEVARS_USER"] = str(tmp_path / "Makevars")
    printed = r_install()
    assert "--no-such-flag" in printed
    assert "layernorm is installed with the portable engine only" in printed
    assert native(tmp_path / "r-lib/layernorm") == []


def test_pip_install_r_install_and_the_doctor(fresh, r_install, tmp_path):
    source, environment = fresh
    python = tmp_path / "env" / "bin" / "python"
    _, _, _, install, doctor = commands()
    run(install, shell=True, cwd=source, env=environment)
    found = run(
        [python, "-c", "import py_layernorm; print(py_layernorm.__file__)"],
        cwd=tmp_path,
        env=environment,
    )
    assert str(tmp_path / "env") in found
    environment["RETICULATE_PYTHON"] = str(python)
    assert "compiling the native libraries" in r_install()
    # R's compiler has built what pip's build has.
    cmake = (ROOT / "CMakeLists.txt").read_text()
    (targets,) = re.findall(r"install\(TARGETS ([\w\s]+?)\s+LIBRARY", cmake)
    assert native(tmp_path / "r-lib/layernorm") == sorted(f"lib{t}.so" for t in targets.split())
    installed = list((tmp_path / "r-lib/layernorm/python").rglob("*"))
    assert not [p for p in installed if p.suffix in (".cc", ".h", ".pyc")]
    printed = run(doctor, shell=True, cwd=tmp_path, env=environment)
    assert "self-check" in printed
    assert "No problems." in printed


def test_links_lead_somewhere():
    for page in [*PAGES, "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
