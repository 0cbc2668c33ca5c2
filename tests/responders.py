"""Far ends that do as they are told and log the truth: ICMP and UDP responders, and a network of one's own.

A plan is a function from a request to the answers that it gets: after how long, from which address, with which bytes.
Each responder runs in a thread and logs when the kernel received each request and when each answer left.

`private_network` puts the calling thread into a network namespace with nothing but loopback, in which the kernel does
not answer pings, so that the ICMP responder can. It needs root; `needs_root` marks the tests that do.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import ipaddress
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a network namespace and raw sockets")

SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
CLONE_NEWNET = 0x40000000
SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914
IPV6_HDRINCL = 36

_libc = ctypes.CDLL(None, use_errno=True)


class Request(NamedTuple):
    """A request as it came: how many came before it, from where, to which host, the bytes, and the kernel's stamp.

    For ICMP `data` begins with the ICMP header; for UDP it is the payload.
    """

    order: int
    source: tuple
    host: str
    data: bytes
    arrived_ns: int


class Answer(NamedTuple):
    """One answer: the bytes to send, how long after the request, and from which host (default: the one asked)."""

    data: bytes
    delay_s: float = 0.0
    host: str = ""


class Sent(NamedTuple):
    """An answer that left, some time between the two stamps."""

    request: Request
    data: bytes
    before_ns: int
    after_ns: int

    @property
    def rtt_min_s(self) -> float:
        """The least that a sender on this machine can have waited for this answer."""
        return (self.before_ns - self.request.arrived_ns) / 1e9


Plan = Callable[[Request], list[Answer]]


@dataclass
class Log:
    """What a responder saw and did."""

    requests: list[Request] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def rtts_s(self, host: str) -> list[float]:
        """The least round trips of the answers to requests to a host, in the order of the requests."""
        ordered = sorted(self.sent, key=lambda sent: sent.request.order)
        return [sent.rtt_min_s for sent in ordered if sent.request.host == host]


class Responder:
    """A thread that receives requests on a socket, asks the plan, and sends what is due."""

    def __init__(self, sock: socket.socket, plan: Plan) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock = sock
        self.plan = plan
        self.log = Log()
        self._due: list[tuple[int, int, Request, Answer]] = []
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Responder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(10)
        self.sock.close()
        os.close(self._stop)
        os.close(self._stopped)

    def _serve(self) -> None:
        while True:
            wait_s = max(0.0, (self._due[0][0] - time.time_ns()) / 1e9) if self._due else None
            readable, _, _ = select.select([self.sock, self._stop], [], [], wait_s)
            if self._stop in readable:
                return
            self._receive()
            self._send_due()

    def _receive(self) -> None:
        while True:
            try:
                data, control, _, source = self.sock.recvmsg(65_600, 256)
            except BlockingIOError:
                return
            stamps = [struct.unpack("@ll", value) for _, kind, value in control if kind == SO_TIMESTAMPNS]
            arrived_ns = stamps[0][0] * 1_000_000_000 + stamps[0][1]
            host, payload = self.unwrap(data, control)
            request = Request(len(self.log.requests), source, host, payload, arrived_ns)
            self.log.requests.append(request)
            for answer in self.plan(request):
                due_ns = arrived_ns + int(answer.delay_s * 1e9)
                heapq.heappush(self._due, (due_ns, len(self.log.sent) + len(self._due), request, answer))
            self._send_due()

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= time.time_ns():
            _, _, request, answer = heapq.heappop(self._due)
            before_ns = time.time_ns()
            self.send(request, answer)
            self.log.sent.append(Sent(request, answer.data, before_ns, time.time_ns()))

    def unwrap(self, data: bytes, control: list) -> tuple[str, bytes]:
        return "", data

    def send(self, request: Request, answer: Answer) -> None:
        self.sock.sendto(answer.data, request.source)


class UdpResponder(Responder):
    """Answers UDP on a free port of a loopback address."""

    def __init__(self, plan: Plan, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        self.port = sock.getsockname()[1]
        super().__init__(sock, plan)


class IcmpResponder(Responder):
    """Answers every IPv4 echo request of the namespace, from whatever source address the plan wants."""

    def __init__(self, plan: Plan) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        # Load the IP header's length, then the type behind it; take echo requests only, not our own answers.
        _attach(sock, [(0xB1, 0, 0, 0), (0x50, 0, 0, 0), (0x15, 0, 1, 8), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)])
        super().__init__(sock, plan)

    def unwrap(self, data: bytes, control: list) -> tuple[str, bytes]:
        return socket.inet_ntoa(data[16:20]), data[(data[0] & 0xF) * 4 :]

    def send(self, request: Request, answer: Answer) -> None:
        source = socket.inet_aton(answer.host or request.host)
        target = socket.inet_aton(request.source[0])
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 61, 1, 0, source, target)
        self.sock.sendto(header + answer.data, (request.source[0], 0))


class Icmp6Responder(Responder):
    """Answers every IPv6 echo request of the namespace, from any of its addresses."""

    def __init__(self, plan: Plan) -> None:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        _attach(sock, [(0x30, 0, 0, 0), (0x15, 0, 1, 128), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)])
        super().__init__(sock, plan)

    def unwrap(self, data: bytes, control: list) -> tuple[str, bytes]:
        info = next(value for _, kind, value in control if kind == socket.IPV6_PKTINFO)
        return socket.inet_ntop(socket.AF_INET6, info[:16]), data

    def send(self, request: Request, answer: Answer) -> None:
        source = socket.inet_pton(socket.AF_INET6, answer.host or request.host) + bytes(4)
        control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)]
        self.sock.sendmsg([answer.data], control, 0, (request.source[0], 0))


# -- ICMP answers ----------------------------------------------------------------------------------------------------


def echo_reply(request: Request, payload: bytes | None = None, **header: int) -> bytes:
    """The true reply to an echo request; or one with another payload, `identifier`, `number` or `checksum`."""
    kind, _, _, identifier, number = struct.unpack_from(">BBHHH", request.data)
    identifier, number = header.get("identifier", identifier), header.get("number", number)
    body = request.data[8:] if payload is None else payload
    reply = struct.pack(">BBHHH", 129 if kind == 128 else 0, 0, 0, identifier, number) + body
    return _with_checksum(reply, header.get("checksum"))


def icmp_error(request: Request, kind: int, code: int, quoted_bytes: int = 1000, host: str = "") -> bytes:
    """A report of that type and code on an IPv4 echo request, quoting so much of it behind its IP header."""
    source, target = socket.inet_aton(request.source[0]), socket.inet_aton(host or request.host)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(request.data), 0, 0, 64, 1, 0, source, target)
    return _with_checksum(struct.pack(">BBHI", kind, code, 0, 0) + ip + request.data[:quoted_bytes])


def icmp6_error(request: Request, kind: int, code: int) -> bytes:
    """A report of that type and code on an IPv6 echo request."""
    addresses = socket.inet_pton(socket.AF_INET6, request.source[0]) + socket.inet_pton(socket.AF_INET6, request.host)
    ip = struct.pack(">IHBB", 6 << 28, len(request.data), socket.IPPROTO_ICMPV6, 64) + addresses
    return struct.pack(">BBHI", kind, code, 0, 0) + ip + request.data


def _with_checksum(packet: bytes, checksum: int | None = None) -> bytes:
    if checksum is None:
        words = struct.unpack(f">{(len(packet) + 1) // 2}H", packet + b"\0" * (len(packet) % 2))
        total = sum(words)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        checksum = ~total & 0xFFFF
    return packet[:2] + struct.pack(">H", checksum) + packet[4:]


# -- STAMP answers ---------------------------------------------------------------------------------------------------


def reflection(request: Request, held_s: float = 0.0, size: int | None = None, **fields: int) -> bytes:
    """A STAMP answer (RFC 8762, section 4.3.1), laid out here anew so that the product's own code is checked by it.

    Says that the question was held for `held_s`. `error` is the error estimate's 16 bits; `t2`, `t3` replace the
    seconds of a timestamp.
    """
    t2_ns = request.arrived_ns
    t3_ns = t2_ns + int(held_s * 1e9)
    second = 1_000_000_000
    parts = [
        request.data[0:4],
        struct.pack(">II", fields.get("t3", t3_ns // second), (t3_ns % second << 32) // second),
        struct.pack(">HH", fields.get("error", 0x0001), 0),
        struct.pack(">II", fields.get("t2", t2_ns // second), (t2_ns % second << 32) // second),
        request.data[0:14],
        bytes(2),
        bytes([64]),
        bytes(3),
    ]
    answer = b"".join(parts) + request.data[44:]
    return answer if size is None else answer[:size].ljust(size, b"\0")


# -- a network of one's own ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def private_network(*addresses: str) -> Iterator[None]:
    """Put this thread into a new network namespace whose loopback is up and whose kernel answers no pings.

    Its only routes are those of loopback; IPv6 `addresses` are added to it. Sockets opened inside belong to it for
    good; threads and processes started inside are in it too.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call(_libc.unshare(CLONE_NEWNET))
        try:
            _raise_loopback(addresses)
            set_sysctl("net/ipv4/icmp_echo_ignore_all", "1")
            set_sysctl("net/ipv6/icmp/echo_ignore_all", "1")
            yield
        finally:
            _call(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


def set_sysctl(path: str, value: str) -> None:
    """Set a sysctl of the namespace that this thread is in."""
    with open(f"/proc/sys/{path}", "w", encoding="ascii") as file:
        file.write(value)


def _raise_loopback(addresses: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        (flags,) = struct.unpack_from("@H", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("@16sH22x", b"lo", 0)), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("@16sH22x", b"lo", flags | 1))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for address in addresses:
            packed = ipaddress.IPv6Address(address).packed
            fcntl.ioctl(sock, SIOCSIFADDR, packed + struct.pack("@Ii", 128, socket.if_nametoindex("lo")))
    for address in addresses:
        _await_route_to(address)


def _await_route_to(address: str) -> None:
    """Wait until packets reach an address: the kernel adds its route some time after the address itself."""
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.01)
            sock.bind((address, 0))
            sock.sendto(b"?", sock.getsockname())
            sock.recv(1)
            return
        time.sleep(0.005)
    message = f"{address} did not come up"
    raise RuntimeError(message)


def _call(outcome: int) -> None:
    if outcome != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", *line) for line in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))
