"""Finds and reads the files of a configuration, within bounds: YAML files and the CSV lists of templates."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Problems
from config.located import Place

FILE_LIMIT_BYTES = 32 << 20
FILES_LIMIT = 10_000
ROWS_LIMIT = 100_000
DOMAIN = Path(__file__).parent / "domain"
"""Lists that come with the product: provinces, ministries, databases, platforms."""

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Table:
    """A list of rows with named columns.

    Attributes:
        name: as templates name it.
        columns: names, in order.
        rows: one text per column.

    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def find_files(directory: Path, problems: Problems) -> list[str]:
    """Return the names, relative to `directory` and sorted, of all its YAML files, however deep.

    Names that begin with a dot are passed over; symbolic links are followed, each directory once.
    """
    names: list[str] = []
    seen: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        place = Place(display_name(str(error.filename or directory)))
        problems.add(place, f"the directory cannot be read: {error.strerror or error}")

    for path, directories, files in os.walk(directory, onerror=note, followlinks=True):
        if _was_seen(path, seen, note):
            directories.clear()
            continue
        directories[:] = [name for name in directories if not name.startswith(".")]
        found = [name for name in files if name.endswith(_SUFFIXES) and not name.startswith(".")]
        names.extend(os.path.relpath(Path(path, name), directory) for name in found)
        if len(names) > FILES_LIMIT:
            problems.add(Place(str(directory)), f"the directory holds more than {FILES_LIMIT} YAML files")
            break
    return sorted(names)[:FILES_LIMIT]


def _was_seen(path: str, seen: set[tuple[int, int]], note: Callable[[OSError], None]) -> bool:
    try:
        status = Path(path).stat()
    except OSError as error:  # it went away while the others were being read
        note(error)
        return True
    identity = (status.st_dev, status.st_ino)
    is_new = identity not in seen
    seen.add(identity)
    return not is_new


def display_name(name: str) -> str:
    """Return a file's name as messages may show it: whatever bytes it is made of, on one line."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def read_bytes(path: Path, limit: int = FILE_LIMIT_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes.

    Raises ValueError with a sentence that says why it cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe that nobody writes to would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        message = f"it cannot be read: {error.strerror or error}"
        raise ValueError(message) from None
    if len(data) > limit:
        message = f"it is larger than {limit} bytes"
        raise ValueError(message)
    return data


def from_directory(values: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return parameters in which a relative path (a key that ends in `_file`) begins at the configuration."""
    paths = [key for key, value in values.items() if key.endswith("_file") and value and isinstance(value, str)]
    return {**values, **{key: str(directory / values[key]) for key in paths}} if paths else values


class Tables:
    """The CSV lists that templates name, each read once."""

    def __init__(self, directory: Path, problems: Problems) -> None:
        self._directory = directory
        self._problems = problems
        self._read: dict[str, Table | None] = {}

    def find(self, name: str, place: Place, path: str) -> Table | None:
        """Return the list of that name, from the configuration's directory or else from the product's own lists.

        Returns None when it is not in order, which is noted.
        """
        if name not in self._read:
            self._read[name] = self._load(name, place, path)
        return self._read[name]

    def _load(self, name: str, place: Place, path: str) -> Table | None:
        file = self._directory / name
        own = DOMAIN / name
        try:
            if "\0" in name or not file.exists():
                if "/" in name or "\0" in name or not own.is_file():
                    self._problems.add(place, f"there is no list {name!r}", self._suggest(name), path)
                    return None
                file = own
            data = read_bytes(file)
        except (OSError, ValueError) as error:
            self._problems.add(place, f"the list {name!r} is not usable: {error}", path=path)
            return None
        return _parse(data, name, self._problems)

    def _suggest(self, name: str) -> str:
        try:
            beside = {entry.name for entry in self._directory.glob("*.csv")}
        except OSError:
            beside = set()
        known = sorted(beside | {entry.name for entry in DOMAIN.glob("*.csv")})
        return self._problems.did_you_mean(name, known) or f"there are {', '.join(known)}"


def _parse(data: bytes, name: str, problems: Problems) -> Table | None:
    """Return the table in RFC 4180 text: a header of unique names, then rows with as many fields."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(Place(name, line), "the file is not UTF-8", "save it with the encoding UTF-8")
        return None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    complete = True
    try:
        for fields in reader:
            if not fields:
                continue
            row = tuple(field.strip() for field in fields)
            if not columns:
                columns = row
                complete = _header_is_good(row, name, reader.line_num, problems)
            elif len(row) != len(columns):
                problems.add(
                    Place(name, reader.line_num), f"the row has {len(row)} fields, the header has {len(columns)}"
                )
                complete = False
            else:
                rows.append(row)
            if len(rows) > ROWS_LIMIT:
                problems.add(Place(name, reader.line_num), f"the list has more than {ROWS_LIMIT} rows")
                return None
    except csv.Error as error:
        problems.add(Place(name, reader.line_num), f"this is not CSV: {error}")
        return None
    if not columns:
        problems.add(Place(name, 1), "the list is empty", "its first line names the columns")
        return None
    return Table(name, columns, tuple(rows)) if complete else None


def _header_is_good(columns: tuple[str, ...], name: str, line: int, problems: Problems) -> bool:
    if not all(columns):
        problems.add(Place(name, line), "a column has no name")
        return False
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        problems.add(Place(name, line), f"the column {twice!r} stands in the header twice")
        return False
    return True
