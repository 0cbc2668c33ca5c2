"""Loopback servers that behave, misbehave, or say nothing, for kinds that speak over a TCP stream."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from alerts.model import Result, State
from monitor.oneshot import prepare, run_once
from probes import registry
from probes.model import Context, Failure, Measurement, Resources

SLACK_S = 0.3
"""What a test allows beyond a time-out: the product's 0.1 s, and a machine that is busy with other tests."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve `handler` on a free port and yield the port; its connections end with the block."""
    tasks: set[asyncio.Task[Any]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, EOFError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(accepted, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take everything and say nothing."""
    while await reader.read(65536):
        pass


def saying(data: bytes, *, then_close: bool = False) -> Handler:
    """Return a handler that says `data`, and then closes or stays."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.write_eof()
        await silent(reader, writer)

    return handler


def refusing_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def measure(kind: str, address: str, timeout_s: float = 5.0, **parameters: Any) -> Measurement:
    """Run a kind's probe once, without the runner around it: for its facts."""
    job = prepare(kind, address, parameters, timeout_s)
    resources = Resources()
    try:
        context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources)
        async with asyncio.timeout(timeout_s + 5):  # no runner stops it: a server that falls silent must fail the test
            return await registry.find(kind).run(job.params, context)
    finally:
        await resources.aclose()


async def checked(kind: str, address: str, timeout_s: float = 10.0, **parameters: Any) -> Result:
    """Run a kind's check once, with the runner around it."""
    return await run_once(prepare(kind, address, parameters, timeout_s), "test")


async def awaited(
    kind: str, condition: Callable[[Measurement], bool], address: str, within_s: float = 20.0, **parameters: Any
) -> Measurement:
    """Measure again and again until a measurement is as wanted."""
    deadline = time.monotonic() + within_s
    while True:
        found = await measure(kind, address, timeout_s=10.0, **parameters)
        if condition(found):
            return found
        assert time.monotonic() < deadline, found
        # InnoDB shows a cached state to whoever asks again within 0.1 s, and renews it for nobody who keeps asking.
        await asyncio.sleep(0.15)


def assert_silent(result: Result, timeout_s: float, phase: str) -> None:
    """C10: the check ended with its time, down, and names the phase that it died in."""
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {timeout_s} s in {phase}"
    assert timeout_s <= result.duration_s < timeout_s + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.5 * timeout_s
