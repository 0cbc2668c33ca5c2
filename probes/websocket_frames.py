"""WebSocket without I/O (RFC 6455): the handshake's key, frames of a client, frames of a server put together.

A frame longer than what is left of the limit is refused by its header, before any of its payload is held.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from probes.failures import TroubleError
from probes.model import Failure

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
_FINAL = 0x80
_MASKED = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

FRAMES_LIMIT = 10_000
"""Frames of one connection."""


class Message(NamedTuple):
    """A whole message, or a control frame.

    Attributes:
        kind: TEXT, BINARY, CLOSE, PING or PONG.
        data: its payload.

    """

    kind: int
    data: bytes


def new_key() -> str:
    """Return a value of Sec-WebSocket-Key (section 4.1, item 7)."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def accept_of(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a key (section 4.2.2, item 5.4)."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def encode(kind: int, data: bytes) -> bytes:
    """Return one frame of a client, which is always masked (section 5.3)."""
    length = len(data)
    if length < 126:
        head = bytes((_FINAL | kind, _MASKED | length))
    elif length < 65536:
        head = bytes((_FINAL | kind, _MASKED | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | kind, _MASKED | 127)) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + _masked(data, mask)


def close_code(data: bytes) -> int:
    """Return the code in a close frame, 1005 where there is none (section 7.1.5)."""
    return int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005


class Frames:
    """Takes what a server sends and gives whole messages.

    Args:
        limit: bytes of one message.

    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._size = 0
        self._kind = 0
        self._frames = 0

    def receive(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with `data`.

        Raises TroubleError: `protocol` for what no server may send, `body_too_large` for a message past the limit.
        """
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            final, kind, payload = frame
            self._frames += 1
            if self._frames > FRAMES_LIMIT:
                raise TroubleError(Failure.PROTOCOL, f"more than {FRAMES_LIMIT} frames")
            if kind >= CLOSE:
                yield Message(kind, payload)
                continue
            if (kind == _CONTINUATION) != bool(self._kind):
                raise TroubleError(Failure.PROTOCOL, "the parts of a message are out of order")
            self._kind = self._kind or kind
            self._parts.append(payload)
            self._size += len(payload)
            if final:
                yield Message(self._kind, b"".join(self._parts))
                self._parts, self._size, self._kind = [], 0, 0

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        kind, length, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        self._check(buffer[0], kind, buffer[1])
        if length >= 126:
            width = 2 if length == 126 else 8
            start += width
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if length > self._limit - self._size:
            raise TroubleError(Failure.BODY_TOO_LARGE, f"the message is larger than {self._limit} bytes")
        if len(buffer) < start + length:
            return None
        payload = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return bool(kind >= CLOSE or self._was_final), kind, payload

    def _check(self, first: int, kind: int, second: int) -> None:
        """Refuse what section 5.2 and 5.5 refuse."""
        self._was_final = bool(first & _FINAL)
        if first & 0x70:
            raise TroubleError(Failure.PROTOCOL, "a frame has reserved bits, though no extension was agreed on")
        if kind not in (_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise TroubleError(Failure.PROTOCOL, f"a frame has the unknown opcode {kind}")
        if second & _MASKED:
            raise TroubleError(Failure.PROTOCOL, "a frame of the server is masked")
        if kind >= CLOSE and (not self._was_final or second & 0x7F > 125):
            raise TroubleError(Failure.PROTOCOL, "a control frame is too long, or in parts")


def _masked(data: bytes, mask: bytes) -> bytes:
    if not data:
        return b""
    repeated = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")
