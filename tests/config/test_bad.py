"""Every way to get a configuration wrong has its exact message, in the file beside it.

A case is `bad-*.yaml` or a directory `bad-*`; what `load` says about it is in `bad-*.txt`, one problem a line.
"""

import shutil
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loader import load

CASES = Path(__file__).parent / "testdata"
ENVIRON = {"SECRET": "hunter2-is-secret", "EMPTY": "", "GOOD": "fine"}
NAMES = sorted(path.name for path in CASES.glob("bad-*") if path.suffix != ".txt")


def problems_of(case: Path, directory: Path) -> str:
    if case.is_file():
        shutil.copy(case, directory / case.name)
        case = directory
    with pytest.raises(ConfigError) as caught:
        load(case, environ=ENVIRON)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return str(caught.value).replace(str(case), case.name if case.parent == CASES else "DIR") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_each_problem_is_said_exactly(name: str, tmp_path: Path) -> None:
    expected = (CASES / name).with_suffix(".txt").read_text()
    assert problems_of(CASES / name, tmp_path) == expected


def test_there_are_cases_and_no_message_without_one() -> None:
    assert len(NAMES) >= 35
    assert {path.stem for path in CASES.glob("bad-*.txt")} == {Path(name).stem for name in NAMES}
