"""The doctor: what it reports, and that each problem comes with the command that fixes it."""

import importlib.metadata
import importlib.util
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import py_layernorm
from py_layernorm import doctor, engines


def run(*arguments, executable=sys.executable, **environment):
    return subprocess.run(
        [executable, *(arguments or ("-m", "py_layernorm"))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_report():
    text = doctor.report(r=False)
    for part in (
        f"py_layernorm   {py_layernorm.__version__}",
        sys.executable,
        keras.__version__,
        importlib.metadata.version("tensorflow"),
        "Keras backend  tensorflow",
        "engine         fused (the native op)",
        "native op      ",
        "under XLA      ",
        "self-check     ok",
        "No problems.",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("reason", "line"),
    [(None, "fused (the native kernel within XLA)"), ("it is old", "portable (it is old)")],
)
def test_which_engine_serves_under_xla(reason, line, monkeypatch):
    monkeypatch.setattr(engines, "unavailable_under_xla", lambda: reason)
    assert {f.label: f.value for f in doctor.keras_findings()}["under XLA"] == line


def test_the_other_backends_that_are_installed():
    values = {f.label: f.value for f in doctor.other_backends("tensorflow")}
    installed = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]
    assert list(values) == [f"on {name}" for name in installed]
    if "jax" in installed:
        assert values["on jax"] == "fused (the native kernel within XLA)"
    assert doctor.engine_on("nonsense").startswith("unknown: ")


def test_command_line():
    done = run("-m", "py_layernorm", "--no-r")
    assert done.returncode == 0, done.stderr
    assert "self-check" in done.stdout
    assert "reticulate" not in done.stdout


def test_r_is_reported_as_it_is():
    found = {f.label: f for f in doctor.findings()}
    version = subprocess.run(
        ["Rscript", "-e", "cat(as.character(getRversion()))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found["R"].value.startswith(version)
    assert "reticulate (R)" in found
    assert found["layernorm (R)"].value == py_layernorm.__version__
    # The tests' own R is bound to this Python by RETICULATE_PYTHON.
    assert found["reticulate's Python"].value == f"{sys.executable} (this one)"
    assert "starts R version" in found["rpy2"].value


def test_another_python_for_reticulate(monkeypatch):
    monkeypatch.setenv("RETICULATE_PYTHON", "/usr/bin/python3")
    found = {f.label: f for f in doctor.r_findings()}
    assert found["reticulate's Python"].remedy == f"export RETICULATE_PYTHON={sys.executable}"


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def no_choice(monkeypatch, tmp_path):
    """A user who has chosen no Python, in a folder without one."""
    for name in ("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "RETICULATE_PYTHON_FALLBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WORKON_HOME", str(tmp_path))
    monkeypatch.setenv("RETICULATE_USE_MANAGED_VENV", "no")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env/lib").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    program(tmp_path / "env/bin/python", f'exec {sys.executable} "$@"')
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/text").touch()
    program(tmp_path / "bin/talks", "echo hello")
    hidden = f"""case $1 in *config.py) {sys.executable} "$1" | grep -v '^LIB\\|^Base' ;;"""
    program(tmp_path / "bin/static", f'{hidden}\n*) exec {sys.executable} "$@" ;; esac')


TAKES = (
    "reticulate cannot use RETICULATE_PYTHON: .* is not the path of a Python that runs; it takes"
)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("PYTHON", "env", TAKES),
        ("PYTHON", "bin", TAKES),
        ("PYTHON", "bin/text", TAKES),
        ("PYTHON", "bin/talks", TAKES),
        ("PYTHON", "none", r"reticulate cannot start Python: .* \(none\) does not exist"),
        ("PYTHON", "", "reticulate cannot start Python: .* does not exist"),
        ("PYTHON", "managed", "would not take .*, but create an environment"),
        (
            "PYTHON",
            "bin/static",
            "reticulate cannot start .*/bin/static: .*shared library not found",
        ),
        ("PYTHON", "env/bin/python", "would take another Python"),
        ("PYTHON_ENV", "none", r"PYTHON_ENV \(none\) does not exist"),
        ("PYTHON_FALLBACK", "none", r"PYTHON_FALLBACK \(none\) does not exist"),
    ],
)
def test_a_setting_with_which_reticulate_does_not_start_this_python(
    setting, value, problem, monkeypatch, no_choice
):
    monkeypatch.setenv(f"RETICULATE_{setting}", value)
    finding = doctor.reticulates_python(doctor.ask_r())
    assert re.search(problem, finding.problem)
    assert finding.remedy == f"export RETICULATE_PYTHON={sys.executable}"


def test_a_setting_with_which_it_does(monkeypatch, no_choice):
    for value in (sys.executable, Path(sys.executable).parent):
        monkeypatch.setenv("RETICULATE_PYTHON", str(value))
        assert not doctor.reticulates_python(doctor.ask_r()).problem


def test_a_setting_of_the_projects_profile(monkeypatch, no_choice, tmp_path):
    monkeypatch.setenv("RETICULATE_PYTHON", sys.executable)
    monkeypatch.delenv("R_PROFILE_USER", raising=False)
    (tmp_path / ".Rprofile").write_text("Sys.setenv(RETICULATE_PYTHON = 'env')\n")
    finding = doctor.reticulates_python(doctor.ask_r())
    assert re.search(TAKES, finding.problem)
    where = "(in .Renviron or .Rprofile, which now set RETICULATE_PYTHON)"
    assert finding.remedy == f"RETICULATE_PYTHON={sys.executable}    {where}"


def test_this_python_without_a_shared_library():
    found = {"python": sys.executable, "why": "", "failure": "Python shared library not found"}
    finding = doctor.reticulates_python(found)
    assert finding.problem == f"reticulate cannot start {sys.executable}: {found['failure']}"
    assert finding.remedy.startswith("apt-get install libpython3.")


def test_no_r(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = doctor.r_findings()
    assert finding.value.startswith("not found")
    assert not finding.problem


def test_r_without_the_packages(monkeypatch, tmp_path):
    fake_rscript(tmp_path, "printf 'R\\t4.5.0\\n'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = {f.label: f for f in doctor.r_findings()}
    assert "install.packages" in found["reticulate (R)"].remedy
    assert found["layernorm (R)"].remedy == "R CMD INSTALL r_package"


@pytest.mark.parametrize(("version", "old"), [("1.28", True), ("1.41.0.1", False), ("2.0", False)])
def test_reticulate_too_old(version, old):
    finding = doctor.reticulate_finding(version)
    assert bool(finding.problem) == bool(finding.remedy) == old


def test_r_that_does_not_run(monkeypatch, tmp_path):
    fake_rscript(tmp_path, "echo 'no such library' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (finding,) = doctor.r_findings()
    assert "no such library" in finding.problem


def test_rpy2_is_there_and_starts_r():
    finding = doctor.rpy2_finding()
    assert finding.value.startswith(importlib.metadata.version("rpy2") + ", starts R version ")
    assert not finding.problem


def test_rpy2_is_not_there(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = doctor.rpy2_finding()
    assert finding.value.startswith("not found; needed only for R within Python")
    assert f'{sys.executable} -m pip install "py-layernorm[r]"' in finding.value
    assert not finding.problem


def test_rpy2_that_does_not_start_r(monkeypatch, tmp_path):
    monkeypatch.setenv("R_HOME", str(tmp_path))
    finding = doctor.rpy2_finding()
    assert finding.problem.startswith("rpy2 cannot start R: ")
    assert "libR" in finding.problem
    assert finding.remedy == f"{sys.executable} -m rpy2.situation"


def fake_rscript(folder, script):
    program(folder / "Rscript", script)


def test_a_missing_backend():
    done = run(KERAS_BACKEND="nonesuch")
    assert done.returncode == 1
    assert "Keras cannot be imported" in done.stdout
    assert f"{sys.executable} -m pip install keras tensorflow" in done.stdout


@pytest.mark.parametrize("setting", ["ENGINE", "ISA", "THREADS"])
def test_a_wrong_setting(setting):
    done = run(**{f"PY_LAYERNORM_{setting}": "quick"})
    assert done.returncode == 1
    assert f"unset PY_LAYERNORM_{setting}" in done.stdout


def test_a_native_library_that_does_not_load(monkeypatch):
    from py_layernorm.engines import tensorflow

    def fails():
        raise OSError("libpy_layernorm_op.so: file too short\nand more")

    monkeypatch.setattr(tensorflow, "load", fails)
    finding = doctor.native_finding()
    assert finding.problem == ("the native op is missing: libpy_layernorm_op.so: file too short")
    assert "pip install --force-reinstall --no-deps ." in finding.remedy
    assert not finding.fatal
    monkeypatch.setattr(doctor, "find_compiler", lambda: None)
    assert doctor.native_finding().remedy.startswith("apt-get install g++ && ")


def test_a_failed_self_check(monkeypatch):
    monkeypatch.setattr(doctor, "self_check", lambda: 0.5)
    found = doctor.findings(r=False)
    assert [f.label for f in found if f.fatal] == ["self-check"]
    assert "FAILED, 5.0e-01" in doctor.render(found)


def test_without_keras_the_names_say_what_is_missing():
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import py_layernorm\n"
        "try: py_layernorm.layer_norm\n"
        "except ImportError as error: print(error)"
    )
    done = run("-c", code)
    assert "py_layernorm needs Keras 3" in done.stdout
    assert "python -m py_layernorm" in done.stdout
