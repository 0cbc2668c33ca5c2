"""The parts of the pages that the browser draws (`assets/*.js`): React components of our own.

Dash keeps books about every component of a page; 250 tiles made of its own parts would be 2,000 entries, drawn anew
each second. A part of ours takes plain data and is one entry.
"""

from __future__ import annotations

from typing import Any

from dash.development.base_component import Component


class _Part(Component):  # type: ignore[misc]  # dash ships no types
    """Base: a component of the namespace `thongsuot`."""

    _children_props: list[str] = []  # noqa: RUF012 - the names and kinds are Dash's
    _base_nodes = ["children"]  # noqa: RUF012
    _namespace = "thongsuot"
    _type = ""
    _prop_names: list[str] = []  # noqa: RUF012
    _valid_wildcard_attributes: list[str] = []  # noqa: RUF012

    def __init__(self, **props: Any) -> None:
        self.available_properties = self._prop_names
        self.available_wildcard_properties = self._valid_wildcard_attributes
        super().__init__(**props)


class Header(_Part):
    """Product, simulation badge, clock, age of the data, choices; below it the banner that nobody can miss.

    Properties: `words` (wording by key), `language`, `timezone`.
    """

    _namespace = "thongsuot"
    _type = "Header"
    _prop_names = ["id", "words", "language", "timezone"]  # noqa: RUF012


class Overview(_Part):
    """The overview page. Properties: `url` of its data, `words`, `types` and `states` as [value, word]."""

    _namespace = "thongsuot"
    _type = "Overview"
    _prop_names = ["id", "url", "words", "types", "states"]  # noqa: RUF012


class Target(_Part):
    """A target's page. Properties: `url` of its data, `words`, `windows` as [value, word], `charts` (set by it)."""

    _namespace = "thongsuot"
    _type = "Target"
    _prop_names = ["id", "url", "target", "words", "windows", "charts"]  # noqa: RUF012


class CheckHead(_Part):
    """What stands above a check's charts. Property: `check`."""

    _namespace = "thongsuot"
    _type = "CheckHead"
    _prop_names = ["id", "check"]  # noqa: RUF012


class History(_Part):
    """What stands below a target's charts: relations, incidents, changes of state. Property: `words`."""

    _namespace = "thongsuot"
    _type = "History"
    _prop_names = ["id", "words"]  # noqa: RUF012
