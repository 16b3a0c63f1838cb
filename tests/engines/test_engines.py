"""Choosing an engine: by call, for a block, by the environment."""

import re
import subprocess
import sys

import keras
import pytest

from py_layernorm import engines, use_engine
from py_layernorm.engines import kernel


def test_the_setter_and_the_block():
    setting = use_engine("portable")
    assert (setting.previous, engines.get_engine()) == ("auto", "portable")
    with use_engine("auto") as inner:
        assert (inner.previous, engines.get_engine()) == ("portable", "auto")
    assert engines.get_engine() == "portable"
    assert repr(setting) == "use_engine('portable')"


def test_a_setting_that_is_entered_later_holds_from_then_on():
    setting = use_engine("portable")
    use_engine("auto")
    with setting:
        assert engines.get_engine() == "portable"
    assert engines.get_engine() == "auto"


def test_the_block_ends_by_an_error_too():
    with pytest.raises(KeyError), use_engine("portable"):
        raise KeyError
    assert engines.get_engine() == "auto"


def test_the_environment_holds_until_use_engine_is_called():
    code = (
        "from py_layernorm import engines, use_engine\n"
        "print(engines.get_engine())\n"
        "use_engine('auto')\n"
        "print(engines.get_engine())"
    )
    done = run(code, "portable")
    assert done.stdout.split() == ["portable", "auto"], done.stderr


@pytest.mark.parametrize("name", ["quick", "FUSED", " portable", "auto ", " "])
def test_a_wrong_name_in_the_environment_is_an_error(name, monkeypatch):
    monkeypatch.setattr(engines, "_setting", None)
    monkeypatch.setenv("PY_LAYERNORM_ENGINE", name)
    with pytest.raises(ValueError, match=r"^PY_LAYERNORM_ENGINE must be one of auto, "):
        engines.get_engine()


def test_a_wrong_name_in_the_environment_is_an_error_at_the_first_call():
    done = run("import numpy, py_layernorm; py_layernorm.layer_norm(numpy.ones((2, 3)))", "quick")
    assert done.returncode == 1
    assert "PY_LAYERNORM_ENGINE must be one of auto, fused, portable. Received:" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("PY_LAYERNORM_ISA", "AVX2", "one of avx512, avx2, baseline. Received"),
        ("PY_LAYERNORM_ISA", "avx512 ", "one of avx512, avx2, baseline. Received"),
        ("PY_LAYERNORM_THREADS", "1e3", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "00", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "-2", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "257", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "4294967296", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "4294967297", "from 1 to 256. Received"),
        (
            "PY_LAYERNORM_THREADS",
            "18446744073709551617",
            "from 1 to 256. Received",
        ),
        ("PY_LAYERNORM_THREADS", "+4", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", " 4", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "4 ", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "1_0", "from 1 to 256. Received"),
        ("PY_LAYERNORM_THREADS", "٤", "from 1 to 256. Received"),
        ("PY_LAYERNORM_ISA", " ", "one of avx512, avx2, baseline. Received"),
    ],
)
def test_a_wrong_setting_of_the_native_op(setting, value, expected, monkeypatch):
    monkeypatch.setenv(setting, value)
    with pytest.raises(ValueError, match=re.escape(f"{expected}: {setting}={value!r}")):
        kernel.check_settings()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the settings are the native op's"
)
def test_a_wrong_setting_is_an_error_at_the_first_call(monkeypatch):
    monkeypatch.setenv("PY_LAYERNORM_THREADS", "4294967296")
    done = run("import numpy, py_layernorm; py_layernorm.layer_norm(numpy.ones((2, 3)))", "")
    assert done.returncode == 1
    assert "PY_LAYERNORM_THREADS must be a number of threads from 1 to 256" in done.stderr


@pytest.mark.parametrize("value", ["", "1", "256", "007"])
def test_a_right_setting_of_the_native_op(value, monkeypatch):
    monkeypatch.setenv("PY_LAYERNORM_THREADS", value)
    kernel.check_settings()


def run(code, engine):
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PY_LAYERNORM_ENGINE": engine},
    )


def test_fused_says_why_it_cannot_serve(monkeypatch):
    monkeypatch.setattr(engines, "fused_unavailable", lambda: "there is no native library")
    with pytest.raises(RuntimeError, match=r"fused engine.*there is no native library"):
        use_engine("fused")
    assert engines.get_engine() == "auto"
    assert engines.describe() == ("portable", "there is no native library")


def test_a_block_returns_to_what_was_set_when_it_was_entered():
    setting = use_engine("portable")
    use_engine("auto")
    use_engine("portable")
    with setting:
        with setting:
            use_engine("auto")
        assert engines.get_engine() == "portable"
        with use_engine("auto"), pytest.raises(KeyError), setting:
            raise KeyError
        assert engines.get_engine() == "portable"
    assert engines.get_engine() == "portable"
    use_engine("auto")
    with setting:
        pass
    assert engines.get_engine() == "auto"


def test_the_example_of_a_setting_made_early():
    """It is "fused" that is set when the block is entered, where there is a native op."""
    other = "portable" if engines.fused_unavailable() else "fused"
    setting = use_engine("portable")
    use_engine(other)
    with setting:
        assert engines.get_engine() == "portable"
    assert engines.get_engine() == other
