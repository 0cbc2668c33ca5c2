"""The other end of `throughput`: takes tests from agents that know the key (the protocol: `throughput_wire`).

It is on the network, so it is careful: only allowed networks are spoken to; nothing is done for who cannot prove that
it knows the key; a bounded number of connections, each with a bounded time for each of its lines; `tests_max` tests at
once (one, unless told otherwise: two would measure each other), each bounded in time and bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Final

from probes.failures import TroubleError
from probes.model import Failure
from probes.reflector import LOOPBACK, Network, is_within
from probes.throughput_transfer import Bounds, Course, Flood, Threads, receive, send
from probes.throughput_wire import PORT, VERSION, WAYS, Lines, Terms, nonce, proof, proves

CONNECTIONS_MAX: Final = 32
LINE_WAIT_S: Final = 5.0
BACKLOG: Final = 16
_TROUBLES: Final = (OSError, EOFError, TroubleError, Flood)  # asyncio's TimeoutError is an OSError


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a throughput server serves.

    Attributes:
        secret: the key that agents must know.
        host, port: the IPv4 or IPv6 address and the TCP port to listen on; 0 for any free one.
        allow: networks that are spoken to.
        duration_max_s, bytes_max: of one direction of a test.
        tests_max: at once.

    """

    secret: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = PORT
    allow: tuple[Network, ...] = LOOPBACK
    duration_max_s: float = 30.0
    bytes_max: int = 10_000_000_000
    tests_max: int = 1


@dataclass(slots=True)
class ServerCounts:
    """What became of the connections that came.

    Attributes:
        tested: tests that were carried through.
        refused: from outside the allowed networks, or beyond the number of connections.
        denied: who did not know the key.
        busy: tests turned away because others ran.
        failed: that ended early, did not speak the protocol, or fell silent.

    """

    tested: int = 0
    refused: int = 0
    denied: int = 0
    busy: int = 0
    failed: int = 0


class ThroughputServer:
    """A running server.

    Attributes:
        host, port: where it listens.
        counts: what became of the connections that came.

    """

    def __init__(self, sock: socket.socket, options: ServerOptions) -> None:
        self.host, self.port = sock.getsockname()[:2]
        self.counts = ServerCounts()
        self._sock = sock
        self._options = options
        self._threads = Threads(options.tests_max)
        self._tests: dict[str, asyncio.Queue[tuple[str, socket.socket]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    @property
    def busy(self) -> bool:
        """Say whether it has no time for another test."""
        return len(self._tests) >= self._options.tests_max

    async def aclose(self) -> None:
        """Stop listening and end what runs."""
        tasks = [self._accepting, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.close()
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, source = await loop.sock_accept(self._sock)
            except OSError:
                await asyncio.sleep(0.1)  # out of descriptors: some will be free again
                continue
            if len(self._tasks) >= CONNECTIONS_MAX or not is_within(source[0], self._options.allow):
                self.counts.refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            task = loop.create_task(self._serve(Lines(sock)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, lines: Lines) -> None:
        given_away = False
        try:
            async with asyncio.timeout(LINE_WAIT_S):
                words = await lines.read("THROUGHPUT", "DATA")
                if words[0] == "DATA":
                    given_away = self._hand_over(lines, words[1:])
                    return
            await self._control(lines, words[1:])
        except _TROUBLES:
            self.counts.failed += 1
        finally:
            if not given_away:
                lines.close()

    def _hand_over(self, lines: Lines, words: list[str]) -> bool:
        """Give a data connection to the test that waits for it; say whether there was one."""
        waiting = self._tests.get(words[0]) if len(words) == 2 else None
        if waiting is None or waiting.full():
            raise TroubleError(Failure.PROTOCOL, "there is no such test")
        waiting.put_nowait((words[1], lines.detach()))
        return True

    async def _control(self, lines: Lines, words: list[str]) -> None:
        if words != [VERSION]:
            raise TroubleError(Failure.PROTOCOL, "another version of the protocol")
        ours = nonce()
        async with asyncio.timeout(LINE_WAIT_S):
            await lines.write("CHALLENGE", ours)
            asked = await lines.read("TEST")
        terms, (theirs, given) = Terms.read(asked[1:4]), (asked[4:6] if len(asked) == 6 else ("", ""))
        if not proves(given, self._options.secret, "agent", ours, theirs, *terms.words()):
            self.counts.denied += 1
            await lines.write("DENIED")
        elif self.busy:
            self.counts.busy += 1
            await lines.write("BUSY")
        else:
            await self._test(lines, self._granted(terms), ours, theirs)

    def _granted(self, terms: Terms) -> Terms:
        duration_ms = min(terms.duration_ms, round(self._options.duration_max_s * 1000))
        return terms._replace(duration_ms=duration_ms, bytes_max=min(terms.bytes_max, self._options.bytes_max))

    async def _test(self, lines: Lines, terms: Terms, ours: str, theirs: str) -> None:
        token = nonce()
        arrivals = self._tests[token] = asyncio.Queue[tuple[str, socket.socket]](1)
        try:
            signed = proof(self._options.secret, "server", ours, theirs, token, *terms.words())
            await lines.write("READY", token, *terms.words()[1:], signed)
            for way in WAYS[terms.direction]:
                await self._transfer(lines, way, terms, arrivals)
        finally:
            del self._tests[token]
            with contextlib.suppress(asyncio.QueueEmpty):
                arrivals.get_nowait()[1].close()
        self.counts.tested += 1

    async def _transfer(
        self, lines: Lines, way: str, terms: Terms, arrivals: asyncio.Queue[tuple[str, socket.socket]]
    ) -> None:
        async with asyncio.timeout(LINE_WAIT_S):
            which, sock = await arrivals.get()
        if which != way:
            sock.close()
            raise TroubleError(Failure.PROTOCOL, "another direction's turn")
        bounds = Bounds(terms.duration_ms / 1000, terms.bytes_max)
        if way == "backward":
            sent = await self._threads.run(send, sock, bounds, Course())
            await lines.write("SENT", *map(str, sent))
            return
        try:
            await asyncio.get_running_loop().sock_sendall(sock, b"GO\n")
        except BaseException:
            sock.close()
            raise
        received = await self._threads.run(receive, sock, bounds, Course())
        await lines.write("RECEIVED", *map(str, received))


async def serve_throughput(options: ServerOptions) -> ThroughputServer:
    """Start a throughput server.

    Raises OSError when the address cannot be listened on, ValueError when it is not an IP address.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(options.host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((options.host, options.port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return ThroughputServer(sock, options)
