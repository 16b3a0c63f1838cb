"""Registering our layer with Keras 2 as soon as Keras 2 is imported, before or after this package.

Keras 2 loads a file with our layer only if the layer's class is registered, and importing this
package must not import Keras 2: most users have no use for it.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

KERAS2 = "tf_keras"


def register_with_keras2() -> None:
    """Import `keras2.py` now if Keras 2 has been imported, else when it is."""
    if KERAS2 in sys.modules:
        import py_layernorm.keras2  # noqa: F401
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds Keras 2 as Python would, and has it followed by `keras2.py`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != KERAS2:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _followed(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _followed(execute: Any) -> Any:
    """`execute`, which runs a module, and then the import of ours."""

    def both(module: ModuleType) -> None:
        execute(module)
        import py_layernorm.keras2  # noqa: F401

    return both
