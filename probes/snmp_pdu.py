"""SNMP's protocol data units and the community-based message around them, without I/O (RFC 3416; RFC 1901)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from probes.snmp_ber import (
    OBJECT_IDENTIFIER,
    SEQUENCE,
    BerError,
    expect,
    header,
    integer,
    octets,
    read_integer,
    read_octets,
    tlv,
)

GET, GET_NEXT, RESPONSE, GET_BULK, REPORT = 0xA0, 0xA1, 0xA2, 0xA5, 0xA8
VERSION_2C = 1
TOO_BIG, NO_ACCESS, AUTHORIZATION_ERROR = 1, 6, 16

ERROR_NAMES = (
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
)
"""By error-status (RFC 3416, section 3)."""

Binding = tuple[bytes, int, bytes]
"""The octets of an object's name, the tag of its value, and the octets of its value."""


class Pdu(NamedTuple):
    """A protocol data unit from an agent.

    Attributes:
        kind: RESPONSE or REPORT, or whatever else it claims to be.
        request_id: of the request that it answers.
        error_status, error_index: 0, or what went wrong and with which binding (from 1).
        bindings: names and values, in their order.

    """

    kind: int
    request_id: int
    error_status: int
    error_index: int
    bindings: list[Binding]


def encode_pdu(kind: int, request_id: int, names: Iterable[bytes], first: int = 0, second: int = 0) -> bytes:
    """Return a request for `names`; of a GET_BULK `first` are the non-repeaters and `second` the max-repetitions."""
    bindings = b"".join([tlv(SEQUENCE, tlv(OBJECT_IDENTIFIER, name) + b"\5\0") for name in names])
    return tlv(kind, integer(request_id) + integer(first) + integer(second) + tlv(SEQUENCE, bindings))


def decode_pdu(data: bytes, position: int, end: int) -> Pdu:
    """Return the protocol data unit that fills `data` from `position` to `end`.

    Raises BerError.
    """
    kind, position, stop = header(data, position, end)
    request_id, position = read_integer(data, position, stop)
    error_status, position = read_integer(data, position, stop)
    error_index, position = read_integer(data, position, stop)
    start, last = expect(data, position, stop, SEQUENCE)
    return Pdu(kind, request_id, error_status, error_index, _bindings(data, start, last))


def _bindings(data: bytes, position: int, end: int) -> list[Binding]:
    """Return names and values. Written out, since a router's walk is thousands of them: 0.6 µs each."""
    found: list[Binding] = []
    append = found.append
    try:
        while position < end:
            if data[position] != SEQUENCE:
                raise BerError("a binding is not a sequence")
            stop = position + 2 + data[position + 1]
            position += 2
            if data[position - 1] & 0x80:
                _, position, stop = header(data, position - 2, end)
            if data[position] != OBJECT_IDENTIFIER:
                raise BerError("a binding has no name")
            start, length = position + 2, data[position + 1]
            position = start + length
            if length & 0x80:
                _, start, position = header(data, start - 2, end)
            tag, begin, length = data[position], position + 2, data[position + 1]
            last = begin + length
            if length & 0x80:
                _, begin, last = header(data, position, end)
            if last != stop or stop > end:
                raise BerError("a binding is not filled by its name and value")
            append((data[start:position], tag, data[begin:last]))
            position = stop
    except IndexError:
        raise BerError("the message is cut off") from None
    return found


def encode_community_message(community: bytes, pdu: bytes) -> bytes:
    """Return a message of SNMPv2c."""
    return tlv(SEQUENCE, integer(VERSION_2C) + octets(community) + pdu)


def decode_community_message(data: bytes) -> Pdu:
    """Return the protocol data unit in a message of SNMPv2c.

    The community of an answer is not looked at: it proves nothing, and some agents send back another one.
    Raises BerError.
    """
    position, end = expect(data, 0, len(data), SEQUENCE)
    version, position = read_integer(data, position, end)
    if version != VERSION_2C:
        message = f"the answer is of SNMP version {version}"
        raise BerError(message)
    _, position = read_octets(data, position, end)
    return decode_pdu(data, position, end)


def error_name(status: int) -> str:
    """Return the name of an error-status."""
    return ERROR_NAMES[status] if 0 <= status < len(ERROR_NAMES) else f"error {status}"
