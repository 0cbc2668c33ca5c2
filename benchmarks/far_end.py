"""The other end of the benchmarks: an HTTP and a TCP listener that cost little, in a process of their own.

Prints one JSON line with the ports, then serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Http(asyncio.Protocol):
    """Answers anything that ends a header block, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if b"\r\n\r\n" in self._read:
            self._transport.write(ANSWER)
            self._transport.close()


class Tcp(asyncio.Protocol):
    """Accepts, and waits for the other side to close."""


async def main() -> None:
    loop = asyncio.get_running_loop()
    http = await loop.create_server(Http, "127.0.0.1", 0, backlog=4096)
    tcp = await loop.create_server(Tcp, "127.0.0.1", 0, backlog=4096)
    ports = {"http": http.sockets[0].getsockname()[1], "tcp": tcp.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
