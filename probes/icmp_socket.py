"""The process's ICMP socket of one family: raw where that is allowed, else the datagram ("ping") socket of Linux.

Both take the same packets. The differences: a raw socket chooses its identifier and is filtered by us, sees errors
as packets, and for IPv4 checks checksums itself; a ping socket is given its identifier, filtered and checked by the
kernel, and finds errors in its error queue.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, Final

from probes import icmp_filter
from probes.failures import TroubleError
from probes.icmp_codec import (
    PROTOCOL,
    TOKEN_BYTES,
    EchoError,
    checksum,
    decode_error,
    decode_reply,
    encode_request,
    pattern,
    quoted_request,
    report_of,
)
from probes.model import Failure
from probes.packet_flight import Flight
from probes.packet_socket import Control, PacketSocket, ask_for_reports, reports_in

NOT_ALLOWED: Final = (
    "this process may not send ICMP: give it the capability CAP_NET_RAW, or add its group to the sysctl "
    "net.ipv4.ping_group_range"
)

_IP_RECVTTL: Final = 12  # linux/in.h
_TOKENS_AT_ONCE: Final = 512


class IcmpSocket(PacketSocket):
    """Sends echo requests of one family and matches what comes back.

    Attributes:
        is_raw: whether it is a raw socket.

    """

    def __init__(self, sock: socket.socket) -> None:
        self.is_raw = sock.type == socket.SOCK_RAW
        self._family = sock.family
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._number = int.from_bytes(os.urandom(2), "big")
        self._tokens: list[bytes] = []
        self._strips_ip = self.is_raw and sock.family == socket.AF_INET
        if self.is_raw:
            icmp_filter.attach(sock, icmp_filter.program(sock.family, self._identifier))
        else:
            sock.bind(("", 0) if sock.family == socket.AF_INET else ("::", 0))
            # A ping socket's identifier is its port, and overwrites what we send.
            self._identifier = sock.getsockname()[1]
        _ask_for_details(sock, self.is_raw)
        super().__init__(sock)

    def encode(self, flight: Flight, index: int) -> bytes:
        """Return the next echo request, with a token and a sequence number of its own."""
        if not self._tokens:
            block = os.urandom(TOKEN_BYTES * _TOKENS_AT_ONCE)
            self._tokens = [block[start : start + TOKEN_BYTES] for start in range(0, len(block), TOKEN_BYTES)]
        token = self._tokens.pop()
        self._number = (self._number + 1) & 0xFFFF
        flight.keys.append(token)
        flight.numbers.append(self._number)
        return encode_request(self._family, self._identifier, self._number, token + pattern(flight.size))

    def decode(self, data: memoryview, control: Control, source: tuple[Any, ...], received_ns: int) -> None:
        """Match an echo reply by identifier, number, token, payload and source; or take an error report."""
        packet, ttl = bytes(data), None
        if self._strips_ip:
            packet, ttl = _without_ip_header(packet)
            if checksum(packet) != 0:
                self.ignored += 1
                return
        reply = decode_reply(self._family, packet)
        if reply is None:
            self._take_error(decode_error(self._family, packet))
            return
        token = reply.payload[:TOKEN_BYTES]
        waiting = self.packet_of(token)
        if waiting is None or reply.identifier != self._identifier:
            self.ignored += 1
            return
        flight, index = waiting
        if flight.numbers[index] != reply.number or reply.payload[TOKEN_BYTES:] != pattern(flight.size):
            self.ignored += 1
            return
        self.answered(token, source, received_ns, ttl if ttl is not None else _ttl_of(control))

    def decode_error(self, data: memoryview, control: Control, destination: tuple[Any, ...]) -> None:
        """Take an error report from a ping socket's error queue: the request that it is about, and what befell it."""
        for kind, code in reports_in(control):
            trouble = report_of(self._family, kind, code)
            if trouble is not None:
                self._take_error(quoted_request(self._family, trouble, bytes(data), destination[0]))

    def _take_error(self, error: EchoError | None) -> None:
        if error is None or error.identifier != self._identifier:
            self.ignored += 1
            return
        for flight, index in self._packets_of(error):
            if flight.destination[0] == error.host and flight.numbers[index] == error.number:
                self.reported(flight, index, error.trouble)
                return
        self.ignored += 1

    def _packets_of(self, error: EchoError) -> list[tuple[Flight, int]]:
        """Return which packets an error may be about: one by its token, or those with its host and number."""
        if error.token:
            waiting = self.packet_of(error.token)
            return [waiting] if waiting is not None else []
        return [
            (flight, flight.numbers.index(error.number))
            for flight in self.flights_to(error.host)
            if error.number in flight.numbers
        ]


async def open_icmp_socket(family: socket.AddressFamily) -> IcmpSocket:
    """Open the socket of a family.

    Raises TroubleError with `permission` when neither kind is allowed, OSError when the host lacks the family.
    """
    protocol = PROTOCOL[family]
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            return IcmpSocket(socket.socket(family, kind, protocol))
        except PermissionError:
            continue
    raise TroubleError(Failure.PERMISSION, NOT_ALLOWED)


def _ask_for_details(sock: socket.socket, is_raw: bool) -> None:
    if not is_raw:
        ask_for_reports(sock)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    elif not is_raw:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def _without_ip_header(packet: bytes) -> tuple[bytes, int | None]:
    header_bytes = (packet[0] & 0xF) * 4 if packet else 0
    if header_bytes < 20 or len(packet) < header_bytes:
        return b"", None
    return packet[header_bytes:], packet[8]


def _ttl_of(control: Control) -> int | None:
    for level, kind, value in control:
        is_ttl = level == socket.IPPROTO_IP and kind == socket.IP_TTL
        if (is_ttl or (level == socket.IPPROTO_IPV6 and kind == socket.IPV6_HOPLIMIT)) and len(value) >= 4:
            return int(struct.unpack_from("@i", value)[0])
    return None
