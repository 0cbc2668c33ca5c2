"""Runs a probe kind as the runner does: with a deadline that cuts it off, and resources that are shared."""

from __future__ import annotations

import asyncio
import socket

from probes.model import Context, Measurement, Resources
from probes.packet_socket import PacketSocket
from probes.registry import find


async def measure(kind: str, resources: Resources, timeout_s: float = 3.0, **params: object) -> Measurement:
    """Run the kind once; raises TimeoutError if it is not done by its deadline."""
    probe = find(kind)
    context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources)
    async with asyncio.timeout_at(context.deadline):
        return await probe.run(probe.params(**params), context)


def shared_socket(resources: Resources, open_socket: object, family: socket.AddressFamily) -> PacketSocket:
    """The open socket of a kind and family."""
    return resources.get((open_socket, family), _not_open)


def _not_open() -> PacketSocket:
    message = "the probe has opened no socket"
    raise AssertionError(message)
