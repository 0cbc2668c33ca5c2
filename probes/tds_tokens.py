"""What a SQL Server's answer says: its tokens ([MS-TDS], section 2.2.7), without I/O and bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.tds_values import Cursor, Type, read_type, read_value

ROWS_LIMIT = 1000
COLUMNS_LIMIT = 4096
"""SQL Server's own for a result."""

_COLUMNS, _ROW, _ROW_WITH_NULLS, _ERROR, _LOGIN_ACK, _FEATURES, _ENVIRONMENT = 0x81, 0xD1, 0xD2, 0xAA, 0xAD, 0xAE, 0xE3
_DONE = frozenset({0xFD, 0xFE, 0xFF})
_SKIPPED = {0xAB: 2, 0xA9: 2, 0xA4: 2, 0xA5: 2, 0xE4: 4, 0xED: 2}
"""Notices, order, names of tables, state of the session: token → octets of its length."""

_ROUTING = 20


class Column(NamedTuple):
    """A column of a result."""

    name: str
    type: Type


class ServerError(NamedTuple):
    """An error: its number, its severity and its words, bounded and printable."""

    number: int
    severity: int
    message: str


@dataclass(slots=True)
class Answer:
    """What a message said.

    Attributes:
        columns, first, rows, all_rows: of the first result: its columns, its first row (None where there is none), its
            length, and all of it.
        error: the first error.
        is_login: a login was acknowledged.
        routed_to: where the server sends its client instead.

    """

    columns: tuple[Column, ...] = ()
    first: tuple[Any, ...] | None = None
    rows: int = 0
    all_rows: list[tuple[Any, ...]] = field(default_factory=list)
    error: ServerError | None = None
    is_login: bool = False
    routed_to: str = ""


def read_answer(message: bytes) -> Answer:
    """Return what a whole message says. Raises TroubleError for what is no answer."""
    cursor, answer = Cursor(message), Answer()
    columns: tuple[Column, ...] = ()
    results = 0
    while not cursor.is_at_end:
        token = cursor.number(1)
        if token == _COLUMNS:
            columns = _read_columns(cursor)
            results += bool(columns)
            if results == 1:
                answer.columns = columns
        elif token in (_ROW, _ROW_WITH_NULLS):
            values = _read_row(cursor, columns, with_nulls=token == _ROW_WITH_NULLS)
            if results == 1:
                _take_row(values, answer)
        elif token in _DONE:
            cursor.take(12)
        elif token == _ERROR:
            error = _read_error(Cursor(cursor.take(cursor.number(2))))
            answer.error = answer.error or error
        elif token == _ENVIRONMENT:
            _read_environment(Cursor(cursor.take(cursor.number(2))), answer)
        else:
            _skip(token, cursor, answer)
    return answer


def _skip(token: int, cursor: Cursor, answer: Answer) -> None:
    if token == _LOGIN_ACK:
        cursor.take(cursor.number(2))
        answer.is_login = True
    elif token == _FEATURES:
        while cursor.number(1) != 0xFF:
            cursor.take(cursor.number(4))
    elif token == 0x79:
        cursor.take(4)
    elif token in _SKIPPED:
        cursor.take(cursor.number(_SKIPPED[token]))
    else:
        raise TroubleError(Failure.PROTOCOL, f"the server sent a token 0x{token:02x} where none such belongs")


def _take_row(values: tuple[Any, ...], answer: Answer) -> None:
    answer.rows += 1
    if answer.rows > ROWS_LIMIT:
        raise TroubleError(Failure.BODY_TOO_LARGE, f"the query gives more than {ROWS_LIMIT} rows")
    if answer.first is None:
        answer.first = values
    answer.all_rows.append(values)


def _read_columns(cursor: Cursor) -> tuple[Column, ...]:
    count = cursor.number(2)
    if count == 0xFFFF:
        return ()
    if count > COLUMNS_LIMIT:
        raise TroubleError(Failure.PROTOCOL, f"the server's result has {count} columns")
    columns = []
    for _ in range(count):
        cursor.take(6)
        type_ = read_type(cursor)
        columns.append(Column(plain_line(cursor.text(1), 128), type_))
    return tuple(columns)


def _read_row(cursor: Cursor, columns: tuple[Column, ...], *, with_nulls: bool) -> tuple[Any, ...]:
    if not columns:
        raise TroubleError(Failure.PROTOCOL, "the server sent a row without columns")
    nulls = cursor.take((len(columns) + 7) // 8) if with_nulls else bytes((len(columns) + 7) // 8)
    return tuple(
        None if nulls[position // 8] >> position % 8 & 1 else read_value(column.type, cursor)
        for position, column in enumerate(columns)
    )


def _read_error(cursor: Cursor) -> ServerError:
    number = int.from_bytes(cursor.take(4), "little", signed=True)
    cursor.take(1)
    severity = cursor.number(1)
    return ServerError(number, severity, plain_line(cursor.text(2), 200) or "no message")


def _read_environment(cursor: Cursor, answer: Answer) -> None:
    if cursor.number(1) == _ROUTING:  # section 2.2.7.9: length, protocol, port, server
        cursor.take(3)
        port = cursor.number(2)
        answer.routed_to = plain_line(f"{cursor.text(2)}:{port}", 100)
