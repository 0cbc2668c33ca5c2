"""CPU per HTTP check: aiohttp's client against the probe, on the same server, each with a new connection per check.

    python benchmarks/http_client.py [checks] [--tls]

Prints one JSON object a line. The server runs in a process of its own; only the client's CPU time counts.
Behind docs/decisions/0020-http-client.md.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import trustme
import uvloop

from probes.kinds.http import HttpParams, run
from probes.model import Context, Resources

BODY = b'{"status": "UP", "pad": "' + b"x" * 300 + b'"}'
ANSWER = b"\r\n".join(
    (
        b"HTTP/1.1 200 OK",
        b"Server: nginx/1.24.0",
        b"Date: Thu, 01 Oct 2026 00:00:00 GMT",
        b"Content-Type: application/json; charset=utf-8",
        b"Content-Length: %d" % len(BODY),
        b"Connection: close",
        b"X-Request-Id: 0123456789abcdef",
        b"Cache-Control: no-store",
        b"",
        BODY,
    )
)
CONCURRENCY = 8
ROUNDS = 3


class Service(asyncio.Protocol):
    """Answers every request with ANSWER and closes."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)
        self.transport.close()


def serve(ports, certificate):
    async def main():
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0, ssl=context, backlog=1024)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def with_client(url: str, ca_file: Path) -> Callable[[], Awaitable[int]]:
    """Ask by aiohttp's client, with the tracing that the phases need."""

    async def mark(*_event):
        time.perf_counter()

    trace = aiohttp.TraceConfig()
    for signal in (
        trace.on_request_start,
        trace.on_connection_create_start,
        trace.on_connection_create_end,
        trace.on_request_headers_sent,
        trace.on_response_chunk_received,
        trace.on_request_end,
    ):
        signal.append(mark)
    tls = ssl.create_default_context(cafile=str(ca_file))
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0, ssl=tls),
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
    )

    async def ask() -> int:
        async with session.get(url) as response:
            await response.read()
            return response.status

    return ask


async def with_probe(url: str, ca_file: Path) -> Callable[[], Awaitable[int]]:
    """Ask by the probe kind, all that it does included."""
    params = HttpParams(url=url, ca_file=ca_file)
    resources = Resources()
    loop = asyncio.get_running_loop()

    async def ask() -> int:
        measurement = await run(params, Context(5.0, loop.time() + 5.0, resources))
        return int(measurement.samples["status"])

    return ask


async def cpu_us(prepare: Callable[..., Awaitable[Callable[[], Awaitable[int]]]], checks: int, *arguments) -> float:
    ask = await prepare(*arguments)

    async def worker(count: int) -> None:
        for _ in range(count):
            if await ask() != 200:
                raise SystemExit("the server did not answer as it should")

    await worker(100)
    gc.collect()
    before = time.process_time()
    await asyncio.gather(*(worker(checks // CONCURRENCY) for _ in range(CONCURRENCY)))
    return (time.process_time() - before) / checks * 1e6


def main() -> None:
    tls = "--tls" in sys.argv
    checks = int(next((word for word in sys.argv[1:] if word.isdecimal()), 8000))
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(f"{folder}/ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(f"{folder}/server.pem")
        ports: multiprocessing.Queue[int] = multiprocessing.Queue()
        arguments = (ports, f"{folder}/server.pem" if tls else "")
        server = multiprocessing.Process(target=serve, args=arguments, daemon=True)
        server.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{ports.get()}/health"
        for prepare in (with_client, with_probe) * ROUNDS:
            figure = uvloop.run(cpu_us(prepare, checks, url, Path(folder, "ca.pem")))
            print(json.dumps({"bench": prepare.__name__, "scheme": url[:5].rstrip(":"), "cpu_us": round(figure, 1)}))
        server.terminate()


if __name__ == "__main__":
    main()
