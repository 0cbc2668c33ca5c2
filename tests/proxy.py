"""A way to a server that can be cut: the client sees its connections break, the server sees nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Forwards 127.0.0.1:`port` to a port, until it is cut.

    Attributes:
        is_cut: nobody gets through.

    """

    def __init__(self, to_port: int) -> None:
        self.is_cut = False
        self.port = 0
        self._to_port = to_port
        self._clients: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Break all connections, on the client's side alone, and take no more."""
        self.is_cut = True
        for writer in self._clients:
            writer.transport.abort()

    def mend(self) -> None:
        """Take connections again; those that were cut stay so."""
        self.is_cut = False

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._clients.add(writer)
        self._servers.append(back)
        await asyncio.gather(self._forward(reader, back), self._forward(there, writer))
        self._clients.discard(writer)
        if not self.is_cut:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.is_cut:
                    return
                writer.write(data)
                await writer.drain()
            if not self.is_cut and writer.can_write_eof():
                writer.write_eof()

    def close(self) -> None:
        """Break everything, on both sides."""
        self.cut()
        for writer in self._servers:
            writer.transport.abort()


@asynccontextmanager
async def proxy(to_port: int) -> AsyncIterator[Proxy]:
    """Give a proxy to a port of 127.0.0.1."""
    way = Proxy(to_port)
    server = await asyncio.start_server(way.take, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        way.close()
        server.close()
        await server.wait_closed()
