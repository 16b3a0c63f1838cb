"""One minute of what `make fuzz` does for ten."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or sys.version_info >= (3, 14),
    reason="there is no atheris for this platform: see the extra `fuzz` in pyproject.toml",
)
def test_a_minute_of_fuzzing_finds_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, FUZZ, "-max_total_time=60", f"-artifact_prefix={tmp_path}/"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert int(runs[1]) > 100
    # Without coverage it would only try chance.
    assert int(re.search(r"new_units_added: +(\d+)", done.stderr)[1]) > 10
