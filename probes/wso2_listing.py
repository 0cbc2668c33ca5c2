"""What WSO2's REST interfaces list, read and bounded: `{"count": …, "list": […]}` everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from probes.failures import TroubleError, plain_line
from probes.model import Failure

ITEMS_LIMIT = 10_000
_RETIRED = frozenset({"DEPRECATED", "RETIRED", "BLOCKED"})
_STATES = ("isRunning", "isActive", "active", "status", "lifeCycleStatus")


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is listed.

    Attributes:
        name, version: what it is called; the version is "" where it has none.
        trouble: why it does not work though it is listed, "" where it does.

    """

    name: str
    version: str
    trouble: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name

    def is_called(self, name: str) -> bool:
        """Say whether a name, or a name and a version, is meant for it."""
        return name in (self.name, str(self))


def answer_of(content: bytes, what: str) -> Mapping[str, Any]:
    """Return a JSON object. Raises TroubleError (`protocol`)."""
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise TroubleError(Failure.PROTOCOL, f"{what}: the answer is not a JSON object")
    return told


def items_in(content: bytes, what: str) -> list[Item]:
    """Return what is listed. Raises TroubleError (`protocol`)."""
    listed = answer_of(content, what).get("list")
    if not isinstance(listed, list):
        raise TroubleError(Failure.PROTOCOL, f"{what}: the answer holds no list")
    return [item_of(one) for one in listed[:ITEMS_LIMIT] if isinstance(one, dict)]


def item_of(told: Mapping[str, Any]) -> Item:
    """Return one of them."""
    name, version = (plain_line(str(told.get(key) or ""), 200) for key in ("name", "version"))
    return Item(name, version, _trouble(told))


def _trouble(told: Mapping[str, Any]) -> str:
    """Return why something does not work; what tells no state of its own is deployed, and that is all that is known."""
    for key in _STATES:
        state = told.get(key)
        if state is False or (isinstance(state, str) and state.lower() in ("false", "inactive", "stopped", "faulty")):
            return "inactive"
        if key == "lifeCycleStatus" and isinstance(state, str) and state.upper() != "PUBLISHED":
            return state.lower() if state.upper() in _RETIRED else "not published"
    return ""


def faults(expected: Iterable[str], listed: Iterable[Item], what: str) -> list[str]:
    """Return what is missing or does not work of what is expected, in words."""
    items = list(listed)
    found = []
    for name in expected:
        meant = [one for one in items if one.is_called(name)]
        if not meant:
            found.append(f"{what} {name!r} is missing")
        elif all(one.trouble for one in meant):
            found.append(f"{what} {name!r} is {meant[0].trouble}")
    return found
