"""Every test starts with the automatic engine, a seed, and Keras's own settings."""

import os
import signal

import keras
import pytest
from cases import engines

import py_layernorm

# Shells start what is in the background with Ctrl-C ignored; tests send it and expect an exception.
signal.signal(signal.SIGINT, signal.default_int_handler)

if os.environ.get("CI") == "true" and py_layernorm.engines.fused_unavailable():
    raise RuntimeError(f"in CI the native op must be there: {py_layernorm.engines.describe()}")


@pytest.fixture(autouse=True)
def fresh_state():
    keras.utils.set_random_seed(0)
    policy, floatx, fuzz = (
        keras.config.dtype_policy(),
        keras.config.floatx(),
        keras.config.epsilon(),
    )
    with py_layernorm.use_engine("auto"):
        yield
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(fuzz)
    keras.config.set_dtype_policy(policy)


@pytest.fixture(params=engines())
def engine(request):
    with py_layernorm.use_engine(request.param):
        yield request.param
