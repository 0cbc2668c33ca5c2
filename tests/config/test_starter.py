"""`thongsuot init`: a configuration that is valid as it is written, and never over another one."""

from pathlib import Path

import pytest

from config.loader import load
from config.starter import write


def test_what_is_written_is_valid(tmp_path: Path) -> None:
    written = write(tmp_path / "new" / "directory")
    assert [path.name for path in written] == ["thongsuot.yaml"]
    assert len(load(tmp_path / "new" / "directory", environ={}).checks) == 2


def test_nothing_is_written_over_a_file_or_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "thongsuot.yaml").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thongsuot\.yaml exists"):
        write(tmp_path)
    assert (tmp_path / "thongsuot.yaml").read_text() == "mine"
    (tmp_path / "thongsuot.yaml").unlink()
    (tmp_path / "thongsuot.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_every_commented_part_of_the_starter_is_valid_too(tmp_path: Path) -> None:
    """Whoever takes the marks away gets something that works."""
    (path,) = write(tmp_path)
    lines = path.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# templates:"))
    opened = [line.removeprefix("# ") if not _is_prose(line) else line for line in lines[start:]]
    path.write_text("\n".join([*lines[:start], *opened]) + "\n")
    inventory = load(tmp_path, environ={"WEBHOOK_SECRET": "s"})
    assert (len(inventory.routes), len(inventory.receivers), len(inventory.maintenance)) == (1, 1, 1)
    assert len(inventory.targets) > 5


def _is_prose(line: str) -> bool:
    return line.startswith("# ") and line[2].isupper()
