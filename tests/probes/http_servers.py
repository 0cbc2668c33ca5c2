"""Loopback HTTP and TLS servers, well-behaved and hostile, and certificates of every kind, for tests.

async with serve(reply(200, b"hello")) as server:
    found = await check(server.url)
    assert server.requests[0].method == "GET"
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from probes.kinds import http, tls
from probes.model import Context, Measurement, Resources

WELL_PAST = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@dataclass
class Received:
    """One request as the server saw it."""

    method: str
    target: str
    lines: list[tuple[str, str]]
    body: bytes
    server: Server

    def header(self, name: str) -> str | None:
        values = [value for line, value in self.lines if line.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


Script = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = bytes | Callable[[Received], bytes] | Script


@dataclass
class Server:
    """A running server and its log of the truth."""

    scheme: str
    host: str
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}/"

    async def drained(self) -> None:
        """Wait until the client has let go of every connection."""
        async with asyncio.timeout(5):
            while self.open:
                await asyncio.sleep(0.002)


def reply(status: int = 200, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Return a whole answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: int = 302, *headers: str) -> bytes:
    """Return a redirect."""
    return reply(status, b"elsewhere", f"Location: {location}", *headers)


def chunked(parts: Iterable[bytes], *headers: str) -> bytes:
    """Return an answer with a chunked body."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def then_wait(first: bytes) -> Script:
    """Send `first` and then nothing, keeping the connection open."""

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await reader.read()

    return script


def endless(first: bytes, more: bytes) -> Script:
    """Send `first`, then `more` until the client has gone."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()

    return script


def slowly(answer: bytes, piece: int = 1) -> Script:
    """Send an answer in pieces, each its own segment."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(answer), piece):
            writer.write(answer[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)

    return script


async def reset(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST."""
    linger(writer)
    writer.transport.abort()


def linger(writer: asyncio.StreamWriter) -> None:
    """Make the next close of this connection a RST (SO_LINGER of zero)."""
    import socket
    import struct

    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.asynccontextmanager
async def serve(
    answer: Answer, context: ssl.SSLContext | None = None, host: str = "127.0.0.1", reads: bool = True
) -> AsyncIterator[Server]:
    """Serve `answer` to every request (`reads`: after having read it) on a free port."""
    server = Server("https" if context else "http", host)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        try:
            request = await read_request(reader, server) if reads else Received("", "", [], b"", server)
            if reads:
                server.requests.append(request)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                outcome = answer(request, reader, writer) if _is_script(answer) else answer(request)  # type: ignore
                if isinstance(outcome, bytes):
                    writer.write(outcome)
                else:
                    await outcome
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            server.open -= 1

    listener = await asyncio.start_server(handle, host, 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.drained()


def _is_script(answer: Answer) -> bool:
    return callable(answer) and getattr(answer, "__code__", None) is not None and answer.__code__.co_argcount == 3


async def read_request(reader: asyncio.StreamReader, server: Server) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = head.split("\r\n")[:-2]
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    lines = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    length = next((int(value) for name, value in lines if name.lower() == "content-length"), 0)
    return Received(method, target, lines, await reader.readexactly(length), server)


@contextlib.asynccontextmanager
async def context(timeout_s: float = 5.0, resources: Resources | None = None) -> AsyncIterator[Context]:
    """Give what the runner would: a deadline, a stopwatch and resources, which are closed at the end."""
    own = resources or Resources()
    try:
        yield Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, own)
    finally:
        if resources is None:
            await own.aclose()


async def check(url: str, timeout_s: float = 5.0, **params: object) -> Measurement:
    """Run the kind `http` once."""
    async with context(timeout_s) as ctx, asyncio.timeout(timeout_s):
        return await http.run(http.HttpParams(url=url, **params), ctx)


async def check_tls(address: str, timeout_s: float = 5.0, **params: object) -> Measurement:
    """Run the kind `tls` once."""
    async with context(timeout_s) as ctx, asyncio.timeout(timeout_s):
        return await tls.run(tls.TlsParams(address=address, **params), ctx)


class Authority:
    """A certificate authority with its PEM file, and server contexts with certificates of every kind."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def server(
        self, *names: str, not_before: datetime.datetime | None = None, not_after: datetime.datetime | None = None
    ) -> ssl.SSLContext:
        """Return a context with a certificate for `names` (127.0.0.1, ::1 and localhost by default)."""
        made = self._ca.issue_cert(
            *(names or ("127.0.0.1", "::1", "localhost")), not_before=not_before, not_after=not_after
        )
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.configure_cert(served)
        return served

    def client(self, folder: Path, *, expired: bool = False) -> Path:
        """Write a client's certificate with its key into one PEM file and return it."""
        end = WELL_PAST if expired else None
        begin = WELL_PAST - datetime.timedelta(days=90) if expired else None
        made = self._ca.issue_cert("may-giam-sat", common_name="may-giam-sat", not_before=begin, not_after=end)
        file = folder / f"client-{'expired' if expired else 'good'}.pem"
        file.write_bytes(made.private_key_and_cert_chain_pem.bytes())
        return file

    def files(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """Write a server's certificate (with its chain) and its key, as programs want them."""
        made = self._ca.issue_cert(*(names or ("127.0.0.1", "localhost")))
        certificate, key = folder / "server.pem", folder / "server.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return certificate, key

    def expired(self) -> ssl.SSLContext:
        """Return a context whose certificate ended at WELL_PAST."""
        return self.server(not_before=WELL_PAST - datetime.timedelta(days=90), not_after=WELL_PAST)

    def through_intermediate(self) -> ssl.SSLContext:
        """Return a context that sends its certificate and an intermediate."""
        made = self._ca.create_child_ca().issue_cert("127.0.0.1")
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.configure_cert(served)
        return served

    def without_intermediate(self, folder: Path) -> ssl.SSLContext:
        """Return a context that sends its certificate alone, though an intermediate has signed it."""
        made = self._ca.create_child_ca().issue_cert("127.0.0.1")
        file = folder / "alone.pem"
        file.write_bytes(made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes())
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(file)
        return served
