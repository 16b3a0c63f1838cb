"""Which py_layernorm serves R: the one of the Python in use, or the one inside the R package.

R runs this file by its path, before it imports either of the two, so it imports neither. As a
program, with the folder inside the R package as its argument, it prints what `choose` returns; with
more arguments, it runs `python -m py_layernorm` with them, on the module that serves.
"""

import importlib.util
import re
import runpy
import sys
from pathlib import Path


def choose(bundled: str, activate: bool = True) -> dict[str, str]:
    """Choose, and unless `activate` is false put `bundled` first on the module path if it serves.

    Args:
        bundled: the folder inside the R package that holds its py_layernorm.

    Returns:
        `serves`: "python" or "package"; `python` and `package`: the versions of the two, "" for one
        that is not there; `path`: the folder of the module that serves.

    What has been imported stays: there is never more than one in a process.
    """
    inside = Path(bundled, "py_layernorm")
    package = _version(inside / "__init__.py")
    if "py_layernorm" in sys.modules:
        origin = sys.modules["py_layernorm"].__file__
    else:
        spec = importlib.util.find_spec("py_layernorm")
        origin = spec.origin if spec else None
    if origin and Path(origin).parent == inside:  # chosen before
        return {"serves": "package", "python": "", "package": package, "path": str(inside)}
    python = _version(Path(origin)) if origin else ""
    if "py_layernorm" in sys.modules or _numbers(python) >= _numbers(package):
        folder = str(Path(origin).parent) if origin else ""
        return {"serves": "python", "python": python, "package": package, "path": folder}
    if activate:
        sys.path.insert(0, bundled)
    return {"serves": "package", "python": python, "package": package, "path": str(inside)}


def _version(init: Path) -> str:
    found = re.search(r'^__version__ = "(.*)"', init.read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


if __name__ == "__main__":
    choice = choose(sys.argv[1], activate=len(sys.argv) > 2)
    if len(sys.argv) > 2:
        del sys.argv[1]
        runpy.run_module("py_layernorm", run_name="__main__", alter_sys=True)
    for item in choice.items():
        print(*item, sep="\t")
