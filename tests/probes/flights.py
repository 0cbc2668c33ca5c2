"""Runs a probe kind much as the runner does: with a deadline, resources that are shared, and an end to patience."""

from __future__ import annotations

import asyncio
import socket

from probes.model import Context, Measurement, Resources
from probes.packet_socket import PacketSocket
from probes.registry import find


async def measure(kind: str, resources: Resources, timeout_s: float = 3.0, **params: object) -> Measurement:
    """Run the kind once; raises TimeoutError if it is not done within its time-out and 0.1 s (DESIGN, section 8)."""
    probe = find(kind)
    context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources)
    async with asyncio.timeout_at(context.deadline + 0.1):
        return await probe.run(probe.params(**params), context)


def shared_socket(resources: Resources, open_socket: object, family: socket.AddressFamily) -> PacketSocket:
    """The open socket of a kind and family."""
    return resources.get((open_socket, family), _not_open)


def _not_open() -> PacketSocket:
    message = "the probe has opened no socket"
    raise AssertionError(message)
