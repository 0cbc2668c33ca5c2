"""The filter on a raw ICMP socket: which packets are worth waking this process for.

A raw socket is handed every ICMP packet that reaches the host, other people's pings too. This classic BPF program
(linux/filter.h) lets through the replies to our identifier, and the errors that quote a request with it;
`flows_program` does so for the flows of a trace, whose numbers (identifiers, or source ports of UDP) follow each other.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

SO_ATTACH_FILTER: Final = 26

_LOAD_BYTE, _LOAD_BYTE_X, _LOAD_HALF, _LOAD_HALF_X = 0x30, 0x50, 0x28, 0x48
_LOAD_IP_LENGTH_TO_X, _AND, _SHIFT_LEFT, _ADD_X, _TO_X = 0xB1, 0x54, 0x64, 0x0C, 0x07
_EQUAL, _GREATER, _AT_LEAST, _RETURN = 0x15, 0x25, 0x35, 0x06
_WHOLE = 0xFFFF_FFFF

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: `struct sock_filter`."""


class _Line(NamedTuple):
    code: int
    operand: int = 0
    then: str = ""
    otherwise: str = ""
    label: str = ""


_ACCEPT = _Line(_RETURN, _WHOLE, label="accept")
_DROP = _Line(_RETURN, 0, label="drop")


def program(family: int, identifier: int) -> list[Instruction]:
    """Return the filter for an identifier.

    An IPv4 raw socket is given packets from the IP header on, an IPv6 one from the ICMPv6 header on. A load beyond
    the end of a packet drops it.
    """
    return _assemble(_ipv6(identifier) if family == socket.AF_INET6 else _ipv4(identifier))


def flows_program(family: int, protocol: int, first: int, last: int) -> list[Instruction]:
    """Return the filter for flows with the numbers `first` to `last`: echo identifiers, or source ports of UDP."""
    field = 0 if protocol == socket.IPPROTO_UDP else 4
    lines = _flows_ipv6(protocol, field) if family == socket.AF_INET6 else _flows_ipv4(protocol, field)
    numbers = [
        _Line(_AT_LEAST, first, "most", "drop", label="number"),
        _Line(_GREATER, last, "drop", "accept", label="most"),
    ]
    return _assemble([*lines, *numbers, _DROP, _ACCEPT])


def attach(sock: socket.socket, instructions: Sequence[Instruction]) -> None:
    """Attach a filter to a socket; what arrived before stays unfiltered."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    memory = array("B", code)
    address, _ = memory.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(instructions), address))


def _ipv4(identifier: int) -> list[_Line]:
    return [
        _Line(_LOAD_IP_LENGTH_TO_X),
        _Line(_LOAD_BYTE_X, 0),
        _Line(_EQUAL, 0, "reply", "unreachable"),
        _Line(_LOAD_HALF_X, 4, label="reply"),
        _Line(_EQUAL, identifier, "accept", "drop"),
        _Line(_EQUAL, 3, "quoted", "exceeded", label="unreachable"),
        _Line(_EQUAL, 11, "quoted", "parameter", label="exceeded"),
        _Line(_EQUAL, 12, "quoted", "drop", label="parameter"),
        _Line(_LOAD_BYTE_X, 8 + 9, label="quoted"),
        _Line(_EQUAL, socket.IPPROTO_ICMP, "length", "drop"),
        _Line(_LOAD_BYTE_X, 8, label="length"),
        _Line(_AND, 0x0F),
        _Line(_SHIFT_LEFT, 2),
        _Line(_ADD_X),
        _Line(_TO_X),
        _Line(_LOAD_HALF_X, 8 + 4),
        _Line(_EQUAL, identifier, "accept", "drop"),
        _DROP,
        _ACCEPT,
    ]


def _ipv6(identifier: int) -> list[_Line]:
    return [
        _Line(_LOAD_BYTE, 0),
        _Line(_EQUAL, 129, "reply", "unreachable"),
        _Line(_LOAD_HALF, 4, label="reply"),
        _Line(_EQUAL, identifier, "accept", "drop"),
        _Line(_EQUAL, 1, "quoted", "big", label="unreachable"),
        _Line(_EQUAL, 2, "quoted", "exceeded", label="big"),
        _Line(_EQUAL, 3, "quoted", "parameter", label="exceeded"),
        _Line(_EQUAL, 4, "quoted", "drop", label="parameter"),
        _Line(_LOAD_BYTE, 8 + 6, label="quoted"),
        _Line(_EQUAL, socket.IPPROTO_ICMPV6, "ours", "drop"),
        _Line(_LOAD_HALF, 8 + 40 + 4, label="ours"),
        _Line(_EQUAL, identifier, "accept", "drop"),
        _DROP,
        _ACCEPT,
    ]


def _flows_ipv4(protocol: int, field: int) -> list[_Line]:
    return [
        _Line(_LOAD_IP_LENGTH_TO_X),
        _Line(_LOAD_BYTE_X, 0),
        _Line(_EQUAL, 0, "reply", "unreachable"),
        _Line(_LOAD_HALF_X, 4, label="reply"),
        _Line(_AT_LEAST, 0, "number", "drop"),
        _Line(_EQUAL, 3, "quoted", "exceeded", label="unreachable"),
        _Line(_EQUAL, 11, "quoted", "parameter", label="exceeded"),
        _Line(_EQUAL, 12, "quoted", "drop", label="parameter"),
        _Line(_LOAD_BYTE_X, 8 + 9, label="quoted"),
        _Line(_EQUAL, protocol, "length", "drop"),
        _Line(_LOAD_BYTE_X, 8, label="length"),
        _Line(_AND, 0x0F),
        _Line(_SHIFT_LEFT, 2),
        _Line(_ADD_X),
        _Line(_TO_X),
        _Line(_LOAD_HALF_X, 8 + field),
    ]


def _flows_ipv6(protocol: int, field: int) -> list[_Line]:
    return [
        _Line(_LOAD_BYTE, 0),
        _Line(_EQUAL, 129, "reply", "unreachable"),
        _Line(_LOAD_HALF, 4, label="reply"),
        _Line(_AT_LEAST, 0, "number", "drop"),
        _Line(_EQUAL, 1, "quoted", "big", label="unreachable"),
        _Line(_EQUAL, 2, "quoted", "exceeded", label="big"),
        _Line(_EQUAL, 3, "quoted", "parameter", label="exceeded"),
        _Line(_EQUAL, 4, "quoted", "drop", label="parameter"),
        _Line(_LOAD_BYTE, 8 + 6, label="quoted"),
        _Line(_EQUAL, protocol, "ours", "drop"),
        _Line(_LOAD_HALF, 8 + 40 + field, label="ours"),
    ]


def _assemble(lines: Sequence[_Line]) -> list[Instruction]:
    places = {line.label: place for place, line in enumerate(lines) if line.label}
    return [
        (
            line.code,
            places[line.then] - place - 1 if line.then else 0,
            places[line.otherwise] - place - 1 if line.otherwise else 0,
            line.operand,
        )
        for place, line in enumerate(lines)
    ]
