"""A TCP listener that can be made to refuse, or to vanish, while it keeps its address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from monitor.demo.addresses import Block

BACKLOG = 128


class Manner(StrEnum):
    """How a listener behaves: it serves, answers connections with a reset, or lets them wait for ever."""

    SERVE = "serve"
    REFUSE = "refuse"
    VANISH = "vanish"


class Server(Protocol):
    """What serves the connections of one listener; opened anew whenever it begins to serve."""

    async def close(self) -> None:
        """Stop listening and abort all connections."""


Open = Callable[[socket.socket], Awaitable[Server]]


class Listener:
    """One address and what answers there.

    Attributes:
        host, port: where it listens; they stay the same for its whole life.
        manner: how it behaves.

    """

    def __init__(self, block: Block, host: str, port: int, open_server: Open) -> None:
        self._block = block
        self._open = open_server
        self._server: Server | None = None
        # Bound and not listening: connections are refused, and nobody else gets the port.
        self._sockets = [block.bind(socket.SOCK_STREAM, host, port)]
        self.manner = Manner.REFUSE
        self.host, self.port = self._sockets[0].getsockname()

    async def behave(self, manner: Manner) -> None:
        """Change how it behaves; connections that are open are aborted."""
        if manner == self.manner:
            return
        if self.manner != Manner.REFUSE:
            await self._refuse()
        if manner == Manner.SERVE:
            self._server = await self._open(self._sockets.pop())
        elif manner == Manner.VANISH:
            self._vanish()
        self.manner = manner

    async def _refuse(self) -> None:
        await self.close()
        self.manner = Manner.REFUSE
        self._sockets = [self._block.bind(socket.SOCK_STREAM, self.host, self.port, is_exact=True)]

    def _vanish(self) -> None:
        """Let the queue of unaccepted connections be full: the kernel then drops every SYN (tcp(7), listen(2)).

        A queue of length 0 holds one connection; the second filler is there for kernels that hold one more.
        """
        self._sockets[0].listen(0)
        for _ in range(2):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((self.host, self.port))
            self._sockets.append(filler)

    async def close(self) -> None:
        """Stop, and give the port back."""
        if self._server is not None:
            await self._server.close()
            self._server = None
        for sock in self._sockets:
            sock.close()
        self._sockets = []


Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class StreamServer:
    """Serves connections by one coroutine each, bounded in number and time."""

    CONNECTIONS_MAX = 256

    def __init__(self, converse: Converse, limit_s: float = 30.0) -> None:
        self._converse = converse
        self._limit_s = limit_s
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, sock: socket.socket, converse: Converse) -> StreamServer:
        """Listen on a bound socket."""
        server = cls(converse)
        server._server = await asyncio.start_server(server._accept, sock=sock, backlog=BACKLOG)
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self.CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # a client that goes, dawdles or talks nonsense is its own affair
        finally:
            writer.close()

    async def close(self) -> None:
        """Stop listening and abort all connections."""
        if self._server is not None:
            self._server.close()
        for task, writer in self._tasks.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
