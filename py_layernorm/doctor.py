"""The doctor behind `python -m py_layernorm`: what is installed, which engine runs, what is wrong.

Imports neither Keras nor NumPy at the top: it has to run where they are missing.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("numpy", "keras", "tensorflow", "jax", "torch")
RETICULATE = (1, 41)
SELF_CHECK_LIMIT = 1e-5  # of the largest value; float32 against float64, rows at offset 1e4

RPY2_PROBE = "import rpy2.rinterface as r; r.initr(); print(r.baseenv['R.version.string'][0])"

ENGINE_PROBE = "from py_layernorm import engines; print('{} ({})'.format(*engines.describe()))"
NATIVE_IN_XLA = "the native kernel within XLA"


@dataclass
class Finding:
    """One line of the report; `problem` says what is wrong, `remedy` which command fixes it."""

    label: str
    value: str
    problem: str = ""
    remedy: str = ""
    fatal: bool = False  # the layer does not work in this Python


def pip_install(what: str) -> str:
    return f"{sys.executable} -m pip install {what}"


def python_findings() -> Iterator[Finding]:
    from py_layernorm import __version__
    from py_layernorm.doctor_keras2 import keras2_findings

    yield Finding("py_layernorm", f"{__version__}, {Path(__file__).parent}")
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    for package in PACKAGES:
        try:
            yield Finding(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    yield from keras2_findings()
    yield Finding("compiler", find_compiler() or "none found")
    yield from keras_findings()


def keras_findings() -> Iterator[Finding]:
    """Keras's backend, the engine and the self-check, which all need Keras."""
    try:
        import keras

        backend = keras.backend.backend()
    except Exception as error:  # a missing or broken backend, or a wrong keras.json
        missing = getattr(error, "name", None)
        yield Finding(
            "Keras backend",
            "none",
            f"Keras cannot be imported: {type(error).__name__}: {error}",
            pip_install(missing if missing in ("jax", "torch") else "keras tensorflow"),
            fatal=True,
        )
        return
    source = "KERAS_BACKEND" if os.environ.get("KERAS_BACKEND") else "Keras's configuration"
    yield Finding("Keras backend", f"{backend} ({source})")

    from py_layernorm import engines

    try:
        name, why = engines.describe()
    except (ValueError, RuntimeError) as error:
        setting = str(error).split()[0]  # which the message begins with
        yield Finding("engine", "none", str(error), f"unset {setting}", fatal=True)
        return
    yield Finding("engine", f"{name} ({why})")
    if backend == "tensorflow":
        yield native_finding()
        reason = engines.unavailable_under_xla() if name == "fused" else why
        yield Finding("under XLA", f"portable ({reason})" if reason else f"fused ({NATIVE_IN_XLA})")
    yield from other_backends(backend)
    off = self_check()
    ok = off <= SELF_CHECK_LIMIT
    yield Finding(
        "self-check",
        f"{'ok' if ok else 'FAILED'}, {off:.1e} off float64 (limit {SELF_CHECK_LIMIT:.0e})",
        "" if ok else "layer_norm is off its float64 reference",
        "" if ok else pip_install("--upgrade keras tensorflow"),
        fatal=not ok,
    )


def other_backends(backend: str) -> Iterator[Finding]:
    """The engine that would serve on each of the other frameworks that are installed."""
    for other in ("tensorflow", "jax", "torch"):
        if other != backend and importlib.util.find_spec(other):
            yield Finding(f"on {other}", engine_on(other))


@functools.cache
def engine_on(backend: str) -> str:
    """The engine on another backend of Keras's, in a process of its own: a process has one."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", ENGINE_PROBE],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "KERAS_BACKEND": backend},
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        return f"unknown: {said.splitlines()[-1]}"
    return probe.stdout.strip().splitlines()[-1]


def native_finding() -> Finding:
    """Whether TensorFlow loads the native op, and what it runs on."""
    from py_layernorm.engines import kernel, tensorflow

    try:
        tensorflow.load()
        return Finding("native op", kernel.description())
    except Exception as error:
        again = pip_install("--force-reinstall --no-deps .") + "    (in the folder of the sources)"
        compiler = "" if find_compiler() else "apt-get install g++ && "
        reason = str(error).splitlines()[0]
        return Finding("native op", "none", f"the native op is missing: {reason}", compiler + again)


def find_compiler() -> str | None:
    return next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


def self_check() -> float:
    """The largest error of `layer_norm` in float32 against float64, over the largest value."""
    import keras
    import numpy as np

    from py_layernorm import layer_norm

    random = np.random.default_rng(0)
    x = (random.normal(size=(32, 768)) + 1e4).astype("float32")
    gamma, beta = random.normal(size=(2, 768)).astype("float32")
    y = keras.ops.convert_to_numpy(layer_norm(x, gamma, beta))
    d = x - x.mean(axis=-1, keepdims=True, dtype="float64")
    expected = d / np.sqrt((d**2).mean(axis=-1, keepdims=True) + 1e-3) * gamma + beta
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def ask_r() -> dict[str, str] | Finding:
    """What r/probe.R finds, by name, or why R cannot run it."""
    rscript = shutil.which("Rscript")
    if not rscript:
        return Finding(
            "R", "not found; needed only for use from R (Debian, Ubuntu: apt-get install r-base)"
        )
    try:
        probe = subprocess.run(
            [rscript, str(Path(__file__).parent / "r" / "probe.R")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ,  # without what an R in this process has set
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("R", rscript, f"R does not run: {error}", f"{rscript} --version")
    found = dict(line.split("\t", 1) for line in probe.stdout.splitlines() if "\t" in line)
    if "R" not in found:
        return Finding("R", rscript, f"R fails: {probe.stderr.strip()}", f"{rscript} --version")
    found["R"] += f", {rscript}"
    return found


def r_findings() -> Iterator[Finding]:
    """R, reticulate, the R package, and which Python reticulate would take."""
    found = ask_r()
    if isinstance(found, Finding):
        yield found
        return
    yield Finding("R", found["R"])
    yield reticulate_finding(found.get("reticulate"))
    yield layernorm_finding(found.get("layernorm"))
    if "keras3" in found:
        yield Finding("keras3 (R)", found["keras3"])
    yield rpy2_finding()
    if "reticulate" in found:
        yield reticulates_python(found)


def reticulates_python(found: dict[str, str]) -> Finding:
    """Which Python reticulate starts, and what is wrong if it is not this one, as set."""
    label, python = "reticulate's Python", found.get("python", "")
    names = ("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV")
    setting = next((name for name in names if name in found), "")
    named = found.get(setting, "")
    value = python or "none"
    if "failure" in found:
        problem = f"reticulate cannot start {python or 'Python'}: {found['failure']}"
    elif not python:
        value = "none chosen: it would create an environment of its own"
        problem = f"from R, reticulate would not take {sys.executable}, but create an environment"
    elif setting and named != "managed" and found["why"] != setting:
        problem = (
            f"reticulate cannot use {setting}: {named!r} is not the path of a Python that runs; "
            f"it takes {python}"
        )
    elif _is_this(python):
        return Finding(label, f"{python} (this one)")
    else:
        problem = f"from R, reticulate would take another Python than {sys.executable}"
    remedy = f"export RETICULATE_PYTHON={sys.executable}"
    if "failure" in found and _is_this(python):
        library = "libpython{}.{}".format(*sys.version_info)
        remedy = f"apt-get install {library}    (or choose a Python that has a shared library)"
    elif setting and named != os.environ.get(setting):
        where = f"    (in .Renviron or .Rprofile, which now set {setting})"
        remedy = remedy.removeprefix("export ") + where
    return Finding(label, value, problem, remedy)


def _is_this(python: str) -> bool:
    path, this = Path(python).absolute(), Path(sys.executable).absolute()
    return path.parent == this.parent and path.resolve() == this.resolve()


def reticulate_finding(version: str | None) -> Finding:
    needed = ".".join(map(str, RETICULATE))
    install = "Rscript -e 'install.packages(\"reticulate\")'"
    if version is None:
        return Finding("reticulate (R)", "not found", "reticulate is not installed", install)
    if tuple(int(part) for part in version.replace("-", ".").split(".")[:2]) < RETICULATE:
        return Finding("reticulate (R)", version, f"reticulate is older than {needed}", install)
    return Finding("reticulate (R)", version)


def layernorm_finding(version: str | None) -> Finding:
    if version is None:
        problem = "the R package layernorm is not installed"
        return Finding("layernorm (R)", "not found", problem, "R CMD INSTALL r_package")
    return Finding("layernorm (R)", version)


def rpy2_finding() -> Finding:
    """Whether rpy2 is installed and can start R, in a separate process."""
    try:
        version = importlib.metadata.version("rpy2")
    except importlib.metadata.PackageNotFoundError:
        install = pip_install('"py-layernorm[r]"')
        return Finding("rpy2", f"not found; needed only for R within Python ({install})")
    try:
        probe = subprocess.run(
            [sys.executable, "-c", RPY2_PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, **rpy2_mode()},
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        reason = str(said).strip().splitlines()[-1]
        problem = f"rpy2 cannot start R: {reason}"
        return Finding("rpy2", version, problem, f"{sys.executable} -m rpy2.situation")
    return Finding("rpy2", f"{version}, starts {probe.stdout.strip()}")


def rpy2_mode() -> dict[str, str]:
    """The environment in which to import rpy2: without its compiled module, if possible.

    The compiled module writes to stderr about callbacks of R that rpy2 has not defined.
    """
    possible = importlib.util.find_spec("_rinterface_cffi_abi")
    return {"RPY2_CFFI_MODE": "ABI"} if possible and "RPY2_CFFI_MODE" not in os.environ else {}


def findings(r: bool = True) -> list[Finding]:
    """All findings, those about R only if `r`."""
    return [*python_findings(), *(r_findings() if r else ())]


def render(found: list[Finding]) -> str:
    """The report as text: a line per finding, then each problem with its fix."""
    width = max(len(f.label) for f in found)
    lines = [f"{f.label:<{width}}  {f.value}" for f in found]
    problems = [f for f in found if f.problem]
    lines.append("")
    lines.append(
        f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "No problems."
    )
    for f in problems:
        lines += [f"- {f.problem}", f"    {f.remedy}"]
    return "\n".join(lines)


def report(r: bool = True) -> str:
    """The doctor's report as text.

    Args:
        r: Whether to look for R too, which starts it once.

    Example:

    >>> from py_layernorm import doctor
    >>> doctor.report(r=False).startswith("py_layernorm")
    True
    """
    return render(findings(r))


def main(arguments: list[str] | None = None) -> int:
    """Print the report; 1 if the layer does not work in this Python, 0 if it does."""
    parser = argparse.ArgumentParser(
        prog="python -m py_layernorm", description="What py_layernorm finds on this machine."
    )
    parser.add_argument("--no-r", action="store_true", help="do not look for R")
    found = findings(r=not parser.parse_args(arguments).no_r)
    print(render(found))
    return int(any(f.fatal for f in found))
