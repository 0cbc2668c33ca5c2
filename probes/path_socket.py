"""The sockets of one trace: they send its probes, and read what comes back of them.

What comes back is read from a raw ICMP socket, whose filter lets through what is about this trace's flows. Where the
process may not open one, Linux puts reports on a socket's own packets into its error queue: of UDP sockets for
everyone, of ICMP ("ping") sockets for those whom the sysctl `net.ipv4.ping_group_range` allows them.

A trace is rare, so it has sockets of its own and leaves none behind. They are read on a tick, never watched: libuv
ends a watch at the EPOLLERR that a filled error queue raises (docs/decisions/0010-packet-time-stamps.md).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from probes import icmp_filter
from probes.failures import TroubleError
from probes.icmp_codec import PROTOCOL, checksum
from probes.icmp_socket import NOT_ALLOWED
from probes.model import Failure
from probes.packet_flight import Stamp
from probes.packet_socket import MSG_ERRQUEUE, SO_TIMESTAMPNS, Control, ask_for_reports, dropped_by, received_ns
from probes.path_codec import Kind, Report, UdpEnds, decode, decode_queued, echo_probe, udp_probe

Method = Literal["icmp", "udp"]

READS_PER_TICK: Final = 256
PORT_TRIES: Final = 8
STAMPS_BEGIN_S: Final = 0.02
"""How long the kernel takes to begin with stamps, amply: it does so in a work queue (net_enable_timestamp)."""

FIRST_FLOW: Final = 16_384
FLOW_SPAN: Final = 16_000
"""Flows are numbered from within this range: below the ports that Linux gives to others (from 32768 on)."""

PACKET_MAX: Final = 65_535
"""The largest IPv4 packet, and the largest IPv6 packet but for its header."""

_DATAGRAM_MAX: Final = 65_536
_UDP_PAYLOAD_MAX: Final = 65_507
_DISCARD_PORT: Final = 9  # RFC 863
_RETRY: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE, errno.EPROTO})
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3  # linux/in.h, linux/in6.h
_IPV6_AUTOFLOWLABEL: Final = 70
_EXTENDED_ERROR: Final = struct.Struct("@IBBBBII")  # struct sock_extended_err, linux/errqueue.h
_ORIGIN_LOCAL: Final = 1
_ORIGIN_ICMP: Final = (2, 3)
_RECVERR: Final = ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))
_OFFENDER: Final = {socket.AF_INET: (4, 8), socket.AF_INET6: (8, 24)}
"""Where the address of who reported stands in its `sockaddr_in` or `sockaddr_in6`."""


class Arrival(NamedTuple):
    """A report, who sent it, when the kernel received it, and the index of its flow (None: the report says which)."""

    report: Report
    host: str
    received_ns: int
    flow: int | None


class PathSocket:
    """The sockets of one trace to one destination.

    Attributes:
        is_raw: whether reports are read as packets, rather than from error queues.
        flows: how many flows there are.

    """

    def __init__(
        self,
        family: socket.AddressFamily,
        method: Method,
        destination: tuple[Any, ...],
        first_flow: int,
        flows: int = 1,
        *,
        may_fragment: bool = True,
    ) -> None:
        """Open the sockets.

        Raises TroubleError with `permission` where this process may not, OSError where this host cannot send there.
        """
        self._family = family
        self._protocol = socket.IPPROTO_UDP if method == "udp" else PROTOCOL[family]
        self._destination = destination
        self._first_flow = first_flow
        self.flows = flows
        self._source = _source_of(family, destination)
        self._senders: list[socket.socket] = []
        self._raw = _raw_socket(family)
        self.is_raw = self._raw is not None
        try:
            self._open_senders()
            if self._raw is not None:
                last = self._first_flow + flows - 1
                program = icmp_filter.flows_program(family, self._protocol, self._first_flow, last)
                icmp_filter.attach(self._raw, program)
                self._drain(self._raw)
            for sock in self._sockets():
                self._prepare(sock, may_fragment=may_fragment)
            self._dropped_before = sum(dropped_by(sock) for sock in self._sockets())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets():
            sock.close()

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel has dropped for want of buffer: nobody knows whose they were."""
        return sum(dropped_by(sock) for sock in self._sockets()) - self._dropped_before

    def flow_index(self, arrival: Arrival) -> int | None:
        """Return which flow a report is about, None for none of ours."""
        index = arrival.report.flow - self._first_flow if arrival.flow is None else arrival.flow
        return index if 0 <= index < self.flows else None

    def has_arrived(self, arrival: Arrival) -> bool:
        """Say whether a report means that its probe reached the destination.

        A closed port does so for UDP, and only in the destination's own words: firewalls reject with the same report.
        """
        if str(self._destination[0]).partition("%")[0] != arrival.host:
            return False
        is_closed = arrival.report.kind is Kind.CLOSED and self._protocol == socket.IPPROTO_UDP
        return is_closed or arrival.report.kind is Kind.REPLY

    def send(self, flow: int, ttl: int, number: int, token: bytes, size: int) -> tuple[Stamp, OSError | None]:
        """Send one probe with a payload of `size` bytes; return when, and why it could not be sent."""
        sock = self._senders[flow]
        packet = self._encode(flow, number, token, size)
        if self._family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        stamp, error = self._transmit(sock, packet)
        if error is not None and error.errno in _RETRY:
            # The error may be that of an earlier probe, which was waiting for the next call.
            stamp, error = self._transmit(sock, packet)
        return stamp, error

    def read(self) -> Iterator[Arrival]:
        """Yield what has arrived, up to a limit."""
        if self._raw is not None:
            yield from self._read_raw(self._raw)
        for flow, sock in enumerate(self._senders):
            if sock is self._raw:
                continue
            if self._raw is None:
                yield from self._read_queue(flow, sock)
            yield from self._read_answers(flow, sock)

    def _sockets(self) -> set[socket.socket]:
        return {*self._senders, self._raw} if self._raw is not None else {*self._senders}

    def _open_senders(self) -> None:
        if self._protocol == socket.IPPROTO_UDP:
            self._senders, self._first_flow = _udp_sockets(self._family, self._source, self._first_flow, self.flows)
        elif self._raw is not None:
            self._senders = [self._raw] * self.flows
        else:
            for flow in range(self.flows):
                self._senders.append(_ping_socket(self._family, self._first_flow + flow))

    def _prepare(self, sock: socket.socket, *, may_fragment: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if self._raw is None:
            ask_for_reports(sock)
        if self._family == socket.AF_INET6:
            # A flow label that the kernel makes up would be part of the flow, and another one after each start.
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_AUTOFLOWLABEL, 0)
        if not may_fragment:
            _forbid_fragments(sock)

    def _encode(self, flow: int, number: int, token: bytes, size: int) -> bytes:
        if self._protocol == socket.IPPROTO_UDP:
            ends = UdpEnds(self._source, self._first_flow + flow, self._destination[0], self._destination[1])
            return udp_probe(self._family, ends, number, token, size)
        return echo_probe(self._family, self._first_flow + flow, number, token, size)

    def _transmit(self, sock: socket.socket, packet: bytes) -> tuple[Stamp, OSError | None]:
        monotonic_ns = time.monotonic_ns()
        wall_ns = time.time_ns()  # nothing may come between this and the system call
        try:
            sock.sendto(packet, self._destination)
        except OSError as error:
            return Stamp(monotonic_ns, wall_ns), error
        return Stamp(monotonic_ns, wall_ns), None

    def _read_raw(self, sock: socket.socket) -> Iterator[Arrival]:
        for data, control, source in _datagrams(sock):
            packet = data
            if self._family == socket.AF_INET:
                packet = data[(data[0] & 0xF) * 4 :] if data else b""
                if not packet or checksum(packet) != 0:
                    continue
            report = decode(self._family, self._protocol, packet)
            if report is not None:
                yield Arrival(report, _host(source), received_ns(control), None)

    def _read_answers(self, flow: int, sock: socket.socket) -> Iterator[Arrival]:
        """Yield what the far end itself sent: replies to a ping socket, or an echo of UDP."""
        for data, control, source in _datagrams(sock):
            if self._protocol == socket.IPPROTO_UDP:
                report = Report.echo(data) if source[1] == self._destination[1] else None
            else:
                report = decode(self._family, self._protocol, data)
            if report is not None:
                yield Arrival(report, _host(source), received_ns(control), flow)

    def _read_queue(self, flow: int, sock: socket.socket) -> Iterator[Arrival]:
        for data, control, destination in _datagrams(sock, MSG_ERRQUEUE):
            for host, icmp in _reports_in(self._family, control):
                report = decode_queued(self._family, self._protocol, icmp, _host(destination), data)
                if report is not None:
                    yield Arrival(report, host, received_ns(control), flow)

    @staticmethod
    def _drain(sock: socket.socket) -> None:
        """Forget what reached a raw socket before it had its filter."""
        sock.setblocking(False)
        for _ in _datagrams(sock):
            pass


class KernelStamps:
    """Keeps the kernel stamping what arrives, for as long as this is open.

    It stamps while any socket asks for it, and begins some time after the first does; what arrives before that is
    stamped when it is read, up to a tick late. A trace's own sockets come and go: each would begin so.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def close(self) -> None:
        """Let the kernel stop."""
        self._sock.close()


async def kernel_stamps() -> KernelStamps:
    """Have the kernel stamp what arrives, and return when it has begun."""
    stamps = KernelStamps()
    await asyncio.sleep(STAMPS_BEGIN_S)
    return stamps


def interface_mtu(family: socket.AddressFamily, destination: tuple[Any, ...]) -> int:
    """Return the MTU of the interface towards a destination, whatever routers have said of the path; raises OSError.

    A datagram that is too large comes back as an error that names it, and never leaves.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        ask_for_reports(sock)
        _forbid_fragments(sock)
        sock.setblocking(False)
        try:
            sock.sendto(bytes(_UDP_PAYLOAD_MAX), (destination[0], _DISCARD_PORT, *destination[2:]))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
        for _, control, _ in _datagrams(sock, MSG_ERRQUEUE):
            for level, kind, value in control:
                if (level, kind) in _RECVERR:
                    code, origin, _, _, _, information, _ = _EXTENDED_ERROR.unpack_from(value)
                    if (code, origin) == (errno.EMSGSIZE, _ORIGIN_LOCAL):
                        return min(int(information), PACKET_MAX)
    return PACKET_MAX


def _forbid_fragments(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)


def _source_of(family: socket.AddressFamily, destination: tuple[Any, ...]) -> str:
    """Return the address that this host sends from to a destination; raises OSError where it cannot."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((destination[0], destination[1] or 33_434, *destination[2:]))
        return str(sock.getsockname()[0])


def _raw_socket(family: socket.AddressFamily) -> socket.socket | None:
    try:
        return socket.socket(family, socket.SOCK_RAW, PROTOCOL[family])
    except PermissionError:
        return None


def _ping_socket(family: socket.AddressFamily, identifier: int) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, PROTOCOL[family])
    except PermissionError:
        raise TroubleError(Failure.PERMISSION, NOT_ALLOWED) from None
    try:
        sock.bind(("" if family == socket.AF_INET else "::", identifier))
    except BaseException:
        sock.close()
        raise
    return sock


def _udp_sockets(family: socket.AddressFamily, source: str, first: int, flows: int) -> tuple[list[socket.socket], int]:
    """Return sockets bound to consecutive ports, and the first of these: `first`, unless others have taken it."""
    error: OSError | None = None
    for attempt in range(PORT_TRIES):
        sockets: list[socket.socket] = []
        start = first + attempt * flows
        try:
            for flow in range(flows):
                sock = socket.socket(family, socket.SOCK_DGRAM)
                sockets.append(sock)
                sock.bind((source, start + flow))
        except OSError as taken:
            error = taken
            for sock in sockets:
                sock.close()
            continue
        return sockets, start
    message = os.strerror(error.errno or 0).lower() if error is not None else ""
    raise TroubleError(Failure.INTERNAL, f"no free ports for {flows} flows from {first} on: {message}")


def _datagrams(sock: socket.socket, flags: int = 0) -> Iterator[tuple[bytes, Control, tuple[Any, ...]]]:
    for _ in range(READS_PER_TICK):
        try:
            data, control, _, source = sock.recvmsg(_DATAGRAM_MAX, 512, flags)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error about an earlier packet; its particulars are in the error queue
        yield data, control, source


def _reports_in(family: socket.AddressFamily, control: Control) -> Sequence[tuple[str, tuple[int, int, int]]]:
    """Return who reported, and type, code and information, of each ICMP error with an entry of the error queue."""
    found = []
    begin, end = (_EXTENDED_ERROR.size + at for at in _OFFENDER[family])
    for level, kind, value in control:
        if (level, kind) in _RECVERR and len(value) >= end:
            _, origin, icmp_type, icmp_code, _, information, _ = _EXTENDED_ERROR.unpack_from(value)
            if origin in _ORIGIN_ICMP:
                host = socket.inet_ntop(family, value[begin:end])
                found.append((host, (icmp_type, icmp_code, information)))
    return found


def _host(address: tuple[Any, ...]) -> str:
    return str(address[0]).partition("%")[0]
