"""LDAP messages without I/O, bounded (RFC 4511; encoded in BER as its section 5.1 restricts it, ITU-T X.690).

Only what a check needs: bind, StartTLS, search, unbind, and their answers. Lengths come from a server that may lie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.wire_reader import WireReader

START_TLS = "1.3.6.1.4.1.1466.20037"
BIND, BOUND, UNBIND, SEARCH, ENTRY, DONE, REFERENCE, EXTENDED, EXTENDED_DONE = (
    0x60, 0x61, 0x42, 0x63, 0x64, 0x65, 0x73, 0x77, 0x78,
)  # fmt: skip
FILTER_DEPTH = 8
_FILTER_ITEM = re.compile(r"\(([A-Za-z][A-Za-z0-9;.-]{0,127})(>=|<=|=)((?:[^()\\*\0]|\\[0-9a-fA-F]{2}|\*)*)\)")


class Message(NamedTuple):
    """A message of the server: its number, the tag of its operation, and what is in it."""

    number: int
    tag: int
    body: bytes


class Outcome(NamedTuple):
    """An LDAPResult (section 4.1.9)."""

    code: int
    text: str


class Reader(WireReader):
    """Cuts a stream of bytes into messages."""

    def next(self) -> Message | None:
        """Return the next whole message, None where more has to come. Raises TroubleError."""
        if len(self._buffer) < 2:
            return None
        if self._buffer[0] != 0x30:
            raise TroubleError(Failure.PROTOCOL, f"this is not LDAP: '{printable(bytes(self._buffer[:40]), 40)}'")
        extra = self._buffer[1] & 0x7F if self._buffer[1] & 0x80 else 0
        if len(self._buffer) < 2 + extra:
            return None
        length, start = _length(bytes(self._buffer[: 2 + extra]), 1)
        if length > self.left:
            message = f"the server sends {length} bytes where at most {self.left} are taken"
            raise TroubleError(Failure.BODY_TOO_LARGE, message)
        if len(self._buffer) < start + length:
            return None
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        self.left -= start + length
        (_, number), (tag, operation) = _wanted(parts(body), 2)[:2]
        return Message(int.from_bytes(number, "big"), tag, operation)


def element(tag: int, *content: bytes) -> bytes:
    """Return an element with a definite length."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(body).to_bytes(size, "big") + body


def parts(body: bytes) -> list[tuple[int, bytes]]:
    """Return the elements in a body, tag and content. Raises TroubleError when they are none."""
    found, position = [], 0
    while position < len(body):
        length, start = _length(body, position + 1)
        if start + length > len(body):
            raise _wrong()
        found.append((body[position], body[start : start + length]))
        position = start + length
    return found


def bind(number: int, name: str, secret: str) -> bytes:
    """Return a simple bind (section 4.2)."""
    return _message(number, element(BIND, _integer(3), _text(name), element(0x80, secret.encode())))


def start_tls(number: int) -> bytes:
    """Return the request for TLS (section 4.14)."""
    return _message(number, element(EXTENDED, element(0x80, START_TLS.encode())))


def search(
    number: int, base: str, scope: int, filter_: bytes, attributes: Sequence[str], size: int, time_s: int
) -> bytes:
    """Return a search (section 4.5.1), with the server's limits of entries and seconds."""
    limits = (element(0x0A, bytes((scope,))), element(0x0A, b"\0"), _integer(size), _integer(time_s))
    named = element(0x30, *(_text(name) for name in attributes))
    return _message(number, element(SEARCH, _text(base), *limits, element(0x01, b"\0"), filter_, named))


def unbind(number: int) -> bytes:
    """Return the farewell (section 4.3)."""
    return _message(number, bytes((UNBIND, 0)))


def read_outcome(body: bytes) -> Outcome:
    """Return code and words of a result. Raises TroubleError when it is not one."""
    (_, code), _, (_, text) = _wanted(parts(body), 3)[:3]
    return Outcome(int.from_bytes(code[:4], "big"), printable(text))


def read_entry(body: bytes) -> dict[str, list[bytes]]:
    """Return the attributes of an entry, lower-case name to values. Raises TroubleError when it is not one."""
    _, (_, attributes) = _wanted(parts(body), 2)[:2]
    found = {}
    for _, attribute in parts(attributes):
        (_, name), (_, values) = _wanted(parts(attribute), 2)[:2]
        found[printable(name, 128).lower()] = [value for _, value in parts(values)]
    return found


def compile_filter(text: str) -> bytes:
    """Return a filter as it is sent: and, or, not, =, >=, <= and `*` (RFC 4515). Raises ValueError."""
    compiled, end = _filter(text, 0, 0)
    if end != len(text):
        raise ValueError("a filter is one expression in brackets, such as (objectClass=person)")
    return compiled


def printable(raw: bytes, limit: int = 200) -> str:
    """Return bytes from the server as one bounded line."""
    return plain_line(raw[: limit * 4].decode("utf-8", "replace"), limit)


def _filter(text: str, start: int, depth: int) -> tuple[bytes, int]:
    if depth > FILTER_DEPTH:
        message = f"a filter is at most {FILTER_DEPTH} deep"
        raise ValueError(message)
    tag = {"(&": 0xA0, "(|": 0xA1, "(!": 0xA2}.get(text[start : start + 2])
    if tag is None:
        item = _FILTER_ITEM.match(text, start)
        if item is None:
            raise ValueError("a filter is written as in RFC 4515, such as (&(objectClass=person)(mail=*))")
        return _item(*item.groups()), item.end()
    inner, position = [], start + 2
    while text[position : position + 1] == "(":
        one, position = _filter(text, position, depth + 1)
        inner.append(one)
    if not inner or text[position : position + 1] != ")" or (tag == 0xA2 and len(inner) != 1):
        raise ValueError("a filter's brackets do not match")
    return element(tag, *inner), position + 1


def _item(name: str, operator: str, value: str) -> bytes:
    if operator != "=":
        return element(0xA5 if operator == ">=" else 0xA6, _text(name), element(0x04, _unescaped(value)))
    if value == "*":
        return element(0x87, name.encode())
    if "*" not in value:
        return element(0xA3, _text(name), element(0x04, _unescaped(value)))
    pieces = value.split("*")
    last = len(pieces) - 1
    tags = [0x80 if place == 0 else 0x82 if place == last else 0x81 for place in range(last + 1)]
    found = [element(tag, _unescaped(piece)) for tag, piece in zip(tags, pieces, strict=True) if piece]
    return element(0xA4, _text(name), element(0x30, *found))


def _unescaped(value: str) -> bytes:
    return re.sub(rb"\\([0-9a-fA-F]{2})", lambda match: bytes.fromhex(match[1].decode()), value.encode())


def _message(number: int, operation: bytes) -> bytes:
    return element(0x30, _integer(number), operation)


def _integer(value: int) -> bytes:
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _text(value: str) -> bytes:
    return element(0x04, value.encode())


def _length(body: bytes, position: int) -> tuple[int, int]:
    """Return a length and where the content begins. Raises TroubleError."""
    if position >= len(body):
        raise _wrong()
    first = body[position]
    if first < 0x80:
        return first, position + 1
    size = first & 0x7F
    if not 0 < size <= 4 or position + 1 + size > len(body):
        raise _wrong()
    return int.from_bytes(body[position + 1 : position + 1 + size], "big"), position + 1 + size


def _wanted(found: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    if len(found) < count:
        raise _wrong()
    return found


def _wrong() -> TroubleError:
    return TroubleError(Failure.PROTOCOL, "the server's message is not LDAP")
