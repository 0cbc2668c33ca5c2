"""The commented configuration that `thongsuot init DIR` writes."""

from __future__ import annotations

from pathlib import Path

STARTER = Path(__file__).parent / "samples" / "starter"


def write(directory: Path) -> list[Path]:
    """Write the starter configuration into a directory, made if it is not there; return the files written.

    Raises FileExistsError when one of the files is there already; nothing is written then.
    """
    files = {directory / file.name: file.read_bytes() for file in sorted(STARTER.glob("*.yaml"))}
    for path in files:
        if path.exists() or path.is_symlink():
            message = f"{path} exists"
            raise FileExistsError(message)
    directory.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        with path.open("xb") as file:
            file.write(data)
    return list(files)
