"""The agent's side of a throughput test: agrees on it with the server, and sends or receives (`throughput_wire`)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.resolver import Address
from probes.tcp_info import tcp_info
from probes.throughput_transfer import Bounds, Course, Flood, Threads, receive, send
from probes.throughput_wire import VERSION, Lines, Received, Sent, Terms, nonce, number, proof, proves

BUSY_WAIT_S: Final = 0.25


class Way(NamedTuple):
    """What one direction gave.

    Attributes:
        sent: by the TCP that sent.
        received: by who received.

    """

    sent: Sent
    received: Received


class Session:
    """A control connection on which a test is agreed.

    Attributes:
        rtt_min_s: least round-trip time of its own, before there was any load.
        bounds: what each direction may take.

    """

    def __init__(self, lines: Lines, address: Address, port: int) -> None:
        self._lines = lines
        self._address = address
        self._port = port
        self._token = ""
        self.rtt_min_s = 0.0
        self.bounds = Bounds(0.0, 0)

    def close(self) -> None:
        """End it."""
        self._lines.close()

    async def agree(self, secret: bytes, terms: Terms) -> bool:
        """Agree on a test; say whether the server has time for it now.

        Raises OSError, EOFError, TroubleError.
        """
        lines, ours = self._lines, nonce()
        await lines.write("THROUGHPUT", VERSION)
        challenge = await lines.read("CHALLENGE")
        theirs = challenge[1] if len(challenge) == 2 else ""
        await lines.write("TEST", *terms.words(), ours, proof(secret, "agent", theirs, ours, *terms.words()))
        answer = await lines.read("READY", "BUSY", "DENIED")
        if answer[0] == "BUSY":
            return False
        if answer[0] == "DENIED":
            raise TroubleError(Failure.AUTH_REJECTED, "the far end does not take this key")
        if len(answer) != 5:
            raise TroubleError(Failure.PROTOCOL, "the far end's terms are none")
        granted = Terms.read([terms.direction, *answer[2:4]])
        if not proves(answer[4], secret, "server", theirs, ours, answer[1], *granted.words()):
            raise TroubleError(Failure.AUTH_REJECTED, "the far end does not prove that it knows the key")
        if granted.duration_ms > terms.duration_ms or granted.bytes_max > terms.bytes_max:
            raise TroubleError(Failure.PROTOCOL, "the far end grants more than was asked")
        self._token = answer[1]
        self.bounds = Bounds(granted.duration_ms / 1000, granted.bytes_max)
        self.rtt_min_s = tcp_info(lines.sock).rtt_min_s
        return True

    async def transfer(self, way: str, threads: Threads, course: Course) -> Way:
        """Send or receive one direction's payload.

        Raises OSError, EOFError, TroubleError.
        """
        data = Lines(await _dial(self._address, self._port))
        try:
            await data.write("DATA", self._token, way)
            if way == "forward":
                await data.read("GO")
            sock = data.detach()
        except BaseException:
            data.close()
            raise
        if way == "forward":
            sent = await threads.run(send, sock, self.bounds, course)
            received = Received(*await self._figures("RECEIVED", len(Received._fields)))
        else:
            try:
                received = await threads.run(receive, sock, self.bounds, course)
            except Flood:
                raise TroubleError(Failure.PROTOCOL, "the far end sends more than was agreed") from None
            sent = Sent(*await self._figures("SENT", len(Sent._fields)))
        if received.total_bytes > sent.payload_bytes or received.timed_bytes > received.total_bytes:
            raise TroubleError(Failure.PROTOCOL, "more is said to be received than was sent")
        return Way(sent, received)

    async def _figures(self, name: str, count: int) -> list[int]:
        _, *words = await self._lines.read(name)
        if len(words) != count:
            raise TroubleError(Failure.PROTOCOL, f"the far end's line {name} has {len(words)} figures, not {count}")
        return [number(word) for word in words]


async def open_session(
    addresses: Sequence[Address], port: int, secret: bytes, terms: Terms, until: float, ctx: Context
) -> Session:
    """Return a session on which a test is agreed, having waited for the server until a time on the loop's clock.

    Raises OSError, EOFError, TroubleError.
    """
    loop = asyncio.get_running_loop()
    while True:
        ctx.phases.begin("connect")
        address, sock = await _dial_any(addresses, port, ctx)
        ctx.phases.begin("agree")
        session = Session(Lines(sock), address, port)
        try:
            if await session.agree(secret, terms):
                return session
        except BaseException:
            session.close()
            raise
        session.close()
        if loop.time() + BUSY_WAIT_S > until:
            raise TroubleError(Failure.INTERNAL, "the far end is busy with another test")
        await asyncio.sleep(BUSY_WAIT_S)


async def _dial_any(addresses: Sequence[Address], port: int, ctx: Context) -> tuple[Address, socket.socket]:
    """Connect to the first address that takes it; each but the last has an equal share of the time left."""
    loop = asyncio.get_running_loop()
    for place, address in enumerate(addresses[:-1]):
        share_s = (ctx.deadline - loop.time()) / (len(addresses) - place)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(share_s):
                return address, await _dial(address, port)
    return addresses[-1], await _dial(addresses[-1], port)


async def _dial(address: Address, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, port, address.family, socket.SOCK_STREAM, 0, flags
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
