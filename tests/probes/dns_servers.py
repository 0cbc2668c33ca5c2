"""A name server on loopback whose every octet the test decides; messages are built here by hand, not by the product."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

POINTER_TO_QUESTION = b"\xc0\x0c"
Reply = Callable[[bytes], Sequence[bytes]]


def wire(name: str) -> bytes:
    """Return a name on the wire."""
    return b"".join(bytes((len(label),)) + label.encode() for label in name.strip(".").split(".") if label) + b"\0"


def record(type_: int, data: bytes, owner: bytes = POINTER_TO_QUESTION, ttl_s: int = 300) -> bytes:
    """Return a record of class IN."""
    return owner + struct.pack(">HHIH", type_, 1, ttl_s, len(data)) + data


def a(address: str, owner: bytes = POINTER_TO_QUESTION, ttl_s: int = 300) -> bytes:
    """Return an A record."""
    return record(1, socket.inet_aton(address), owner, ttl_s)


def question_of(query: bytes) -> bytes:
    """Return the question section of a query."""
    end = query.index(b"\0", 12) + 5
    return query[12:end]


def answer(
    query: bytes,
    *records: bytes,
    rcode: int = 0,
    flags: int = 0x8180,
    authorities: Sequence[bytes] = (),
    additional: Sequence[bytes] = (),
) -> bytes:
    """Return the message that answers `query`."""
    counts = (1, len(records), len(authorities), len(additional))
    sections = b"".join((*records, *authorities, *additional))
    return query[:2] + struct.pack(">5H", flags | rcode, *counts) + question_of(query) + sections


def always(*records: bytes, **options: object) -> Reply:
    """Return a reply that answers every query with these records."""
    return lambda query: [answer(query, *records, **options)]  # type: ignore[arg-type]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply, queries: list[bytes]) -> None:
        self.reply, self.queries = reply, queries

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.queries.append(data)
        for message in self.reply(data):
            self.transport.sendto(message, addr)  # type: ignore[attr-defined]


class NameServer:
    """A running name server.

    Attributes:
        address: `host:port`, the same port for UDP and TCP.
        udp, tcp: the queries that came.

    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.udp: list[bytes] = []
        self.tcp: list[bytes] = []


@asynccontextmanager
async def name_server(reply: Reply, tcp: Reply | None = None, host: str = "127.0.0.1") -> AsyncIterator[NameServer]:
    """Serve `reply` over UDP, and `tcp` (default: the same) over TCP."""
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            query = await reader.readexactly(length)
            server.tcp.append(query)
            for message in (tcp or reply)(query):
                writer.write(message if tcp else len(message).to_bytes(2, "big") + message)
            await reader.read()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(accepted, host, 0)
    port = listener.sockets[0].getsockname()[1]
    server = NameServer(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(reply, server.udp), local_addr=(host, port))
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
