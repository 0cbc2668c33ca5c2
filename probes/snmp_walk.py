"""Walks of conceptual tables: several columns side by side, as much as an answer holds at a time (RFC 3416, 4.2.3).

Every column has its own place, so that a table with holes is walked right. The rows in an answer are adapted to the
size that bindings turn out to have. An agent whose names do not increase, or that has no end, is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from probes.failures import TroubleError
from probes.model import Failure
from probes.snmp_ber import END_OF_MIB_VIEW, subidentifiers
from probes.snmp_pdu import Binding
from probes.snmp_session import Session, Stamp, repetitions_for

ROWS_LIMIT = 20_000
"""Of one table: the interfaces of the largest access routers."""

WALK_BYTES = 16 * 1024 * 1024
"""Of names and values in one walk: as many rows as that, of the size that they usually have."""

_BINDING_BYTES = 26
"""Of a binding, as a first guess."""


class Cell(NamedTuple):
    """The value of an object: its tag, its octets, and when they were read."""

    tag: int
    value: bytes
    stamp: Stamp


Column = dict[bytes, Cell]
"""The octets of an index, to the value there."""


async def walk(session: Session, columns: Sequence[bytes], limit: int = ROWS_LIMIT) -> list[Column]:
    """Return the columns of a table (or of tables with the same index), each empty where it is not there.

    Raises TroubleError.
    """
    found: list[Column] = [{} for _ in columns]
    places = dict(enumerate(columns))
    binding_bytes: float = _BINDING_BYTES
    left_bytes = WALK_BYTES
    while places:
        numbers = list(places)
        wanted = repetitions_for(session.answer_bytes, binding_bytes, len(numbers))
        bindings, stamp = await session.bulk(list(places.values()), wanted)
        if len(bindings) < len(numbers):
            raise TroubleError(Failure.PROTOCOL, "the agent answers a bulk with less than was asked for")
        for offset, number in enumerate(numbers):
            place = _take(found[number], columns[number], bindings[offset :: len(numbers)], stamp)
            if place is None:
                del places[number]
            else:
                _increases(places[number], place, len(columns[number]))
                places[number] = place
            if len(found[number]) > limit:
                message = f"a table has more than {limit} rows"
                raise TroubleError(Failure.BODY_TOO_LARGE, message)
        came_bytes = sum(len(name) + len(value) + 6 for name, _, value in bindings)
        binding_bytes = came_bytes / len(bindings)
        left_bytes -= came_bytes
        if left_bytes < 0:
            message = f"a table has more than {WALK_BYTES} bytes"
            raise TroubleError(Failure.BODY_TOO_LARGE, message)
    return found


def _take(column: Column, prefix: bytes, bindings: Iterable[Binding], stamp: Stamp) -> bytes | None:
    """Put a column's part of an answer where it belongs; return the last name in it, None at the column's end."""
    start, name = len(prefix), prefix
    for name, tag, value in bindings:
        if tag == END_OF_MIB_VIEW or not name.startswith(prefix):
            return None
        column[name[start:]] = Cell(tag, value, stamp)
    return name


def _increases(before: bytes, after: bytes, start: int) -> None:
    if subidentifiers(after[start:]) <= subidentifiers(before[start:]):
        raise TroubleError(Failure.PROTOCOL, "the names that the agent walks through do not increase")


async def fetch(session: Session, columns: Sequence[bytes], indexes: Sequence[bytes]) -> list[Column]:
    """Return the columns of a table at some of its rows only; what is not there is absent.

    Raises TroubleError.
    """
    found: list[Column] = [{} for _ in columns]
    for index in indexes:
        bindings, stamp = await session.get([column + index for column in columns])
        for column, (_, tag, value) in zip(found, bindings, strict=True):
            column[index] = Cell(tag, value, stamp)
    return found


def text(cell: Cell | None) -> str:
    """Return the text of a value, "" where it is none."""
    return cell.value.decode("utf-8", "replace").strip("\0 ") if cell is not None else ""
