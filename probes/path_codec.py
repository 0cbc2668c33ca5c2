"""Probes along a path and what comes back of them, without a socket: Paris traceroute (Augustin et al., IMC 2006).

Routers that balance load choose among equal routes by a packet's flow: its addresses, protocol and ports, and for
ICMP its first four octets behind the IP header, which hold the checksum. All probes of one flow share these, and so
take one route. What tells them apart stands elsewhere, and within the eight octets of theirs that a router must quote
(RFC 792):

| | the same in a flow | different in each probe |
|---|---|---|
| ICMP | identifier, checksum | sequence number, made up for by two octets of payload |
| UDP | both ports | checksum, chosen by two octets of payload |

The payload begins with a random token: a report that quotes so much must quote it, which nobody off the path can.
Extensions of ICMP (RFC 4884) carry the stack of MPLS labels that a probe had when it expired (RFC 4950).
"""

from __future__ import annotations

import os
import socket
import struct
from enum import Enum
from typing import Final, NamedTuple

from probes.icmp_codec import HEADER_BYTES, TOKEN_BYTES, checksum, decode_reply, quoted_packet, report_of
from probes.packet_flight import Trouble

PAYLOAD_MIN_BYTES: Final = TOKEN_BYTES + 2
NUMBERS: Final = 0xFFFE
"""Numbers of probes are 1 to this: as a UDP checksum 0 means none, and 0xFFFF is sent in its stead."""

_REQUEST: Final = {socket.AF_INET: 8, socket.AF_INET6: 128}
_EXCEEDED: Final = {socket.AF_INET: 11, socket.AF_INET6: 3}
_TOO_BIG: Final = {socket.AF_INET: (3, 4), socket.AF_INET6: (2, 0)}
_PORT_UNREACHABLE: Final = {socket.AF_INET: (3, 3), socket.AF_INET6: (1, 4)}
_ICMP: Final = struct.Struct(">BBHHH")
_UDP: Final = struct.Struct(">HHHH")
_BALANCE: Final = 0x5EED
"""What the words of an ICMP probe behind its identifier add up to."""

_LEGACY_BYTES: Final = 128
"""Where extensions begin when the report does not say: RFC 4884, section 5.4."""
_OBJECTS_LIMIT: Final = 16
_LABELS_LIMIT: Final = 8


class Kind(Enum):
    """What a report says of its probe."""

    REPLY = "it arrived, and was answered"
    CLOSED = "it arrived, and nobody listens on its port"
    EXCEEDED = "it expired on the way"
    TOO_BIG = "it did not fit into a link, and may not be fragmented"
    UNREACHABLE = "it can go no further, for another reason"


class Report(NamedTuple):
    """What came back of one probe.

    Attributes:
        kind: what it says.
        trouble: the same as a failure with a line for a person; None for a reply.
        host: where the probe was going, "" where that is not repeated.
        flow: identifier or source port of the probe, 0 where the socket says which flow it is.
        number: of the probe, 0 where that is not repeated.
        token: of the probe, b"" where that is not repeated.
        mtu: the size of packets that fit, in bytes, 0 where that is not said.
        labels: MPLS labels, outermost first.

    """

    kind: Kind
    trouble: Trouble | None
    host: str
    flow: int
    number: int
    token: bytes
    mtu: int = 0
    labels: tuple[int, ...] = ()

    @classmethod
    def echo(cls, payload: bytes) -> Report | None:
        """Return the reply that a UDP datagram is if it repeats a probe's payload."""
        token = payload[:TOKEN_BYTES]
        return cls(Kind.REPLY, None, "", 0, 0, token) if len(token) == TOKEN_BYTES else None


def new_token() -> bytes:
    """Return eight random octets."""
    return os.urandom(TOKEN_BYTES)


def echo_probe(family: socket.AddressFamily, identifier: int, number: int, token: bytes, size: int) -> bytes:
    """Return an echo request with a payload of `size` bytes whose checksum depends on the identifier alone.

    For IPv6 the kernel fills the checksum in, which stays the same for the same reason.
    """
    rest = _padding(size)
    balance = (_BALANCE - number - _sum(token) - _sum(rest)) % 0xFFFF
    packet = _ICMP.pack(_REQUEST[family], 0, 0, identifier, number) + token + balance.to_bytes(2, "big") + rest
    if family == socket.AF_INET6:
        return packet
    return packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:]


class UdpEnds(NamedTuple):
    """The two ends of a UDP flow."""

    source: str
    source_port: int
    host: str
    port: int


def udp_probe(family: socket.AddressFamily, ends: UdpEnds, number: int, token: bytes, size: int) -> bytes:
    """Return a UDP payload of `size` bytes that makes the datagram's checksum be `number` (RFC 768; RFC 8200, 8.1)."""
    rest = _padding(size)
    length = HEADER_BYTES + size
    addresses = socket.inet_pton(family, _bare(ends.source)) + socket.inet_pton(family, _bare(ends.host))
    rest_of_sum = _sum(addresses) + socket.IPPROTO_UDP + 2 * length + ends.source_port + ends.port
    balance = (0xFFFF - number - rest_of_sum - _sum(token) - _sum(rest)) % 0xFFFF
    return token + balance.to_bytes(2, "big") + rest


def decode(family: socket.AddressFamily, protocol: int, packet: bytes) -> Report | None:
    """Return what an ICMP packet says about a probe of that protocol, None when it says nothing."""
    reply = decode_reply(family, packet)
    if reply is not None:
        return Report(Kind.REPLY, None, "", reply.identifier, reply.number, reply.payload[:TOKEN_BYTES])
    if len(packet) < HEADER_BYTES:
        return None
    trouble = report_of(family, packet[0], packet[1])
    quoted_protocol, host, probe = quoted_packet(family, packet[HEADER_BYTES:])
    if trouble is None or quoted_protocol != protocol or len(probe) < HEADER_BYTES:
        return None
    flow, number, token = _identity(family, protocol, probe)
    kind = kind_of(family, packet[0], packet[1])
    mtu = _mtu_of(family, packet) if kind is Kind.TOO_BIG else 0
    return Report(kind, trouble, host, flow, number, token, mtu, labels_of(family, packet))


def decode_queued(
    family: socket.AddressFamily, protocol: int, icmp: tuple[int, int, int], host: str, quoted: bytes
) -> Report | None:
    """Return what an entry of a socket's error queue says about a probe, None when it is not about one.

    `icmp` is type, code and information (the MTU), `quoted` what the kernel leaves of the probe: of UDP the payload.
    """
    kind, code, mtu = icmp
    trouble = report_of(family, kind, code)
    if trouble is None:
        return None
    number, token = 0, _whole(quoted[:TOKEN_BYTES])
    if protocol != socket.IPPROTO_UDP:
        if len(quoted) < HEADER_BYTES:
            return None
        _, number, token = _identity(family, protocol, quoted)
    return Report(kind_of(family, kind, code), trouble, host, 0, number, token, mtu)


def kind_of(family: socket.AddressFamily, kind: int, code: int) -> Kind:
    """Return what an ICMP type and code of an error say."""
    if kind == _EXCEEDED[family] and code == 0:
        return Kind.EXCEEDED
    named = {_TOO_BIG[family]: Kind.TOO_BIG, _PORT_UNREACHABLE[family]: Kind.CLOSED}
    return named.get((kind, code), Kind.UNREACHABLE)


def labels_of(family: socket.AddressFamily, packet: bytes) -> tuple[int, ...]:
    """Return the MPLS labels in the extensions of an ICMP error; () where there are none, or they are damaged."""
    words = packet[4] * 8 if family == socket.AF_INET6 else packet[5] * 4
    extension = packet[HEADER_BYTES + (words or _LEGACY_BYTES) :]
    if len(extension) < 8 or extension[0] >> 4 != 2 or checksum(extension) != 0:
        return ()
    labels: list[int] = []
    position = 4
    for _ in range(_OBJECTS_LIMIT):
        if len(extension) - position < 4:
            break
        length, class_number, class_type = struct.unpack_from(">HBB", extension, position)
        if length < 4 or position + length > len(extension):
            break
        if (class_number, class_type) == (1, 1):
            labels += (
                int.from_bytes(extension[at : at + 4], "big") >> 12
                for at in range(position + 4, position + length - 3, 4)
            )
        position += length
    return tuple(labels[:_LABELS_LIMIT])


def _identity(family: socket.AddressFamily, protocol: int, probe: bytes) -> tuple[int, int, bytes]:
    """Return flow, number and token of a quoted probe; 0 for the flow of an ICMP packet that is no echo request."""
    token = probe[HEADER_BYTES : HEADER_BYTES + TOKEN_BYTES]
    if protocol == socket.IPPROTO_UDP:
        flow, _, _, number = _UDP.unpack_from(probe)
    else:
        kind, _, _, flow, number = _ICMP.unpack_from(probe)
        flow = flow if kind == _REQUEST[family] else 0
    return flow, number, _whole(token)


def _whole(token: bytes) -> bytes:
    return token if len(token) == TOKEN_BYTES else b""


def _mtu_of(family: socket.AddressFamily, packet: bytes) -> int:
    """Return what fits: RFC 1191, section 4 (0 from routers older than that); RFC 4443, section 3.2."""
    return int.from_bytes(packet[4:8] if family == socket.AF_INET6 else packet[6:8], "big")


def _padding(size: int) -> bytes:
    return bytes(size - PAYLOAD_MIN_BYTES)


def _sum(data: bytes) -> int:
    """Return the one's complement sum of 16-bit words, as a number modulo 2¹⁶ − 1."""
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF


def _bare(host: str) -> str:
    return host.partition("%")[0]
