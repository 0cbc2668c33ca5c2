"""The subset of BER that SNMP uses, without I/O (ITU-T X.690; RFC 3417, section 8), bounded by the datagram.

Nothing here recurses: a message is taken apart level by level by those who know what stands there, so a peer
decides neither the depth nor the size of anything. Object identifiers stay as they are on the wire: to be below
another one is to begin with its octets, and only what is shown or compared is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from probes.failures import TroubleError
from probes.model import Failure

INTEGER, OCTET_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
IP_ADDRESS, COUNTER32, GAUGE32, TIME_TICKS, OPAQUE, COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x44, 0x46
NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW = 0x80, 0x81, 0x82
"""Tags: universal ones, those of SMIv2 (RFC 2578, section 7.1), and the exceptions of RFC 3416, section 3."""

ABSENT = frozenset((NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW, NULL))
"""What stands in the place of a value that is not there."""

NUMBERS = frozenset((INTEGER, COUNTER32, GAUGE32, TIME_TICKS, COUNTER64))
_UNSIGNED = frozenset((COUNTER32, GAUGE32, TIME_TICKS, COUNTER64))
_NUMBER_OCTETS = 9
"""A Counter64 with its sign octet; more is no number of SNMP."""

_SUBIDENTIFIERS = 128
"""Of one object identifier (RFC 2578, section 3.5)."""


class BerError(TroubleError):
    """The octets are not what SNMP allows (`protocol`); the message says what is wrong with them."""

    def __init__(self, message: str) -> None:
        super().__init__(Failure.PROTOCOL, f"the agent's answer is broken: {message}")


def tlv(tag: int, content: bytes) -> bytes:
    """Return a value with its tag and its length, in the shortest form."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return an INTEGER, or under another tag whatever is encoded like one."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(OCTET_STRING, value)


@lru_cache(maxsize=4096)
def oid(text: str) -> bytes:
    """Return the octets (without tag and length) of an object identifier written `1.3.6.1`."""
    first, second, *rest = map(int, text.split("."))
    return suffix((40 * first + second, *rest))


def suffix(numbers: Iterable[int]) -> bytes:
    """Return the octets of sub-identifiers that stand at the end of an object identifier."""
    out = bytearray()
    for number in numbers:
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        out += bytes(reversed(septets))
    return bytes(out)


def subidentifiers(raw: bytes) -> tuple[int, ...]:
    """Return the sub-identifiers in octets of (the end of) an object identifier.

    Raises BerError where one is cut off, does not fit in 32 bits, or there are too many.
    """
    if raw.isascii():  # no octet goes on: each is a number
        numbers = tuple(raw)
    else:
        found, number = [], 0
        for octet in raw:
            number = number << 7 | octet & 0x7F
            if number > 0xFFFF_FFFF:
                raise BerError("a sub-identifier is larger than 32 bits")
            if octet < 0x80:
                found.append(number)
                number = 0
        if raw[-1] & 0x80:
            raise BerError("an object identifier is cut off")
        numbers = tuple(found)
    if len(numbers) > _SUBIDENTIFIERS:
        raise BerError("an object identifier is too long")
    return numbers


def oid_text(raw: bytes) -> str:
    """Return `1.3.6.1` for the octets of an object identifier.

    Raises BerError.
    """
    first, *rest = subidentifiers(raw) or (0,)
    top = min(first // 40, 2)
    return ".".join(map(str, (top, first - 40 * top, *rest)))


def number(tag: int, raw: bytes) -> int:
    """Return the number in the octets of a value.

    A Counter64 whose highest bit lacks its sign octet, as some agents send it, is still unsigned.
    Raises BerError.
    """
    if tag not in NUMBERS or not 0 < len(raw) <= _NUMBER_OCTETS:
        raise BerError("a number is not one")
    return int.from_bytes(raw, "big", signed=tag not in _UNSIGNED)


def header(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return tag, first octet and end of the value that begins at `position`, all of it before `end`.

    Raises BerError.
    """
    if position + 2 > end:
        raise BerError("the message is cut off")
    tag, length = data[position], data[position + 1]
    position += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4 or position + count > end:
            raise BerError("a length is not one")
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    if position + length > end:
        raise BerError("a length is beyond the end of the message")
    return tag, position, position + length


def expect(data: bytes, position: int, end: int, tag: int) -> tuple[int, int]:
    """Return first octet and end of the value at `position`, which must have this tag.

    Raises BerError.
    """
    found, start, stop = header(data, position, end)
    if found != tag:
        message = f"tag {found:#04x} stands where {tag:#04x} is expected"
        raise BerError(message)
    return start, stop


def read_integer(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return an INTEGER and where it ends.

    Raises BerError.
    """
    start, stop = expect(data, position, end, INTEGER)
    return number(INTEGER, data[start:stop]), stop


def read_octets(data: bytes, position: int, end: int) -> tuple[bytes, int]:
    """Return an OCTET STRING and where it ends.

    Raises BerError.
    """
    start, stop = expect(data, position, end, OCTET_STRING)
    return data[start:stop], stop
