"""One TCP connection of a probe: connected, spoken over in bounded pieces, lifted to TLS, and what the kernel saw.

It drives a non-blocking socket by itself, without a transport: a connection is 24 µs of CPU instead of 30, TLS can
begin at any byte, nothing is read that nobody asked for, and closing is at once, so that a cancelled probe leaves
neither a socket nor a callback behind (docs/decisions/0030-own-tcp-stream.md).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from probes.failures import TroubleError, classify
from probes.model import Context, Failure
from probes.resolver import Address
from probes.tcp_address import HostPort
from probes.tls import TlsSession, explain

PIECE_BYTES = 16 * 1024
"""How much is taken from the kernel at once: the size of the largest TLS record (RFC 8446, section 5.1)."""

HANDSHAKE_LIMIT_BYTES = 256 * 1024
"""How much a peer may send in one TLS handshake; a long certificate chain is some 10 kB."""

_TCP_INFO_BYTES = 104
_RETRANSMITS, _RTT, _RTTVAR = 100, 68, 72
"""Places in `struct tcp_info` (linux/tcp.h, an ABI): tcpi_total_retrans, tcpi_rtt and tcpi_rttvar in µs."""


class KernelFigures(NamedTuple):
    """What the kernel measured on a connection.

    Attributes:
        rtt_s: smoothed round trip (RFC 6298); right after connecting it is that of SYN and SYN-ACK alone. None
            when there is none, as after a SYN that was sent twice (Karn's algorithm).
        rttvar_s: its mean deviation, None when there is none.
        retransmits: segments sent again, SYNs included.

    """

    rtt_s: float | None
    rttvar_s: float | None
    retransmits: int


class TcpStream:
    """A connected stream. Use it from one task, and close it in `finally`.

    Attributes:
        tls: the TLS session once TLS is spoken, else None.
        chain: the certificates (DER) that the peer showed, also in a handshake that failed for them.
        address: the numeric host and port at the other end.

    """

    __slots__ = ("_loop", "_socket", "address", "chain", "tls")

    def __init__(self, connected: socket.socket, address: HostPort) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self.address = address
        self.tls: TlsSession | None = None
        self.chain: list[bytes] = []

    async def receive(self) -> bytes:
        """Return what came, at least one byte and at most PIECE_BYTES; b"" at the end of the stream.

        Raises OSError, ssl.SSLError.
        """
        if self.tls is None:
            return await self._receive_raw()
        plain = self.tls.receive()  # what came with the end of the handshake
        while not plain and not self.tls.ended:
            data = await self._receive_raw()
            if not data:
                return b""
            plain = self.tls.receive(data)
            await self._send_raw(self.tls.outgoing())  # what TLS itself has to say: a new key, an alert
        return plain

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the kernel. Raises OSError, ssl.SSLError."""
        if self.tls is not None:
            self.tls.send(data)
            data = self.tls.outgoing()
        await self._send_raw(data)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from here on.

        Raises TroubleError when the handshake fails, is endless, or the peer ends inside it; OSError.
        """
        session, data, left = TlsSession(context, server_name), b"", HANDSHAKE_LIMIT_BYTES
        try:
            while not session.handshake(data):
                await self._send_raw(session.outgoing())
                data = await self._receive_raw()
                if not data:
                    raise TroubleError(Failure.CONNECTION_CLOSED, "the peer closed the connection in tls")
                left -= len(data)
                if left < 0:
                    raise TroubleError(Failure.TLS_HANDSHAKE, f"the handshake has more than {HANDSHAKE_LIMIT_BYTES} B")
        except ssl.SSLError as error:
            self._send_if_taken(session.outgoing())  # the alert that tells the peer why
            self.chain = session.chain()
            raise explain(error, session) from None
        self.chain = session.chain()
        await self._send_raw(session.outgoing())
        self.tls = session

    @property
    def local_host(self) -> str:
        """The number that this end of the connection has."""
        return str(self._socket.getsockname()[0])

    def figures(self) -> KernelFigures:
        """Return what the kernel measured so far (TCP_INFO)."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        rtt_us, rttvar_us = struct.unpack_from("=II", info, _RTT)
        (retransmits,) = struct.unpack_from("=I", info, _RETRANSMITS)
        return KernelFigures(rtt_us / 1e6 or None, rttvar_us / 1e6 or None, retransmits)

    def is_quiet(self) -> bool:
        """Say whether the peer has neither ended the stream nor, where no TLS is spoken, said anything unasked."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK)) and self.tls is not None
        except BlockingIOError:
            return True
        except OSError:
            return False

    def detach(self) -> socket.socket:
        """Hand the socket over to a library that speaks for itself; whoever has it closes it."""
        return self._socket

    def close(self, farewell: bytes = b"") -> None:
        """Close in the ordinary way (FIN), after a farewell (TLS's own too) as far as the kernel takes it at once.

        The side that closes first keeps TIME_WAIT (RFC 9293, section 3.6.1): that is ours, not the watched one's.
        """
        if self.tls is not None and self._socket.fileno() >= 0:
            if farewell:
                self.tls.send(farewell)
            self.tls.close()
            farewell = self.tls.outgoing()
        self._send_if_taken(farewell)
        self._socket.close()

    def _send_if_taken(self, data: bytes) -> None:
        if data:
            with suppress(OSError):  # the peer is gone already
                self._socket.send(data)

    async def _receive_raw(self) -> bytes:
        while True:
            try:
                return self._socket.recv(PIECE_BYTES)
            except BlockingIOError:
                await readable(self._loop, self._socket)

    async def _send_raw(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await _writable(self._loop, self._socket)


async def connect(addresses: Sequence[Address], port: int, ctx: Context) -> TcpStream:
    """Connect to the first of the addresses that takes it, in their order; begins the phase `connect`.

    A refusal moves on to the next address at once; silence, after a fair share of the time that is left (one
    address has all of it). Raises TroubleError with what befell the last address.
    """
    ctx.phases.begin("connect")
    loop = asyncio.get_running_loop()
    for position, address in enumerate(addresses):
        others = len(addresses) - position - 1
        ctx.peer = address.host
        try:
            if not others:
                return await _connect_one(address, port)
            share_s = (ctx.deadline - loop.time()) / (others + 1)
            async with asyncio.timeout(share_s):
                return await _connect_one(address, port)
        except OSError as error:
            if not others:
                failure, message = classify(error, "connect")
                tried = f" (the last of {len(addresses)} addresses)" if position else ""
                raise TroubleError(failure, f"{message}: {HostPort(address.host, port)}{tried}") from None
    raise TroubleError(Failure.DNS_ANSWER, "there is no address to connect to")


def last_moment(ctx: Context) -> float:
    """Return when to stop waiting, for a kind that can say more than that time ran out.

    Early enough before the runner's own deadline that a loop which is late by some tens of milliseconds does no harm:
    2 % of the time, at least 100 ms, at most a quarter of it.
    """
    return ctx.deadline - min(max(0.1, 0.02 * ctx.timeout_s), ctx.timeout_s / 4)


async def readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Wait until the socket can be read (or has an error to tell)."""
    ready = loop.create_future()
    loop.add_reader(sock.fileno(), _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


async def _writable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = loop.create_future()
    loop.add_writer(sock.fileno(), _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock.fileno())


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _connect_one(address: Address, port: int) -> TcpStream:
    sock = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # Small writes are answered at once in a dialogue; waiting for more (RFC 896) would be measured as delay.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(sockaddr(address, port))
        if code == errno.EINPROGRESS:
            await _writable(asyncio.get_running_loop(), sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))  # noqa: TRY301 - one way out closes the socket
        return TcpStream(sock, HostPort(address.host, port))
    except BaseException:
        sock.close()
        raise


def sockaddr(address: Address, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what the socket calls take: a link-local IPv6 address (RFC 4007) needs its interface as a number."""
    host, percent, scope = address.host.partition("%")
    if not percent:
        return (host, port)
    return (host, port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))
