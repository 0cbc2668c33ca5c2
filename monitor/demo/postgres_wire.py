"""PostgreSQL's messages (PostgreSQL documentation, sections 55.7 and 55.8), as octets and back. No sockets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

VERSION = "PostgreSQL 16.4 (simulated)"
PROTOCOL_3, SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 196608, 80877103, 80877104, 80877102
OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
STARTUP_MAX_BYTES = 10_000
MESSAGE_MAX_BYTES = 64 * 1024
BOOL, INT8, INT4, TEXT, FLOAT8, TIMESTAMPTZ, VOID = 16, 20, 23, 25, 701, 1184, 2278
_SIZES = {BOOL: 1, INT8: 8, INT4: 4, FLOAT8: 8, TIMESTAMPTZ: 8, VOID: 4}
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Binary timestamps count microseconds from here."""
_COMMANDS = {
    "begin": "BEGIN",
    "start transaction": "BEGIN",
    "commit": "COMMIT",
    "end": "COMMIT",
    "rollback": "ROLLBACK",
    "abort": "ROLLBACK",
    "set": "SET",
    "reset": "RESET",
    "discard": "DISCARD ALL",
    "deallocate": "DEALLOCATE",
    "close": "CLOSE CURSOR ALL",
    "unlisten": "UNLISTEN",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A result of one row and one column: (name, type) and (value,)."""

    column: tuple[str, int]
    row: tuple[Any]


class Fields:
    """Reads the fields of a message in order; what is cut short raises ValueError."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def _take(self, length: int) -> bytes:
        part = self._body[self._at : self._at + length]
        if length < 0 or len(part) != length:
            raise ValueError("the message is cut short")
        self._at += length
        return part

    def kind(self) -> bytes:
        """Read one octet."""
        return self._take(1)

    def short(self) -> int:
        """Read a 16-bit number."""
        return int(struct.unpack("!h", self._take(2))[0])

    def shorts(self) -> tuple[int, ...]:
        """Read a counted list of 16-bit numbers."""
        return tuple(self.short() for _ in range(self.short()))

    def text(self) -> bytes:
        """Read a string that ends with a zero."""
        end = self._body.find(b"\0", self._at)
        text = self._take(end - self._at)
        self._at += 1
        return text

    def value(self) -> bytes | None:
        """Read a counted value, None for NULL."""
        length = int(struct.unpack("!i", self._take(4))[0])
        return None if length == -1 else self._take(length)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message: kind, length (with itself), body."""
    return kind + struct.pack("!I", len(body) + 4) + body


def error(severity: str, code: str, text: str) -> bytes:
    """Return an ErrorResponse (section 55.8)."""
    fields = b"".join(
        key + value.encode() + b"\0" for key, value in ((b"S", severity), (b"V", severity), (b"C", code), (b"M", text))
    )
    return message(b"E", fields + b"\0")


def authentication(step: int, data: bytes = b"") -> bytes:
    """Return one step of authentication."""
    return message(b"R", struct.pack("!I", step) + data)


def greeting(user: str) -> bytes:
    """Return what a server says after a login: its parameters, a key for cancelling, and that it is ready."""
    parameters = {
        "server_version": "16.4",
        "server_encoding": "UTF8",
        "client_encoding": "UTF8",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "integer_datetimes": "on",
        "standard_conforming_strings": "on",
        "in_hot_standby": "off",
        "default_transaction_read_only": "on",
        "is_superuser": "off",
        "session_authorization": user,
        "application_name": "",
    }
    status = b"".join(
        message(b"S", name.encode() + b"\0" + value.encode() + b"\0") for name, value in parameters.items()
    )
    return status + message(b"K", struct.pack("!II", 1, 1)) + message(b"Z", b"I")


def row_description(table: Table, formats: tuple[int, ...]) -> bytes:
    """Return a RowDescription of the table's one column."""
    name, type_ = table.column
    column = struct.pack("!IhIhih", 0, 0, type_, _SIZES.get(type_, -1), -1, _format(formats))
    return message(b"T", struct.pack("!h", 1) + name.encode() + b"\0" + column)


def data_row(table: Table, formats: tuple[int, ...]) -> bytes:
    """Return a DataRow of the table's one row."""
    value = _encode(table.row[0], table.column[1], is_binary=_format(formats) == 1)
    return message(b"D", struct.pack("!hI", 1, len(value)) + value)


def _format(formats: tuple[int, ...]) -> int:
    return formats[0] if formats else 0


def _encode(value: Any, type_: int, *, is_binary: bool) -> bytes:
    if isinstance(value, datetime):
        if is_binary:
            return struct.pack("!q", (value - _EPOCH) // timedelta(microseconds=1))
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00").encode()
    if isinstance(value, bool):
        return struct.pack("!?", value) if is_binary else (b"t" if value else b"f")
    if isinstance(value, int) and is_binary:
        return struct.pack("!q" if type_ == INT8 else "!i", value)
    if isinstance(value, float) and is_binary:
        return struct.pack("!d", value)
    return str(value).encode()


def command_tag(statement: str) -> str | None:
    """Return how a statement without rows is acknowledged, None when it is not one of those that are taken."""
    for start, tag in _COMMANDS.items():
        if statement == start or statement.startswith(f"{start} "):
            return tag
    return None


def initial_response(body: bytes) -> tuple[bytes, bytes]:
    """Return the mechanism and the first message of a SASLInitialResponse."""
    fields = Fields(body)
    return fields.text(), fields.value() or b""


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one message: kind and body. Raises ValueError when it is too long, IncompleteReadError at the end."""
    head = await reader.readexactly(5)
    length = int.from_bytes(head[1:], "big")
    if not 4 <= length <= MESSAGE_MAX_BYTES:
        raise ValueError("a message of no possible length")
    return head[:1], await reader.readexactly(length - 4)


async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Mapping[str, str] | None:
    """Read the start-up packet: its parameters, or None when the client wanted something else.

    Requests for encryption are declined (section 55.2.10); a client that insists then leaves.
    """
    for _ in range(3):
        length = int.from_bytes(await reader.readexactly(4), "big")
        if not 8 <= length <= STARTUP_MAX_BYTES:
            return None
        packet = await reader.readexactly(length - 4)
        code = int.from_bytes(packet[:4], "big")
        if code in (SSL_REQUEST, GSS_REQUEST):
            writer.write(b"N")
            await writer.drain()
        elif code >> 16 == PROTOCOL_3 >> 16:
            words = packet[4:].split(b"\0")
            pairs = zip(words[::2], words[1::2], strict=False)
            return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in pairs if name}
        else:
            # A cancel request has no answer; another version is told why.
            if code != CANCEL_REQUEST:
                writer.write(error("FATAL", "0A000", "only protocol version 3 is spoken"))
            return None
    return None
