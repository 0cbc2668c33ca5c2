"""AMQP 0-9-1 without I/O (AMQP working group, specification of November 2008; RabbitMQ's errata), bounded.

A frame is a type, a channel, a length, a payload and an end mark (section 4.2.3); a method's payload begins with
its class and its number. Whatever length a peer names is checked against what is there before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from probes.failures import TroubleError
from probes.model import Failure
from probes.octets import Octets

HEADER = b"AMQP\0\0\x09\x01"
FRAME_HEAD_BYTES = 7
FRAME_END = 0xCE
METHOD_FRAME, HEARTBEAT_FRAME = 1, 8
FRAME_LIMIT_BYTES = 128 * 1024
FIELDS_LIMIT = 200
DEPTH_LIMIT = 4


class Method(Enum):
    """The methods that a probe speaks or hears: class and number (section 1.2 of the definitions)."""

    CONNECTION_START = (10, 10)
    CONNECTION_START_OK = (10, 11)
    CONNECTION_TUNE = (10, 30)
    CONNECTION_TUNE_OK = (10, 31)
    CONNECTION_OPEN = (10, 40)
    CONNECTION_OPEN_OK = (10, 41)
    CONNECTION_CLOSE = (10, 50)
    CONNECTION_CLOSE_OK = (10, 51)
    CHANNEL_OPEN = (20, 10)
    CHANNEL_OPEN_OK = (20, 11)
    CHANNEL_CLOSE = (20, 40)
    QUEUE_DECLARE = (50, 10)
    QUEUE_DECLARE_OK = (50, 11)


class Head(NamedTuple):
    """What a frame begins with; `size` is that of its payload, the end mark not counted."""

    kind: int
    channel: int
    size: int


class Start(NamedTuple):
    """Connection.Start: what the server says of itself, and how one may log in."""

    properties: Mapping[str, Any]
    mechanisms: tuple[str, ...]


class Close(NamedTuple):
    """Connection.Close or Channel.Close: why the server ends it."""

    code: int
    text: bytes


class Tune(NamedTuple):
    """Connection.Tune: the server's limits; 0 is none."""

    channel_max: int
    frame_max: int
    heartbeat_s: int


class Depth(NamedTuple):
    """Queue.Declare-Ok: messages that are ready, and consumers."""

    messages: int
    consumers: int


class Cursor(Octets):
    """Reads AMQP's values."""

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "the broker's method")
        self._fields = 0

    def short_text(self) -> bytes:
        """Return a short string (section 4.2.5.3)."""
        return self.octets(self.number("B"))

    def long_text(self) -> bytes:
        """Return a long string."""
        return self.octets(self.number("I"))

    def table(self, depth: int = 0) -> dict[str, Any]:
        """Return a table (section 4.2.5.5), strings as text."""
        end = self._sized(depth)
        found = {}
        while self._position < end:
            name = self.short_text().decode("utf-8", "replace")
            found[name] = self._value(depth)
        return found

    def _array(self, depth: int) -> list[Any]:
        end = self._sized(depth)
        found = []
        while self._position < end:
            found.append(self._value(depth))
        return found

    def _sized(self, depth: int) -> int:
        size = self.number("I")
        if depth > DEPTH_LIMIT or self._position + size > len(self._data):
            raise TroubleError(Failure.PROTOCOL, "the broker's table is not one")
        return int(self._position + size)

    def _value(self, depth: int) -> Any:
        self._fields += 1
        if self._fields > FIELDS_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"the broker's table has more than {FIELDS_LIMIT} fields")
        kind = self.octets(1)
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        reader = _READERS.get(kind)
        if reader is None:
            raise TroubleError(Failure.PROTOCOL, f"the broker's table has a field of an unknown type, {kind!r}")
        return reader(self, depth + 1)


# Types as RabbitMQ has them, which differ from the specification's (RabbitMQ, "AMQP 0-9-1 Errata", section 3).
_NUMBERS: Mapping[bytes, str] = {
    b"b": "b", b"B": "B", b"s": "h", b"u": "H", b"I": "i", b"i": "I", b"l": "q", b"L": "Q", b"f": "f", b"d": "d",
    b"T": "Q",
}  # fmt: skip
_READERS: Mapping[bytes, Callable[[Cursor, int], Any]] = {
    b"t": lambda cursor, _depth: cursor.number("B") != 0,
    b"D": lambda cursor, _depth: cursor.octets(5),
    b"S": lambda cursor, _depth: cursor.long_text().decode("utf-8", "replace"),
    b"x": lambda cursor, _depth: cursor.long_text(),
    b"V": lambda _cursor, _depth: None,
    b"F": lambda cursor, depth: cursor.table(depth),
    b"A": lambda cursor, depth: cursor._array(depth),
}


def read_head(data: bytes) -> Head:
    """Return what the first FRAME_HEAD_BYTES of a frame say. Raises TroubleError when they are none."""
    if data.startswith(b"AMQP"):
        version = ".".join(map(str, data[4:7]))
        raise TroubleError(Failure.PROTOCOL, f"the broker does not speak AMQP 0-9-1, but offers {version}")
    head = Head(*struct.unpack(">BHI", data))
    if head.kind not in (1, 2, 3, HEARTBEAT_FRAME):
        raise TroubleError(Failure.PROTOCOL, f"this is not AMQP: {data!r}")
    if head.size > FRAME_LIMIT_BYTES:
        message = f"the broker sends a frame of {head.size} bytes where at most {FRAME_LIMIT_BYTES} are taken"
        raise TroubleError(Failure.PROTOCOL, message)
    return head


def read_method(payload: bytes) -> tuple[Method | None, Cursor]:
    """Return which method it is, None for one that is not known, and its arguments."""
    cursor = Cursor(payload)
    number = (cursor.number("H"), cursor.number("H"))
    return next((method for method in Method if method.value == number), None), cursor


def read_start(cursor: Cursor) -> Start:
    """Return Connection.Start. Raises TroubleError when it is not one."""
    version = (cursor.number("B"), cursor.number("B"))
    if version != (0, 9):
        raise TroubleError(Failure.PROTOCOL, f"the broker does not speak AMQP 0-9-1, but {version[0]}-{version[1]}")
    properties = cursor.table()
    return Start(properties, tuple(cursor.long_text().decode("ascii", "replace").split()))


def read_tune(cursor: Cursor) -> Tune:
    """Return Connection.Tune."""
    return Tune(cursor.number("H"), cursor.number("I"), cursor.number("H"))


def read_close(cursor: Cursor) -> Close:
    """Return why a connection or a channel is closed."""
    return Close(cursor.number("H"), cursor.short_text())


def read_depth(cursor: Cursor) -> Depth:
    """Return Queue.Declare-Ok without the queue's name."""
    cursor.short_text()
    return Depth(cursor.number("I"), cursor.number("I"))


def start_ok(properties: Mapping[str, str | bool | Mapping[str, bool]], mechanism: str, response: bytes) -> bytes:
    """Return Connection.Start-Ok."""
    arguments = _table(properties) + _short(mechanism) + _long(response) + _short("en_US")
    return _method(Method.CONNECTION_START_OK, 0, arguments)


def tune_ok(tune: Tune) -> bytes:
    """Return Connection.Tune-Ok: one channel, frames that we take, and no heartbeats on so short a visit."""
    frame_max = min(tune.frame_max or FRAME_LIMIT_BYTES, FRAME_LIMIT_BYTES)
    return _method(Method.CONNECTION_TUNE_OK, 0, struct.pack(">HIH", 1, frame_max, 0))


def connection_open(vhost: str) -> bytes:
    """Return Connection.Open."""
    return _method(Method.CONNECTION_OPEN, 0, _short(vhost) + _short("") + b"\0")


def connection_close() -> bytes:
    """Return Connection.Close: all is well."""
    return _method(Method.CONNECTION_CLOSE, 0, struct.pack(">H", 200) + _short("goodbye") + struct.pack(">HH", 0, 0))


def channel_open() -> bytes:
    """Return Channel.Open of the first channel."""
    return _method(Method.CHANNEL_OPEN, 1, _short(""))


def queue_declare_passive(queue: str) -> bytes:
    """Return Queue.Declare that only asks for a queue and makes none."""
    return _method(Method.QUEUE_DECLARE, 1, struct.pack(">H", 0) + _short(queue) + b"\x01" + struct.pack(">I", 0))


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return a frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END])


def _method(method: Method, channel: int, arguments: bytes) -> bytes:
    return frame(METHOD_FRAME, channel, struct.pack(">HH", *method.value) + arguments)


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


def _long(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def _table(fields: Mapping[str, Any]) -> bytes:
    body = b"".join(_short(name) + _field(value) for name, value in fields.items())
    return _long(body)


def _field(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"t" + bytes([value])
    if isinstance(value, str):
        return b"S" + _long(value.encode())
    return b"F" + _table(value)
