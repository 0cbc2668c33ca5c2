"""MongoDB's wire protocol without I/O: OP_MSG with one document each way, bounded.

The specifications are `source/message/OP_MSG.md` in the repository mongodb/specifications, and bsonspec.org (1.1).
A message is four little-endian numbers (its length, its number, the number that it answers, its kind), then flags
and sections. Lengths come from a server that may lie: one beyond the limit is refused when it is read. BSON is read
by the C code of the package `bson` (part of pymongo), which is strict about lengths and bounded in depth.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from probes.failures import TroubleError, plain_line
from probes.model import Failure

OP_MSG = 2013
HEADER_BYTES = 16
MESSAGE_LIMIT_BYTES = 1024 * 1024
"""A server's status is some 50 kB; a server itself never sends more than 48 MB."""

_HEADER = struct.Struct("<iiii")
_CHECKSUM_PRESENT, _MORE_TO_COME, _REQUIRED_FLAGS = 1, 2, 0xFFFF


class Reply(NamedTuple):
    """One answer: the number of the request that it answers, and its document."""

    to: int
    document: Mapping[str, Any]


@cache
def bson() -> ModuleType:
    """Return the package that reads and writes BSON, imported when it is first used.

    Raises TroubleError (`internal`: we cannot measure) when it is not installed.
    """
    try:
        import bson as package  # noqa: PLC0415 - an optional part, and 20 ms of a cold start
    except ModuleNotFoundError:
        message = "the probe kind mongodb needs pymongo: pip install thongsuot[mongodb]"
        raise TroubleError(Failure.INTERNAL, message) from None
    return package


def command(number: int, document: Mapping[str, Any]) -> bytes:
    """Return a message with one command."""
    body: bytes = bson().encode(document)
    return _HEADER.pack(HEADER_BYTES + 5 + len(body), number, 0, OP_MSG) + b"\0\0\0\0\0" + body


class Reader:
    """Cuts a stream of bytes into answers."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def next(self) -> Reply | None:
        """Return the next whole answer, None where more has to come.

        Raises TroubleError: `body_too_large` for one beyond the limit, `protocol` for what is none.
        """
        if len(self._buffer) < HEADER_BYTES:
            return None
        length, _, to, kind = _HEADER.unpack_from(self._buffer)
        if kind != OP_MSG or length < HEADER_BYTES + 10:
            shown = plain_line(bytes(self._buffer[:40]).decode("ascii", "replace"), 60)
            raise TroubleError(Failure.PROTOCOL, f"this is not MongoDB (3.6 or later): '{shown}'")
        if length > MESSAGE_LIMIT_BYTES:
            message = f"the server sends {length} bytes where at most {MESSAGE_LIMIT_BYTES} are taken"
            raise TroubleError(Failure.BODY_TOO_LARGE, message)
        if len(self._buffer) < length:
            return None
        message_ = bytes(self._buffer[HEADER_BYTES:length])
        del self._buffer[:length]
        return Reply(to, _document(message_))


def _document(message: bytes) -> Mapping[str, Any]:
    """Return the one document of a message's sections."""
    flags = int.from_bytes(message[:4], "little")
    if flags & _MORE_TO_COME or flags & _REQUIRED_FLAGS & ~(_CHECKSUM_PRESENT | _MORE_TO_COME):
        raise TroubleError(Failure.PROTOCOL, f"the server's answer has flags that nobody asked for: {flags:#x}")
    body = message[5:-4] if flags & _CHECKSUM_PRESENT else message[5:]
    package = bson()
    if message[4] != 0:
        raise TroubleError(Failure.PROTOCOL, "the server's answer does not begin with a document")
    try:
        document: Mapping[str, Any] = package.decode(body, codec_options=_options())
    except (package.errors.BSONError, ValueError, RecursionError, OverflowError) as error:
        message_ = f"the server's document is not BSON ({type(error).__name__})"
        raise TroubleError(Failure.PROTOCOL, message_) from None
    return document


@cache
def _options() -> Any:
    from bson.codec_options import CodecOptions, DatetimeConversion  # noqa: PLC0415 - as above

    # A date beyond what datetime holds stays a number of milliseconds instead of making all of it unreadable.
    automatic = DatetimeConversion.DATETIME_AUTO
    return CodecOptions(tz_aware=True, unicode_decode_error_handler="replace", datetime_conversion=automatic)
