"""MQTT 3.1.1 and 5.0 without I/O (OASIS standards of 2014 and 2019), bounded.

A packet is a byte of type and flags, a length in one to four bytes of seven bits each, and a body (section 2.1 of
either). Every length in a body is checked against what is there.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from probes.failures import TroubleError
from probes.model import Failure
from probes.octets import Octets

Version = Literal["3.1.1", "5"]

PACKET_LIMIT_BYTES = 256 * 1024
CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
KEEP_ALIVE_S = 60

_LEVELS: Mapping[Version, int] = {"3.1.1": 4, "5": 5}

_REASON_STRING = 0x1F
_PROPERTY_FORMS: Mapping[int, str] = {
    # 5.0, section 2.2.2.2: fixed numbers by their form in `struct`, `v` a variable number, `s` a string or binary.
    0x01: "B", 0x02: "I", 0x03: "s", 0x08: "s", 0x09: "s", 0x0B: "v", 0x11: "I", 0x12: "s", 0x13: "H", 0x15: "s",
    0x16: "s", 0x17: "B", 0x18: "I", 0x19: "B", 0x1A: "s", 0x1C: "s", 0x1F: "s", 0x21: "H", 0x22: "H", 0x23: "H",
    0x24: "B", 0x25: "B", 0x26: "ss", 0x27: "I", 0x28: "B", 0x29: "B", 0x2A: "B",
}  # fmt: skip


class Answer(NamedTuple):
    """What a broker answers to a request: its number, the reason code, and the words that 5.0 may add."""

    number: int
    code: int
    text: bytes = b""


class Message(NamedTuple):
    """A published message."""

    topic: str
    payload: bytes
    is_retained: bool


class Cursor(Octets):
    """Reads MQTT's values."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "the broker's packet")

    def text(self) -> bytes:
        """Return a string or binary data (section 1.5)."""
        return self.octets(self.number("H"))

    def variable(self) -> int:
        """Return a variable byte integer (5.0, section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            octet: int = self.number("B")
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                return value
        raise TroubleError(Failure.PROTOCOL, "the broker's packet has a length that is none")

    def properties(self) -> dict[int, bytes]:
        """Return the properties of 5.0 that are strings; of the others only that they are well formed."""
        inner = Cursor(self.octets(self.variable()))
        found = {}
        while inner.left:
            name = inner.variable()
            form = _PROPERTY_FORMS.get(name)
            if form is None:
                raise TroubleError(Failure.PROTOCOL, f"the broker's packet has an unknown property {name}")
            if form == "v":
                inner.variable()
            elif form in ("s", "ss"):
                found[name] = [inner.text() for _ in form][-1]
            else:
                inner.number(form)
        return found


def connect(version: Version, client_id: str, username: str, password: str) -> bytes:
    """Return CONNECT for a session that begins and ends with the connection (section 3.1)."""
    flags = 0x02
    payload = _text(client_id)
    if username:
        flags |= 0x80
        payload += _text(username)
        if password:
            flags |= 0x40
            payload += _text(password)
    head = _text("MQTT") + struct.pack(">BBH", _LEVELS[version], flags, KEEP_ALIVE_S)
    return _packet(0x10, head + _no_properties(version) + payload)


def subscribe(version: Version, number: int, topic: str) -> bytes:
    """Return SUBSCRIBE to a topic, at most once (section 3.8)."""
    return _packet(0x82, struct.pack(">H", number) + _no_properties(version) + _text(topic) + b"\0")


def publish(version: Version, number: int, topic: str, payload: bytes) -> bytes:
    """Return PUBLISH at least once (section 3.3): the broker then says whether it took the message."""
    return _packet(0x32, _text(topic) + struct.pack(">H", number) + _no_properties(version) + payload)


def read_length(octets: bytes) -> int | None:
    """Return the length that a packet's head names, None where more of it has to come.

    Raises TroubleError when there is none, or it is beyond PACKET_LIMIT_BYTES.
    """
    if not octets or (octets[-1] >= 0x80 and len(octets) < 4):
        return None
    length = Cursor(octets).variable()
    if length > PACKET_LIMIT_BYTES:
        message = f"the broker sends a packet of {length} bytes where at most {PACKET_LIMIT_BYTES} are taken"
        raise TroubleError(Failure.PROTOCOL, message)
    return length


def read_connack(body: bytes, version: Version) -> Answer:
    """Return CONNACK (section 3.2): code 0 lets us in."""
    cursor = Cursor(body)
    cursor.number("B")
    return Answer(0, cursor.number("B"), _reason(cursor, version))


def read_suback(body: bytes, version: Version) -> Answer:
    """Return SUBACK (section 3.9) for one topic: codes from 0x80 on refuse it."""
    cursor = Cursor(body)
    number = cursor.number("H")
    text = _reason(cursor, version)
    return Answer(number, cursor.number("B"), text)


def read_puback(body: bytes, version: Version) -> Answer:
    """Return PUBACK (section 3.4): codes from 0x80 on refuse the message."""
    cursor = Cursor(body)
    number = cursor.number("H")
    code = cursor.number("B") if cursor.left else 0
    return Answer(number, code, _reason(cursor, version))


def read_disconnect(body: bytes, version: Version) -> Answer:
    """Return DISCONNECT, which in 5.0 a broker sends before it hangs up (section 3.14)."""
    cursor = Cursor(body)
    code = cursor.number("B") if cursor.left else 0
    return Answer(0, code, _reason(cursor, version))


def read_publish(flags: int, body: bytes, version: Version) -> Message:
    """Return PUBLISH (section 3.3)."""
    cursor = Cursor(body)
    topic = cursor.text().decode("utf-8", "replace")
    if flags & 0x06:
        cursor.number("H")
    if version == "5":
        cursor.properties()
    return Message(topic, cursor.octets(cursor.left), bool(flags & 0x01))


def _reason(cursor: Cursor, version: Version) -> bytes:
    """Return the words that 5.0 may add to a reason; whoever refuses the version adds none."""
    return cursor.properties().get(_REASON_STRING, b"") if version == "5" and cursor.left else b""


def _no_properties(version: Version) -> bytes:
    return b"\0" if version == "5" else b""


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(head: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes([head]) + bytes(length) + body
