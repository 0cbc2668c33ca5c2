"""Sorts what the files say by section, templates expanded, each item with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from config.errors import Problems, shown
from config.explain import unknown_key
from config.files import Tables, display_name, find_files, read_bytes
from config.located import Map, Place, Seq
from config.secret_references import step
from config.templates import Templates
from config.yaml_reader import Budget, UnreadableError, read_yaml

LISTS = (
    "agencies",
    "sites",
    "service_hours",
    "holidays",
    "targets",
    "receivers",
    "routes",
    "maintenance",
    "silences",
    "modules",
)
SECTIONS = ("settings", *LISTS, "templates")

_NOUNS = {
    "agencies": "agency",
    "sites": "site",
    "service_hours": "service hours",
    "holidays": "calendar of holidays",
    "targets": "target",
    "templates": "template",
    "receivers": "receiver",
    "routes": "route",
    "maintenance": "maintenance window",
    "silences": "silence",
    "modules": "module",
}


def noun_of(section: str) -> str:
    """Return what one item of a section is called."""
    return _NOUNS[section]


class Item(NamedTuple):
    """One item of a section."""

    raw: Map
    path: str


class Sections:
    """What all files say together.

    Attributes:
        items: by section, in the order of the files' names and of their lines; templates come last.
        settings: every file's part of the settings.
        complete: every file could be read to its end.

    """

    def __init__(self, problems: Problems) -> None:
        self.items: dict[str, list[Item]] = {section: [] for section in (*LISTS, "templates")}
        self.settings: list[Item] = []
        self.complete = True
        self._problems = problems

    def read(self, directory: Path) -> None:
        """Read the directory's files and expand their templates."""
        if not directory.is_dir():
            state = "is not a directory" if directory.exists() else "does not exist"
            hint = "thongsuot init DIR writes a starter configuration"
            self._problems.add(Place(str(directory)), f"the configuration's directory {state}", hint)
            return
        budget = Budget()
        names = find_files(directory, self._problems)
        if not names:
            hint = "thongsuot init DIR writes a starter configuration"
            self._problems.add(Place(str(directory)), "the directory holds no *.yaml file", hint)
        for name in names:
            self._read_file(directory, name, budget)
        before = len(self._problems.found)
        templates = Templates(Tables(directory, self._problems), self._problems, budget)
        try:
            for item in self.items["templates"]:
                for section, value, path in templates.expand(item.raw, item.path, LISTS):
                    self._add(section, value, item.raw.place, path)
        except UnreadableError:
            for items in self.items.values():
                items.clear()  # too much to go on with
        # What a broken template would have made is not there: references to it are no mistake of their own.
        self.complete = self.complete and len(self._problems.found) == before

    def _read_file(self, directory: Path, name: str, budget: Budget) -> None:
        shown_name = display_name(name)
        try:
            root = read_yaml(read_bytes(directory / name), shown_name, self._problems, budget)
        except ValueError as error:
            self._problems.add(Place(shown_name), f"the file is not usable: {error}")
            self.complete = False
            return
        except UnreadableError:
            self.complete = False
            return
        if root is None:
            return
        if not isinstance(root, Map):
            hint = f"begin with one of {', '.join(SECTIONS)}"
            self._problems.add(Place(shown_name, 1), "the file must be a mapping of sections", hint)
            return
        for section, value in root.items():
            self._read_section(root, section, value)

    def _read_section(self, root: Map, section: str, value: Any) -> None:
        if section not in SECTIONS:
            message, hint = unknown_key(section, "the file", SECTIONS, self._problems)
            self._problems.add(root.place_of(section), message, hint, section)
        elif value is None:
            pass  # a section whose items are all commented out
        elif section == "settings":
            if isinstance(value, Map):
                self.settings.append(Item(value, section))
            else:
                self._problems.add(root.place_of(section), "'settings' must be a mapping", path=section)
        elif isinstance(value, Seq):
            for number, item in enumerate(value):
                self._add(section, item, value.place_of(number), step(section, number))
        else:
            hint = "begin each item with '- '"
            self._problems.add(root.place_of(section), f"{section!r} must be a list", hint, section)

    def _add(self, section: str, value: Any, place: Place, path: str) -> None:
        if isinstance(value, Map):
            self.items[section].append(Item(value, path))
        else:
            noun = noun_of(section)
            article = "an" if noun[0] in "aeiou" else "a"
            self._problems.add(place, f"{article} {noun} must be a mapping of keys to values", path=path)

    def checked_ids(self, section: str) -> Iterator[Item]:
        """Yield all items, noting those whose id is another one's."""
        return _with_ids_checked(self.items[section], noun_of(section), self._problems)

    def ids(self, section: str) -> dict[str, None]:
        """Return all ids of a section, of faulty items too, in order."""
        return dict.fromkeys(item.raw["id"] for item in self.items[section] if isinstance(item.raw.get("id"), str))


def _with_ids_checked(items: Iterable[Item], noun: str, problems: Problems) -> Iterator[Item]:
    first: dict[str, Place] = {}
    for item in items:
        name = item.raw.get("id")
        if not isinstance(name, str):
            yield item  # its model says so
            continue
        place = item.raw.place_of("id")
        if name in first:
            other = first[name]
            row = f" ({other.row})" if other.row else ""
            message = f"the {noun} {shown(name)} is there twice, first at {other.file}:{other.line}{row}"
            problems.add(place, message, "ids are unique across all files", step(item.path, "id"))
        first.setdefault(name, place)
        yield item
