"""ICMP echo packets without a socket: RFC 792 (ICMPv4), RFC 4443 (ICMPv6), RFC 1071 (checksum).

An echo request is type, code, checksum, identifier, sequence number and payload; the reply repeats the last three.
Our payload begins with a random token, because 32 bits of identifier and sequence number can be guessed by anyone
and come round again; the rest is a pattern that shows whether it was altered on the way.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import Final, NamedTuple

from probes.model import Failure
from probes.packet_flight import Trouble

HEADER_BYTES: Final = 8
TOKEN_BYTES: Final = 8
PROTOCOL: Final = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}

_HEADER: Final = struct.Struct(">BBHHH")
_REQUEST: Final = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY: Final = {socket.AF_INET: 0, socket.AF_INET6: 129}

_UNREACHABLE: Final = {
    socket.AF_INET: {  # RFC 792; RFC 1122, section 3.2.2.1; RFC 1812, section 5.2.7.1
        0: "network unreachable",
        1: "host unreachable",
        2: "protocol unreachable",
        3: "port unreachable",
        4: "fragmentation needed",
        5: "source route failed",
        6: "network unknown",
        7: "host unknown",
        9: "network administratively prohibited",
        10: "host administratively prohibited",
        13: "administratively prohibited",
    },
    socket.AF_INET6: {  # RFC 4443, section 3.1
        0: "no route to the destination",
        1: "administratively prohibited",
        2: "beyond the scope of the source address",
        3: "address unreachable",
        4: "port unreachable",
        5: "source address refused by policy",
        6: "route to the destination rejected",
    },
}
_PORT_UNREACHABLE: Final = {(socket.AF_INET, 3, 3), (socket.AF_INET6, 1, 4)}

# Types that say that a packet was not delivered, in the order in which the kinds of report stand below.
_UNDELIVERED: Final = {
    (socket.AF_INET, 3): "unreachable",
    (socket.AF_INET, 11): "time exceeded",
    (socket.AF_INET, 12): "parameter problem",
    (socket.AF_INET6, 1): "unreachable",
    (socket.AF_INET6, 2): "packet too big",
    (socket.AF_INET6, 3): "time exceeded",
    (socket.AF_INET6, 4): "parameter problem",
}


class EchoReply(NamedTuple):
    """An echo reply's identifier, sequence number and payload."""

    identifier: int
    number: int
    payload: bytes


class EchoError(NamedTuple):
    """A router's or host's report on one of our echo requests.

    Attributes:
        trouble: what it says.
        host: where the request was going.
        identifier, number: of the request.
        token: of the request, b"" when the report quotes less (RFC 792 asks for no more than the header).

    """

    trouble: Trouble
    host: str
    identifier: int
    number: int
    token: bytes


@lru_cache(maxsize=256)
def pattern(size: int) -> bytes:
    """Return the part of a payload of `size` bytes that follows the token: counting bytes, as ping sends."""
    return bytes(index & 0xFF for index in range(TOKEN_BYTES, size))


def checksum(packet: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of a packet; of one that carries it, 0 when it is right.

    The one's complement sum of 16-bit words is the number that they form, modulo 2¹⁶ − 1.
    """
    if len(packet) % 2:
        packet += b"\0"
    return 0xFFFF - (int.from_bytes(packet, "big") % 0xFFFF or 0xFFFF) if any(packet) else 0xFFFF


def encode_request(family: socket.AddressFamily, identifier: int, number: int, payload: bytes) -> bytes:
    """Return an echo request.

    The checksum of ICMPv6 covers addresses that only the kernel knows, so it fills it in (RFC 3542, section 3.1).
    """
    packet = _HEADER.pack(_REQUEST[family], 0, 0, identifier, number) + payload
    if family == socket.AF_INET6:
        return packet
    return packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:]


def decode_reply(family: socket.AddressFamily, packet: bytes) -> EchoReply | None:
    """Return what an ICMP packet says as an echo reply, None when it is none (or a truncated one)."""
    if len(packet) < HEADER_BYTES + TOKEN_BYTES:
        return None
    kind, code, _, identifier, number = _HEADER.unpack_from(packet)
    if kind != _REPLY[family] or code != 0:
        return None
    return EchoReply(identifier, number, packet[HEADER_BYTES:])


def decode_error(family: socket.AddressFamily, packet: bytes) -> EchoError | None:
    """Return what an ICMP error packet reports of one of our echo requests, None when it does not."""
    trouble = report_of(family, packet[0], packet[1]) if len(packet) >= HEADER_BYTES else None
    if trouble is None:
        return None
    protocol, host, request = quoted_packet(family, packet[HEADER_BYTES:])
    return quoted_request(family, trouble, request, host) if protocol == PROTOCOL[family] else None


def quoted_packet(family: socket.AddressFamily, quoted: bytes) -> tuple[int, str, bytes]:
    """Return the protocol, the destination and what follows the IP header of a quoted packet; protocol −1 for none."""
    offset, protocol, address = _quoted_ipv6(quoted) if family == socket.AF_INET6 else _quoted_ipv4(quoted)
    return (protocol, socket.inet_ntop(family, address), quoted[offset:]) if protocol >= 0 else (-1, "", b"")


def report_of(family: socket.AddressFamily, kind: int, code: int) -> Trouble | None:
    """Return what an ICMP type and code say of a packet that was not delivered; None for any other type."""
    what = _UNDELIVERED.get((family, kind))
    if what is None:
        return None
    if what == "time exceeded":
        return Trouble(Failure.TTL_EXCEEDED, "ICMP time exceeded")
    detail = _UNREACHABLE[family].get(code, f"unreachable, code {code}") if what == "unreachable" else what
    refused = (family, kind, code) in _PORT_UNREACHABLE
    return Trouble(Failure.CONNECT_REFUSED if refused else Failure.NETWORK_UNREACHABLE, f"ICMP {detail}")


def quoted_request(family: socket.AddressFamily, trouble: Trouble, request: bytes, host: str) -> EchoError | None:
    """Return the report on an echo request to `host` that an error quotes from its first byte."""
    if len(request) < HEADER_BYTES or request[0] != _REQUEST[family]:
        return None
    *_, identifier, number = _HEADER.unpack_from(request)
    token = request[HEADER_BYTES : HEADER_BYTES + TOKEN_BYTES]
    return EchoError(trouble, host, identifier, number, token if len(token) == TOKEN_BYTES else b"")


def _quoted_ipv6(quoted: bytes) -> tuple[int, int, bytes]:
    """Do as `_quoted_ipv4` does; we send no extension headers, so that none can be quoted."""
    return (40, quoted[6], quoted[24:40]) if len(quoted) >= 40 else (0, -1, b"")


def _quoted_ipv4(quoted: bytes) -> tuple[int, int, bytes]:
    """Return the header's length, the protocol and the destination of a quoted IPv4 packet; protocol −1 for none."""
    if len(quoted) < 20 or quoted[0] >> 4 != 4 or quoted[0] & 0xF < 5:
        return 0, -1, b""
    return (quoted[0] & 0xF) * 4, quoted[9], quoted[16:20]
