"""The other end of `stamp`: a STAMP session reflector (RFC 8762, section 4.3), with or without state.

It answers each question from the address that it came to, with the times at which it came and the answer left, and in
the class of service that it came in or asked for (RFC 8972, section 4.4). It is on the network, so it is careful: only
allowed networks are answered, each source so often at most, with never a byte more than it sent; with a secret, only
who proves to know it; and it remembers a bounded number of sources and sessions.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from probes.packet_socket import CONTROL_MAX, DATAGRAM_MAX, SO_TIMESTAMPNS, Control, enlarge_receive_buffer, received_ns
from probes.stamp_clock import ClockQuality
from probes.stamp_codec import (
    PORT,
    REFLECTED_MIN_BYTES,
    Question,
    base_bytes,
    decode_error,
    decode_question,
    encode_reflection,
)
from probes.stamp_sessions import Session, Sessions
from probes.stamp_tlv import Arrival, answer_tlvs, flag_forged, has_tlvs, is_question_authentic

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Final[tuple[Network, ...]] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
READS_PER_WAKE: Final = 512
SOURCES_MAX: Final = 10_000

_IP_PKTINFO: Final = 8  # linux/in.h
_IP_RECVTTL: Final = 12
_IP_RECVTOS: Final = 13
_ANY_INTERFACE: Final = 0
_IN_PKTINFO: Final = struct.Struct("@I4s4s")
_IN6_PKTINFO: Final = struct.Struct("@16sI")
_DETAILS: Final = {
    socket.AF_INET: (
        (socket.IPPROTO_IP, _IP_PKTINFO),
        (socket.IPPROTO_IP, _IP_RECVTTL),
        (socket.IPPROTO_IP, _IP_RECVTOS),
    ),
    socket.AF_INET6: (
        (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
        (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT),
        (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    ),
}


@dataclass(frozen=True, slots=True)
class ReflectorOptions:
    """How a reflector serves.

    Attributes:
        host: the IPv4 or IPv6 address to listen on (`0.0.0.0` or `::` for all of a family).
        port: the UDP port; 0 for any free one.
        allow: networks whose questions are answered; all others get nothing.
        rate_limit_pps: packets per second that one source address may ask, with as many at once after a pause.
        is_stateful: answers are numbered by session, so that senders can tell losses by direction.
        clock: what is said of this host's clock; None: what the kernel says.
        secret: what questions must be authenticated with; empty: they need not, and answers are not.

    """

    host: str = "127.0.0.1"
    port: int = PORT
    allow: tuple[Network, ...] = LOOPBACK
    rate_limit_pps: float = 1000.0
    is_stateful: bool = True
    clock: ClockQuality | None = None
    secret: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class ReflectorCounts:
    """What became of the packets that came.

    Attributes:
        answered: reflected.
        refused: from outside the allowed networks, or from a port like ours: two reflectors must not answer each
            other for ever.
        limited: beyond the source's rate.
        malformed: too short to be answered without growing.
        unauthentic: without the HMAC that they must have.
        unsent: whose answer the system would not send.

    """

    answered: int = 0
    refused: int = 0
    limited: int = 0
    malformed: int = 0
    unauthentic: int = 0
    unsent: int = 0


class RateLimit:
    """A token bucket per source, of the `SOURCES_MAX` last seen.

    Args:
        rate: tokens per second, and how many a bucket holds (one at least).

    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._depth = max(rate, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, source: str, now: float) -> bool:
        """Say whether the source may ask once more at `now` (seconds, monotonic), and count it if so."""
        tokens, since = self._buckets.get(source, (self._depth, now))
        tokens = min(self._depth, tokens + (now - since) * self._rate)
        admitted = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if admitted else tokens, now)
        self._buckets.move_to_end(source)
        if len(self._buckets) > SOURCES_MAX:
            self._buckets.popitem(last=False)
        return admitted


class Reflector:
    """A running reflector.

    Attributes:
        host, port: where it listens.
        counts: what became of the packets that came.

    """

    def __init__(self, sock: socket.socket, options: ReflectorOptions) -> None:
        self.host, self.port = sock.getsockname()[:2]
        self.counts = ReflectorCounts()
        self._sock = sock
        self._buffer = bytearray(DATAGRAM_MAX)
        self._limit = RateLimit(options.rate_limit_pps)
        self._clock = options.clock or ClockQuality()
        self._secret = options.secret
        self._sessions = Sessions() if options.is_stateful else None
        self._is_allowed = lru_cache(maxsize=SOURCES_MAX)(lambda source: is_within(source, options.allow))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)

    async def aclose(self) -> None:
        """Stop answering and free the port."""
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _readable(self) -> None:
        for _ in range(READS_PER_WAKE):
            try:
                length, control, _, source = self._sock.recvmsg_into([self._buffer], CONTROL_MAX)
            except OSError:
                return
            self._reflect(length, control, source)

    def _reflect(self, length: int, control: Control, source: tuple[Any, ...]) -> None:
        if source[1] == self.port or not self._is_allowed(source[0]):
            self.counts.refused += 1
        elif not self._limit.admits(source[0], time.monotonic()):
            self.counts.limited += 1
        elif length < REFLECTED_MIN_BYTES:
            self.counts.malformed += 1
        else:
            packet = bytes(memoryview(self._buffer)[:length])
            question = decode_question(packet, self._secret)
            if question is None:
                self.counts.unauthentic += 1
            else:
                self._answer(packet, question, control, source)

    def _answer(self, packet: bytes, question: Question, control: Control, source: tuple[Any, ...]) -> None:
        ttl, traffic_class, details = _details_in(control)
        arrived_ns = received_ns(control) or time.time_ns()
        error = self._clock.error_estimate()
        session, number = None, question.number
        if self._sessions is not None:
            session = self._sessions.of(source[:2], question, time.monotonic())
            session.received += 1
            number = session.sent
        tail = packet[base_bytes(self._secret) :]
        if has_tlvs(tail):
            tail, traffic_class = self._answer_tlvs(tail, question, number, session, traffic_class)
        if traffic_class >> 2:
            details.append(_class_of(self._sock, traffic_class & 0xFC))
        try:
            answer = encode_reflection(
                packet, question, number, arrived_ns, time.time_ns(), error, ttl, tail, self._secret
            )
            self._sock.sendmsg([answer], details, 0, source)
        except OSError:
            self.counts.unsent += 1
        else:
            self.counts.answered += 1
            if session is not None:
                session.sent = (session.sent + 1) & 0xFFFF_FFFF

    def _answer_tlvs(
        self, tail: bytes, question: Question, number: int, session: Session | None, traffic_class: int
    ) -> tuple[bytes, int]:
        """Return the TLVs of the answer and the traffic class that it leaves with."""
        if self._secret and not is_question_authentic(tail, question.number, self._secret):
            return flag_forged(tail), traffic_class
        is_synchronised = decode_error(self._clock.error_estimate()).is_synchronised
        counts = (session.received, session.sent + 1) if session is not None else None
        arrival = Arrival(traffic_class, counts, is_synchronised)
        answered, dscp = answer_tlvs(tail, arrival, number, self._secret)
        return answered, traffic_class if dscp is None else dscp << 2


async def serve_reflector(options: ReflectorOptions) -> Reflector:
    """Start a reflector.

    Raises OSError when the address cannot be listened on, ValueError when it is not an IP address.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(options.host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for level, option in _DETAILS[family]:
            sock.setsockopt(level, option, 1)
        enlarge_receive_buffer(sock)
        sock.bind((options.host, options.port))
    except OSError:
        sock.close()
        raise
    return Reflector(sock, options)


def is_within(source: str, networks: Sequence[Network]) -> bool:
    """Say whether an address is in one of the networks."""
    address = ipaddress.ip_address(source.partition("%")[0])
    return any(address in network for network in networks if network.version == address.version)


def _details_in(control: Control) -> tuple[int, int, list[tuple[int, int, bytes]]]:
    """Return a question's TTL (255 if unknown) and traffic class, and what sends the answer from where it came to."""
    ttl, traffic_class, came_to = 255, 0, []
    for level, kind, value in control:
        if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
            ttl = struct.unpack_from("@i", value)[0]
        elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
            traffic_class = value[0]  # one octet here, an int for IPv6
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
            traffic_class = struct.unpack_from("@i", value)[0] & 0xFF
        elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, _ = _IN_PKTINFO.unpack_from(value)
            came_to.append((level, kind, _IN_PKTINFO.pack(_ANY_INTERFACE, local, bytes(4))))
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            local, _ = _IN6_PKTINFO.unpack_from(value)
            came_to.append((level, kind, _IN6_PKTINFO.pack(local, _ANY_INTERFACE)))
    return ttl, traffic_class, came_to


def _class_of(sock: socket.socket, traffic_class: int) -> tuple[int, int, bytes]:
    """Return what sends a packet with a traffic class (without ECN, which is not ours to set)."""
    if sock.family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("@i", traffic_class)
    return socket.IPPROTO_IP, socket.IP_TOS, struct.pack("@i", traffic_class)
