"""The list of mutants and its result fit the code as it is; `make mutants` is what tries them."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parents[1] / "py_layernorm"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FOLDER)
    import mutants
    import run

ALL = mutants.NATIVE + mutants.PYTHON


def test_there_are_enough():
    assert len({(file, old, new) for _, file, old, new, _ in ALL}) == len(ALL) >= 25


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: f"{mutant[1]}: {mutant[0]}")
def test_its_line_is_there_once_and_its_result_too(mutant):
    what, file, old, new, test = mutant
    assert (PACKAGE / file).read_text().count(old) == 1
    assert (FOLDER.parents[1] / test.split("::")[0].split()[0]).is_file()
    row = f"| {what} | {file} | {run.code(old)} | {run.code(new)} | `test_"
    assert (FOLDER / "RESULT.md").read_text().count(row) == 1
