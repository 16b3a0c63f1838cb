"""These tests need Keras 2, and start with its own settings."""

import importlib.util

import pytest

if importlib.util.find_spec("tf_keras") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def fresh_keras2(fresh_state):
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    yield
    tf_keras.backend.set_floatx("float32")
    tf_keras.backend.set_epsilon(1e-7)
    tf_keras.mixed_precision.set_global_policy("float32")
