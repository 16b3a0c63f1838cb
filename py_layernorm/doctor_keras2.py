"""What the doctor says about Keras 2, the package `tf_keras`. It does not import it."""

import importlib.metadata
import os
from collections.abc import Iterator

from py_layernorm import doctor

LEGACY = "TF_USE_LEGACY_KERAS"  # TensorFlow's own setting


def keras2_findings() -> Iterator["doctor.Finding"]:
    """Nothing where Keras 2 is neither installed nor asked for: it is not needed."""
    setting = os.environ.get(LEGACY)
    asked = setting in ("1", "true", "True")
    found, tensorflow = version("tf_keras"), version("tensorflow")
    label, value = "Keras 2", f"tf_keras {found or 'not found'}"
    number = tensorflow.rpartition(".")[0] if tensorflow else "2"
    install = doctor.pip_install(f'"tf_keras=={number}.*"')
    if asked:
        value += f" (asked for by {LEGACY})"
    if found is None:
        if asked:
            problem = f"{LEGACY}={setting} asks for Keras 2, and tf_keras is not installed"
            yield doctor.Finding(label, value, problem, f"{install}    (or unset {LEGACY})")
    elif tensorflow and not found.startswith(f"{number}."):
        problem = f"tf_keras {found} does not go with TensorFlow {tensorflow}"
        yield doctor.Finding(label, value, problem, install)
    else:
        yield doctor.Finding(label, value)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
