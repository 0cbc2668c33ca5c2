"""PostgreSQL's frontend/backend protocol 3.0 without I/O (PostgreSQL documentation, chapter 55), bounded.

A message is a letter, a length that counts itself, and a body. Lengths come from a server that may lie: one that is
beyond what is still allowed is refused when it is read, not when the body has come.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.wire_reader import WireReader

VERSION_3_0 = 196_608
SSL_REQUEST = struct.pack(">II", 8, 80_877_103)
SYNC, TERMINATE = b"S\0\0\0\4", b"X\0\0\0\4"
COLUMNS_LIMIT = 1664
"""PostgreSQL's own (MaxTupleAttributeNumber)."""

SERVER_TEXT_LIMIT = 200


class Message(NamedTuple):
    """One message from the server: its letter and its body."""

    kind: bytes
    body: bytes


class Column(NamedTuple):
    """A column of a result: its name, and the object id of its type (pg_type.h; built-in ones are fixed)."""

    name: str
    type: int


class ServerError(NamedTuple):
    """An ErrorResponse: its SQLSTATE and its message, bounded and printable."""

    sqlstate: str
    message: str


class Reader(WireReader):
    """Cuts a stream of bytes into messages."""

    def next(self) -> Message | None:
        """Return the next whole message, None where more has to come.

        Raises TroubleError: `body_too_large` for rows beyond what is left, `protocol` for any other message.
        """
        if len(self._buffer) < 5:
            return None
        kind = bytes(self._buffer[:1])
        length = int.from_bytes(self._buffer[1:5], "big")
        if length < 4 or not kind.isalnum():
            raise TroubleError(Failure.PROTOCOL, f"this is not PostgreSQL: '{printable(bytes(self._buffer[:40]))}'")
        if length > self.left:
            failure = Failure.BODY_TOO_LARGE if kind == b"D" else Failure.PROTOCOL
            raise TroubleError(failure, f"the server sends {length} bytes where at most {self.left} are taken")
        if len(self._buffer) < 1 + length:
            return None
        body = bytes(self._buffer[5 : 1 + length])
        del self._buffer[: 1 + length]
        self.left -= length
        return Message(kind, body)


def startup(parameters: dict[str, str]) -> bytes:
    """Return the message that begins a session."""
    text = b"".join(part.encode() + b"\0" for pair in parameters.items() for part in pair) + b"\0"
    return struct.pack(">II", 8 + len(text), VERSION_3_0) + text


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message of that kind."""
    return kind + struct.pack(">I", 4 + len(body)) + body


def simple_query(sql: str) -> bytes:
    """Return the message for one or more statements without parameters."""
    return message(b"Q", sql.encode() + b"\0")


def statement(sql: str, arguments: tuple[str, ...], rows_limit: int) -> bytes:
    """Return the messages for exactly one statement, which gives at most that many rows (section 55.2.3)."""
    bound = b"".join(struct.pack(">I", len(a := argument.encode())) + a for argument in arguments)
    return b"".join(
        (
            message(b"P", b"\0" + sql.encode() + b"\0\0\0"),
            message(b"B", b"\0\0" + struct.pack(">HH", 0, len(arguments)) + bound + b"\0\0"),
            message(b"D", b"P\0"),
            message(b"E", b"\0" + struct.pack(">I", rows_limit)),
            SYNC,
        )
    )


def sasl_initial(mechanism: str, data: bytes) -> bytes:
    """Return a SASLInitialResponse."""
    return message(b"p", mechanism.encode() + b"\0" + struct.pack(">I", len(data)) + data)


def password(data: bytes) -> bytes:
    """Return a PasswordMessage or a SASLResponse."""
    return message(b"p", data)


def read_error(body: bytes) -> ServerError:
    """Return what an ErrorResponse says (section 55.8)."""
    fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
    state = printable(fields.get(b"C", b""), 5) or "no SQLSTATE"
    return ServerError(state, printable(fields.get(b"M", b"")) or "no message")


def read_columns(body: bytes) -> tuple[Column, ...]:
    """Return the columns of a RowDescription. Raises TroubleError when it is not one."""
    try:
        (count,) = struct.unpack_from(">H", body)
        columns, position = [], 2
        for _ in range(min(count, COLUMNS_LIMIT)):
            end = body.index(b"\0", position)
            _, _, type_ = struct.unpack_from(">IHI", body, end + 1)
            columns.append(Column(printable(body[position:end], 63), type_))
            position = end + 1 + 18
    except (struct.error, ValueError):
        raise TroubleError(Failure.PROTOCOL, "the server's description of rows is not one") from None
    return tuple(columns)


def read_row(body: bytes) -> tuple[bytes | None, ...]:
    """Return the values of a DataRow, None for NULL. Raises TroubleError when it is not one."""
    try:
        (count,) = struct.unpack_from(">H", body)
        values: list[bytes | None] = []
        position = 2
        for _ in range(min(count, COLUMNS_LIMIT)):
            (length,) = struct.unpack_from(">i", body, position)
            (value,) = struct.unpack_from(f"{max(0, length)}s", body, position + 4)
            values.append(None if length < 0 else value)
            position += 4 + max(0, length)
    except struct.error:
        raise TroubleError(Failure.PROTOCOL, "the server's row is not one") from None
    return tuple(values)


def read_strings(body: bytes) -> list[str]:
    """Return the strings of a message made of them, each ended by NUL."""
    return [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]


def printable(raw: bytes, limit: int = SERVER_TEXT_LIMIT) -> str:
    """Return bytes from the server as one bounded line."""
    return plain_line(raw[: limit * 4].decode("utf-8", "replace"), limit)
