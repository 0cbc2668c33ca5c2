"""MySQL's client/server protocol without I/O, bounded (MySQL Source Code Documentation, "Client/Server Protocol").

A packet is a length of three octets, a sequence number and a body. Lengths come from a server that may lie: one
that is beyond what is still allowed is refused when it is read, not when the body has come.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.wire_reader import WireReader

LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, SSL = 0x1, 0x4, 0x8, 0x200, 0x800
TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, LENENC_AUTH = 0x2000, 0x8000, 0x80000, 0x200000
CAPABILITIES = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH | LENENC_AUTH
"""Neither several statements in one, nor files of ours (LOCAL INFILE), nor compression."""

UTF8MB4 = 45
COLUMNS_LIMIT = 4096
TEXT_LIMIT = 200
NATIVE, SHA2, CLEAR = "mysql_native_password", "caching_sha2_password", "mysql_clear_password"
TIMES = frozenset({7, 10, 12})
"""TIMESTAMP, DATE, DATETIME (field_types.h)."""

INTEGERS, REALS = frozenset({1, 2, 3, 8, 9, 13}), frozenset({0, 4, 5, 246})
JSON = 245


class Packet(NamedTuple):
    """A packet: its sequence number and its body, which is never empty."""

    number: int
    body: bytes


class Column(NamedTuple):
    """A column of a result: its name and its type."""

    name: str
    type: int


class Greeting(NamedTuple):
    """What the server says first (handshake, version 10)."""

    version: str
    capabilities: int
    nonce: bytes
    plugin: str


class Reader(WireReader):
    """Cuts a stream of bytes into packets."""

    def next(self) -> Packet | None:
        """Return the next whole packet, None where more has to come.

        Raises TroubleError for one that is empty or beyond what is left.
        """
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:3], "little")
        if length > self.left:
            shown = printable(bytes(self._buffer[:40]), 40)
            message = f"the server sends {length} bytes where at most {self.left} are taken: '{shown}'"
            raise TroubleError(Failure.BODY_TOO_LARGE if self.left > 64 * 1024 else Failure.PROTOCOL, message)
        if not length:
            raise TroubleError(Failure.PROTOCOL, "the server sends an empty packet")
        if len(self._buffer) < 4 + length:
            return None
        packet = Packet(self._buffer[3], bytes(self._buffer[4 : 4 + length]))
        del self._buffer[: 4 + length]
        self.left -= 4 + length
        return packet


def packet(number: int, body: bytes) -> bytes:
    """Return a packet."""
    return struct.pack("<I", len(body))[:3] + bytes((number & 0xFF,)) + body


def command(sql: str) -> bytes:
    """Return the packet for one statement (COM_QUERY)."""
    return packet(0, b"\x03" + sql.encode())


QUIT = packet(0, b"\x01")


def read_greeting(body: bytes) -> Greeting:
    """Return what the server says first. Raises TroubleError when that is not MySQL's."""
    end = body.find(b"\0", 1)
    if body[:1] != b"\x0a" or end < 0 or len(body) < end + 32:
        raise TroubleError(Failure.PROTOCOL, f"this is not MySQL: '{printable(body, 40)}'")
    fixed = body[end + 1 :]
    low, _, _, high, length = struct.unpack_from("<HBHHB", fixed, 13)
    capabilities = low | high << 16
    rest = fixed[31:]
    second = rest[: max(13, length - 8)]
    plugin = rest[len(second) :].partition(b"\0")[0] if capabilities & PLUGIN_AUTH else b""
    nonce = (fixed[4:12] + second)[:20]
    if not capabilities & PROTOCOL_41 or len(nonce) != 20:
        raise TroubleError(Failure.PROTOCOL, "the server speaks a protocol from before MySQL 4.1")
    return Greeting(printable(body[1:end], 60), capabilities, nonce, printable(plugin, 60) or NATIVE)


def ssl_request(capabilities: int) -> bytes:
    """Return the body that asks for TLS; it is how a response begins too."""
    return struct.pack("<IIB23x", capabilities, 1 << 24, UTF8MB4)


def response(capabilities: int, user: str, proof: bytes, database: str, plugin: str) -> bytes:
    """Return the body that logs in (HandshakeResponse41)."""
    name = database.encode() + b"\0" if capabilities & CONNECT_WITH_DB else b""
    login = user.encode() + b"\0" + bytes((len(proof),)) + proof
    return ssl_request(capabilities) + login + name + plugin.encode() + b"\0"


def native_proof(secret: bytes, nonce: bytes) -> bytes:
    """Return the answer to a challenge of mysql_native_password."""
    if not secret:
        return b""
    once = hashlib.sha1(secret, usedforsecurity=False).digest()
    twice = hashlib.sha1(once, usedforsecurity=False).digest()
    return _xor(once, hashlib.sha1(nonce + twice, usedforsecurity=False).digest())


def sha2_proof(secret: bytes, nonce: bytes) -> bytes:
    """Return the answer to a challenge of caching_sha2_password."""
    if not secret:
        return b""
    once = hashlib.sha256(secret).digest()
    return _xor(once, hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest())


def read_error(body: bytes) -> tuple[int, str]:
    """Return number and words of an error packet, `1045 (28000): …` bounded and printable."""
    number = int.from_bytes(body[1:3], "little")
    rest = body[3:]
    state = ""
    if rest[:1] == b"#":
        state, rest = f" ({printable(rest[1:6], 5)})", rest[6:]
    return number, f"{number}{state}: {printable(rest) or 'no message'}"


def read_count(body: bytes) -> int:
    """Return how many columns a result has. Raises TroubleError."""
    count, end = _length(body, 0)
    if count is None or end != len(body) or not 0 < count <= COLUMNS_LIMIT:
        raise TroubleError(Failure.PROTOCOL, "the server's description of rows is not one")
    return count


def read_column(body: bytes) -> Column:
    """Return a column's definition. Raises TroubleError when it is not one."""
    parts, position = [], 0
    for _ in range(6):  # catalog, schema, table, its own name, name, its own name
        part, position = _string(body, position)
        parts.append(part or b"")
    if len(body) < position + 11:
        raise TroubleError(Failure.PROTOCOL, "the server's description of rows is not one")
    return Column(printable(parts[4], 64), body[position + 7])


def read_row(body: bytes, count: int) -> tuple[bytes | None, ...]:
    """Return the values of a row, None for NULL. Raises TroubleError when it is not one."""
    values, position = [], 0
    for _ in range(count):
        value, position = _string(body, position)
        values.append(value)
    return tuple(values)


def is_end(body: bytes) -> bool:
    """Say whether a packet ends columns or rows (EOF)."""
    return body[0] == 0xFE and len(body) < 9


def value_of(column: Column, raw: bytes | None) -> Any:
    """Return a value as conditions compare it; one that is not what its type promises stays text."""
    if raw is None:
        return None
    text = raw.decode("utf-8", "replace")
    convert = _CONVERT.get(column.type)
    try:
        return convert(text) if convert else text
    except ValueError:
        return text


def version_number(text: str) -> int | None:
    """Return a version as a number: 101119 for `10.11.19-MariaDB`, 80036 for `8.0.36`."""
    match = re.match(r"(?:5\.5\.5-)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})", text)  # what MariaDB 10 put before its own
    return int(match[1]) * 10_000 + int(match[2]) * 100 + int(match[3]) if match else None


def printable(raw: bytes, limit: int = TEXT_LIMIT) -> str:
    """Return bytes from the server as one bounded line."""
    return plain_line(raw[: limit * 4].decode("utf-8", "replace"), limit)


def _integer(text: str) -> Any:
    number = int(text[:40])
    return number if -(1 << 63) <= number < 1 << 63 else float(number)


_CONVERT: Mapping[int, Callable[[str], Any]] = {
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(REALS, float),
    JSON: orjson.loads,
}


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _length(body: bytes, position: int) -> tuple[int | None, int]:
    """Return a length-encoded integer (None for NULL) and where it ends."""
    if position >= len(body):
        raise TroubleError(Failure.PROTOCOL, "the server's row is not one")
    first = body[position]
    if first < 0xFB:
        return first, position + 1
    if first == 0xFB:
        return None, position + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not size or position + 1 + size > len(body):
        raise TroubleError(Failure.PROTOCOL, "the server's row is not one")
    return int.from_bytes(body[position + 1 : position + 1 + size], "little"), position + 1 + size


def _string(body: bytes, position: int) -> tuple[bytes | None, int]:
    length, start = _length(body, position)
    if length is None:
        return None, start
    if start + length > len(body):
        raise TroubleError(Failure.PROTOCOL, "the server's row is not one")
    return body[start : start + length], start + length
