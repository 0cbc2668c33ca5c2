"""Redis' serialization protocol, version 2, without I/O, bounded (redis.io, "RESP protocol specification").

Commands are arrays of bulk strings; answers are simple strings, errors, integers, bulk strings and arrays. Lengths
come from a server that may lie: one beyond what is still allowed is refused when it is read.
"""

from __future__ import annotations

from typing import Any

from probes.failures import TroubleError, plain_line
from probes.model import Failure

LINE_LIMIT_BYTES = 4096
DEPTH_LIMIT = 4
ITEMS_LIMIT = 64


class ServerError(str):
    """An error that the server answered: `WRONGPASS …`, bounded and printable."""

    __slots__ = ()


class _More(Exception):  # noqa: N818 - it is no error: the rest has not come yet
    pass


class Reader:
    """Cuts a stream of bytes into answers.

    Attributes:
        left: how many bytes may still come; set it anew for each phase.

    """

    def __init__(self, left: int) -> None:
        self.left = left
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take what came. Raises TroubleError when it is more than may come."""
        self.left -= len(data)
        if self.left < 0:
            raise TroubleError(Failure.BODY_TOO_LARGE, "the server's answer is longer than is taken")
        self._buffer += data

    def is_empty(self) -> bool:
        """Say whether all that came was taken out."""
        return not self._buffer

    def next(self) -> tuple[Any] | None:
        """Return the next whole answer in a tuple, None where more has to come. Raises TroubleError."""
        try:
            answer, end = self._read(0, 0)
        except _More:
            return None
        self._buffer = self._buffer[end:]
        return (answer,)

    def _read(self, start: int, depth: int) -> tuple[Any, int]:
        end = self._buffer.find(b"\r\n", start, start + LINE_LIMIT_BYTES)
        kind = self._buffer[start : start + 1]
        if kind and kind not in b"+-:$*":
            raise self._wrong()
        if end < 0:
            if len(self._buffer) - start >= LINE_LIMIT_BYTES:
                raise self._wrong()
            raise _More
        line, end = self._buffer[start + 1 : end], end + 2
        if kind == b"+":
            return line, end
        if kind == b"-":
            return ServerError(printable(line)), end
        number = self._number(line)
        if kind == b":":
            return number, end
        if number < 0:
            return None, end
        return self._bulk(number, end) if kind == b"$" else self._array(number, end, depth)

    def _bulk(self, length: int, start: int) -> tuple[bytes, int]:
        missing = start + length + 2 - len(self._buffer)
        if missing > self.left:
            message = f"the server sends {length} bytes where at most {max(0, self.left)} are taken"
            raise TroubleError(Failure.BODY_TOO_LARGE, message)
        if missing > 0:
            raise _More
        if self._buffer[start + length : start + length + 2] != b"\r\n":
            raise self._wrong()
        return self._buffer[start : start + length], start + length + 2

    def _array(self, count: int, start: int, depth: int) -> tuple[list[Any], int]:
        if count > ITEMS_LIMIT or depth >= DEPTH_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"the server sends an array of {count} at depth {depth}")
        items = []
        for _ in range(count):
            item, start = self._read(start, depth + 1)
            items.append(item)
        return items, start

    def _number(self, line: bytes) -> int:
        if not line.lstrip(b"-").isdigit() or len(line) > 20:
            raise self._wrong()
        return int(line)

    def _wrong(self) -> TroubleError:
        return TroubleError(Failure.PROTOCOL, f"this is not Redis: '{printable(self._buffer[:40], 40)}'")


def command(*words: str) -> bytes:
    """Return a command."""
    encoded = [word.encode() for word in words]
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
    return b"*%d\r\n%b" % (len(encoded), parts)


def read_info(text: bytes) -> dict[str, str]:
    """Return what INFO says: name to value."""
    lines = text.decode("utf-8", "replace").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def printable(raw: bytes, limit: int = 200) -> str:
    """Return bytes from the server as one bounded line."""
    return plain_line(raw[: limit * 4].decode("utf-8", "replace"), limit)
