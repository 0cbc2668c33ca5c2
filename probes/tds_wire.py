"""SQL Server's protocol TDS 7.4 and 8.0 without I/O: packets, PRELOGIN, LOGIN7, batches ([MS-TDS]), bounded.

A message is one or more packets, each with a header of eight octets: kind, status (1: the last of its message), length
(big-endian), and three that mean nothing here. What is inside is little-endian. Lengths come from a server that may
lie: one beyond what is still allowed is refused when it is read.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydantic import SecretStr

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.wire_reader import WireReader

PACKET_BYTES = 4096
BATCH, ANSWER, ATTENTION, LOGIN7, PRELOGIN = 1, 4, 6, 16, 18
"""Kinds of messages (section 2.2.3.1.1)."""

ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUP, ENCRYPT_REQ = range(4)
"""Section 2.2.6.5."""

_HEADER = struct.Struct(">BBHHBB")
_LAST = 1
_VERSION_7_4 = 0x74000004
_LOGIN_FIXED_BYTES = 94
_USE_DATABASE, _ODBC, _READ_ONLY_INTENT = 0xE0, 0x03, 0x20
"""Flags of LOGIN7: a database that cannot be had is an error, ANSI settings, and (if asked) only reading is meant."""


class Login(NamedTuple):
    """What LOGIN7 says."""

    user: str
    password: SecretStr
    database: str
    server: str
    application: str
    reads_only: bool


class Reader(WireReader):
    """Puts packets together to messages.

    Attributes:
        kind: of the messages that are awaited: answers, but for a TLS handshake.

    """

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.kind = ANSWER
        self._message = bytearray()

    def next(self) -> bytes | None:
        """Return the next whole message, None where more has to come. Raises TroubleError."""
        while len(self._buffer) >= _HEADER.size:
            kind, status, length, *_ = _HEADER.unpack_from(self._buffer)
            if kind not in (self.kind, ANSWER) or length < _HEADER.size:
                shown = plain_line(bytes(self._buffer[:40]).decode("ascii", "replace"), 60)
                raise TroubleError(Failure.PROTOCOL, f"this is not SQL Server: '{shown}'")
            self.left -= length
            if self.left < 0:
                raise TroubleError(Failure.BODY_TOO_LARGE, "the server sends more than is taken of one answer")
            if len(self._buffer) < length:
                self.left += length
                return None
            self._message += self._buffer[_HEADER.size : length]
            del self._buffer[:length]
            if status & _LAST:
                message = bytes(self._message)
                self._message.clear()
                return message
        return None


def packets(kind: int, data: bytes) -> bytes:
    """Return a message as packets."""
    room = PACKET_BYTES - _HEADER.size
    pieces = [data[start : start + room] for start in range(0, len(data), room)] or [b""]
    return b"".join(
        _HEADER.pack(kind, _LAST if number == len(pieces) else 0, _HEADER.size + len(piece), 0, number % 256, 0) + piece
        for number, piece in enumerate(pieces, 1)
    )


def prelogin(encryption: int) -> bytes:
    """Return the message that settles encryption (section 2.2.6.5)."""
    values = (b"\0" * 6, bytes((encryption,)), b"\0", b"\0" * 4, b"\0")  # version, encryption, instance, thread, MARS
    place, options = 5 * len(values) + 1, b""
    for token, value in enumerate(values):
        options += struct.pack(">BHH", token, place, len(value))
        place += len(value)
    return packets(PRELOGIN, options + b"\xff" + b"".join(values))


def read_prelogin(message: bytes) -> int:
    """Return what the server says of encryption. Raises TroubleError."""
    for start in range(0, min(len(message), 5 * 16), 5):
        if message[start] == 0xFF:
            break
        if message[start] == 1 and len(message) >= start + 5:
            place, length = struct.unpack_from(">HH", message, start + 1)
            if length == 1 and place < len(message) and message[place] <= ENCRYPT_REQ:
                return int(message[place])
    raise TroubleError(Failure.PROTOCOL, "the server's answer to PRELOGIN is not one")


def login7(login: Login) -> bytes:
    """Return the message that logs in (section 2.2.6.4)."""
    texts = (
        "",  # the client's host: nobody's business
        login.user,
        login.password.get_secret_value(),
        login.application,
        login.server,
        "",
        "thongsuot",
        "",
        login.database,
    )
    data, offsets, place = b"", b"", _LOGIN_FIXED_BYTES
    for position, text in enumerate(texts):
        encoded = text.encode("utf-16-le")
        offsets += struct.pack("<HH", place, len(encoded) // 2)
        data += scrambled(encoded) if position == 2 else encoded
        place += len(encoded)
        if position == len(texts) - 1:
            offsets += b"\0" * 6 + struct.pack("<HHHHHHI", place, 0, place, 0, place, 0, 0)
    flags = (_USE_DATABASE, _ODBC, _READ_ONLY_INTENT if login.reads_only else 0, 0)
    fixed = struct.pack("<IIIIIIBBBBiI", place, _VERSION_7_4, PACKET_BYTES, 1, 0, 0, *flags, 0, 0)
    return packets(LOGIN7, fixed + offsets + data)


def scrambled(encoded: bytes) -> bytes:
    """Return a password as LOGIN7 has it: anybody can undo that, so it goes over TLS only (section 2.2.6.4)."""
    return bytes((((octet & 0x0F) << 4) | (octet >> 4)) ^ 0xA5 for octet in encoded)


def batch(sql: str) -> bytes:
    """Return the message with one batch of statements (section 2.2.6.7), outside any transaction of ours."""
    headers = struct.pack("<IIHQI", 22, 18, 2, 0, 1)
    return packets(BATCH, headers + sql.encode("utf-16-le"))
