"""Domain names on the wire and as people write them (RFC 1035, sections 2.3, 3.1, 4.1.4 and 5.1)."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Any

NAME_LIMIT_OCTETS = 255
LABEL_LIMIT_OCTETS = 63
STEPS_LIMIT = 16_384
"""Labels and pointers that are followed in one message: a full one of 1,000 records needs about 5,000."""

_LABEL = re.compile(rb"(?:\\.|[^.\\])+", re.DOTALL)
_NAME = re.compile(rb"(?:\\.|[^.\\])+(?:\.(?:\\.|[^.\\])+)*\.?", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-9]{3}|.)", re.DOTALL)
_SPECIAL = frozenset(b'."\\;@$()')


class PacketError(ValueError):
    """A message that breaks the rules of DNS; says which."""


def wire_name(name: str) -> bytes:
    r"""Return a name on the wire, as written: `example.vn`, `example.vn.`, `bộ.vn`, `a\.b.vn` (one label `a.b`).

    What is not ASCII becomes `xn--…` (IDNA 2008 as UTS 46 prepares it). Raises ValueError when it cannot be a name.
    """
    if not name.isascii():
        import idna  # noqa: PLC0415 - its tables are large, and few names need them

        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            message = f"{name!r} is not a name: {error}"
            raise ValueError(message) from None
    if name == ".":
        return b"\0"
    text = name.encode()
    labels = [_unescape(label) for label in _LABEL.findall(text)] if _NAME.fullmatch(text) else []
    size = sum(len(label) + 1 for label in labels) + 1
    if not labels or max(map(len, labels)) > LABEL_LIMIT_OCTETS or size > NAME_LIMIT_OCTETS:
        message = f"{name[:300]!r} is not a name: labels of 1 to 63 octets, 255 octets in all (RFC 1035, section 2.3.4)"
        raise ValueError(message)
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def reverse_name(text: str) -> str | None:
    """Return the name under which an address is looked up (RFC 1035, section 3.5; RFC 3596, section 2.5)."""
    try:
        return ipaddress.ip_address(text).reverse_pointer
    except ValueError:
        return None


def name_text(wire: bytes) -> str:
    """Return an uncompressed name as zone files write it, with its last dot; special octets escaped."""
    if wire == b"\0":
        return "."
    parts, position = [], 0
    while wire[position]:
        label = wire[position + 1 : position + 1 + wire[position]]
        parts.append("".join(_escaped(octet, _SPECIAL) for octet in label))
        position += 1 + wire[position]
    return ".".join(parts) + "."


def quoted(octets: bytes) -> str:
    """Return a character string, quoted, as zone files write it."""
    return '"' + string_text(octets) + '"'


def string_text(octets: bytes) -> str:
    r"""Return a character string with quotes, backslashes and what is not printable ASCII escaped (`\"`, `\200`)."""
    return "".join(_escaped(octet, frozenset(b'"\\'), space=True) for octet in octets)


class NameReader:
    """Reads names and numbers from a message; never beyond its end, never for ever."""

    __slots__ = ("_steps", "message")

    def __init__(self, message: bytes) -> None:
        self.message = message
        self._steps = STEPS_LIMIT

    def name(self, position: int, *, keep_case: bool = False) -> tuple[bytes, int]:
        """Return the name at `position`, uncompressed, and the place after it. Raises PacketError."""
        message, labels, size, after = self.message, [], 1, 0
        lowest = position
        while True:
            self._steps -= 1
            if self._steps < 0:
                raise PacketError("too many labels")
            length = self.byte(position)
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | self.byte(position + 1)
                after = after or position + 2
                if target >= lowest:
                    raise PacketError("a compression pointer does not lead back")
                position = lowest = target
            elif length > LABEL_LIMIT_OCTETS:
                raise PacketError("an unknown kind of label")
            elif length == 0:
                break
            else:
                size += 1 + length
                if size > NAME_LIMIT_OCTETS:
                    raise PacketError("a name of more than 255 octets")
                labels.append(message[position : self.within(position + 1, length)])
                position += 1 + length
        wire = b"".join(labels) + b"\0"
        return (wire if keep_case else wire.lower()), after or position + 1

    def skip_name(self, position: int) -> int:
        """Return the place after the name at `position`, without following it."""
        while True:
            length = self.byte(position)
            if length >= 0xC0:
                return self.within(position, 2)
            if length > LABEL_LIMIT_OCTETS:
                raise PacketError("an unknown kind of label")
            position = self.within(position + 1, length)
            if length == 0:
                return position

    def byte(self, position: int) -> int:
        """Return one octet. Raises PacketError beyond the end."""
        if position >= len(self.message):
            raise PacketError("it ends too early")
        return self.message[position]

    def unpack(self, layout: str, position: int) -> tuple[Any, ...]:
        """Return the numbers at `position`. Raises PacketError beyond the end."""
        try:
            return struct.unpack_from(layout, self.message, position)
        except struct.error:
            raise PacketError("it ends too early") from None

    def within(self, position: int, length: int) -> int:
        """Return `position + length`. Raises PacketError when that is beyond the end."""
        if position + length > len(self.message):
            raise PacketError("it ends too early")
        return position + length


def _unescape(label: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        text = match[1]
        if len(text) == 3:
            if int(text) > 255:
                message = f"\\{text.decode()} is not an octet"
                raise ValueError(message)
            return bytes((int(text),))
        return text

    return _ESCAPE.sub(one, label)


def _escaped(octet: int, special: frozenset[int], *, space: bool = False) -> str:
    if octet in special:
        return "\\" + chr(octet)
    if 0x20 < octet < 0x7F or (space and octet == 0x20):
        return chr(octet)
    return f"\\{octet:03d}"
