"""What the doctor says about Keras 2, which nobody has to install."""

import importlib.metadata

import pytest

from py_layernorm import doctor, doctor_keras2

LEGACY = doctor_keras2.LEGACY


@pytest.mark.parametrize(
    ("tf_keras", "setting", "value", "problem", "remedy"),
    [
        (None, None, None, "", ""),
        (None, "0", None, "", ""),
        ("2.21.0", None, "tf_keras 2.21.0", "", ""),
        ("2.21.0", "1", f"tf_keras 2.21.0 (asked for by {LEGACY})", "", ""),
        (
            "2.19.0",
            None,
            "tf_keras 2.19.0",
            "tf_keras 2.19.0 does not go with TensorFlow 2.21.3",
            "2.21.*",
        ),
        (
            None,
            "True",
            f"tf_keras not found (asked for by {LEGACY})",
            f"{LEGACY}=True asks for Keras 2, and tf_keras is not installed",
            f"    (or unset {LEGACY})",
        ),
    ],
)
def test_findings(tf_keras, setting, value, problem, remedy, monkeypatch):
    versions = {"tf_keras": tf_keras, "tensorflow": "2.21.3"}
    monkeypatch.setattr(doctor_keras2, "version", versions.get)
    if setting is None:
        monkeypatch.delenv(LEGACY, raising=False)
    else:
        monkeypatch.setenv(LEGACY, setting)
    found = list(doctor_keras2.keras2_findings())
    if value is None:
        assert not found
        return
    (finding,) = found
    assert (finding.label, finding.value) == ("Keras 2", value)
    assert bool(problem) == bool(finding.problem)
    assert problem in finding.problem
    assert remedy in finding.remedy
    assert not problem or '"tf_keras==2.21.*"' in finding.remedy


def test_the_report_has_it():
    pytest.importorskip("tf_keras")
    assert f"Keras 2        tf_keras {importlib.metadata.version('tf_keras')}" in doctor.report(
        r=False
    )
