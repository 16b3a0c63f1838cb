"""Layer normalisation for Keras: one call, the same in Python and in R.

`layer_layer_normalization(object, ...)` returns a layer, an extended Sequential model or an
output tensor, depending on `object`. Importing this package registers `LayerNormalization`
with Keras, which is required to load a `.keras` file that contains one.
"""

__version__ = "0.1.0"

try:
    import keras

    from py_layernorm import engines, keras_internals, pickling, when_imported
    from py_layernorm.accelerate import accelerate, restore
    from py_layernorm.compose import compose_layer, layer_layer_normalization
    from py_layernorm.engines import get_engine, use_engine
    from py_layernorm.engines.threads import set_threads
    from py_layernorm.functional import layer_norm
    from py_layernorm.layer import LayerNormalization

    engines.register()
    pickling.register(keras.Sequential, keras_internals.functional_class())
    when_imported.register_with_keras2()
except Exception as _problem:
    # Keras or a working backend is missing. `python -m py_layernorm` has to import this file to
    # report it, so the error is raised only when one of the names is used.
    _why = _problem

    def __getattr__(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(
            f"py_layernorm needs Keras 3 with a backend, and importing it failed: {_why}\n"
            "Run `python -m py_layernorm`: it says what is missing and how to install it."
        ) from _why


__all__ = [
    "LayerNormalization",
    "accelerate",
    "compose_layer",
    "get_engine",
    "layer_layer_normalization",
    "layer_norm",
    "restore",
    "set_threads",
    "use_engine",
]
