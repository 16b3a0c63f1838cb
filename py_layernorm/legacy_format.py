"""Keras's legacy format, `.h5` files: its loader drops an `axis` that is a list.

Keras pops "axis" from every configuration in such a file and puts back only a single one. A layer
made of what is left would normalise over the last axis, silently. So an `axis` of several is
written a second time, under a name that Keras does not touch.
"""

from typing import Any

from py_layernorm import keras_internals

SECOND_NAME = "axes"


def written(config: dict[str, Any]) -> dict[str, Any]:
    """What `get_config` returns: `config`, for an `.h5` file with a second copy of the axis."""
    if isinstance(config["axis"], int) or not keras_internals.in_legacy_format():
        return config
    return {**config, SECOND_NAME: list(config["axis"])}


def read(config: dict[str, Any]) -> dict[str, Any]:
    """What `from_config` uses: `config`, from an `.h5` file with the axis put back.

    Raises:
        ValueError: if the file has lost the axis.
    """
    if not keras_internals.in_legacy_format():
        return config
    config = dict(config)
    axes = config.pop(SECOND_NAME, None)
    if "axis" not in config:
        if axes is None:
            raise ValueError(
                f"axis of '{config.get('name')}' is not in this file: Keras's legacy format (.h5) "
                "drops an axis of several, and an older py_layernorm wrote the file. Build the "
                "model in code, call its load_weights() with this file, and save it as .keras."
            )
        config["axis"] = axes
    return config
