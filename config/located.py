"""Plain values that remember where they were written: what YAML text becomes before it is checked.

`Map` and `Seq` are a dict and a list, so that models validate them as they are; beside the values they keep the
place of every key and item. A scalar's place is its key's, or its item's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

COLUMN_BITS = 26
"""A file has at most 2²⁵ bytes, so neither its lines nor its columns need more."""

_COLUMN_MASK = (1 << COLUMN_BITS) - 1


class Place(NamedTuple):
    """A line (from 1) and column (from 1) of a file; `row` names the row of a template's lists, or is ""."""

    file: str
    line: int = 0
    column: int = 0
    row: str = ""


class Source:
    """A file, or a file's template as one row of its lists fills it."""

    __slots__ = ("file", "row")

    def __init__(self, file: str, row: str = "") -> None:
        self.file = file
        self.row = row

    def place(self, at: int) -> Place:
        """Return the place of a packed position."""
        return Place(self.file, at >> COLUMN_BITS, at & _COLUMN_MASK, self.row)


def packed(line: int, column: int) -> int:
    """Return a line and a column, both from 0, as one number: a large inventory has half a million of them."""
    return (line + 1) << COLUMN_BITS | (column + 1)


class Map(dict[str, Any]):
    """A mapping as written.

    Attributes:
        source: its file.
        at: its packed position.
        keys_at: packed positions by key.
        written: the text of the scalars that are not text to YAML (`no`, `01`, `1e3`), by key.
        marked: some text in it, however deep, holds `${` or `{`: it may have to be filled in.

    """

    __slots__ = ("at", "keys_at", "marked", "source", "written")

    def __init__(self, source: Source, at: int) -> None:
        super().__init__()
        self.source = source
        self.at = at
        self.keys_at: dict[str, int] = {}
        self.written: dict[str, str] = {}
        self.marked = False

    def copied(self, source: Source) -> Map:
        """Return a copy with the same members at the same positions, of another source."""
        copy = Map(source, self.at)
        copy.update(self)
        copy.keys_at, copy.written, copy.marked = self.keys_at, self.written, self.marked
        return copy

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.at)

    def place_of(self, key: str | int) -> Place:
        """Return where that key stands, or the mapping itself when the key is not there."""
        return self.source.place(self.keys_at.get(key, self.at) if isinstance(key, str) else self.at)


class Seq(list[Any]):
    """A list as written; attributes as those of `Map`, by index instead of by key."""

    __slots__ = ("at", "items_at", "marked", "source", "written")

    def __init__(self, source: Source, at: int) -> None:
        super().__init__()
        self.source = source
        self.at = at
        self.items_at: list[int] = []
        self.written: dict[int, str] = {}
        self.marked = False

    def copied(self, source: Source) -> Seq:
        """Return a copy with the same items at the same positions, of another source."""
        copy = Seq(source, self.at)
        copy.extend(self)
        copy.items_at, copy.written, copy.marked = self.items_at, self.written, self.marked
        return copy

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.at)

    def place_of(self, index: str | int) -> Place:
        """Return where that item stands, or the list itself when there is no such item."""
        if isinstance(index, int) and index < len(self.items_at):
            return self.source.place(self.items_at[index])
        return self.place


def written(container: Map | Seq, key: Any) -> str:
    """Return the text of a scalar as it stands in the file (without its quotes)."""
    text = container.written.get(key)
    return str(container[key]) if text is None else text
