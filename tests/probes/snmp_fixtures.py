"""Several runs of a check with what a process keeps between them, and agents that lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from monitor.oneshot import prepare
from probes import registry
from probes.model import Context, Measurement, Resources
from tests.snmpd import PASSWORD, USERS


class Process:
    """What one process keeps, to run checks with again and again."""

    def __init__(self) -> None:
        self.resources = Resources()

    async def measure(self, kind: str, address: str, timeout_s: float = 5.0, **parameters: Any) -> Measurement:
        """Run a kind's probe once."""
        job = prepare(kind, address, parameters, timeout_s)
        context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, self.resources)
        return await registry.find(kind).run(job.params, context)


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    """Yield a process, and let go what it keeps."""
    kept = Process()
    try:
        yield kept
    finally:
        await kept.resources.aclose()


def login_of(user: str, **other: str) -> dict[str, str]:
    """Return the parameters that log a user in."""
    found = {"user": user}
    if USERS[user]:
        found |= {"auth": user, "auth_password": PASSWORD}
    if "AES" in USERS[user]:
        found |= {"privacy": "aes128", "privacy_password": PASSWORD}
    return {**found, **other}


Reply = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def agent(reply: Reply) -> AsyncIterator[str]:
    """Answer each datagram with what `reply` makes of it, and yield the address."""

    class Agent(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, sender):
            for answer in reply(data):
                self.transport.sendto(answer, sender)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Agent, ("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
