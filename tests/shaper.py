"""A cable with a rate, a queue and a delay of each direction, in user space, between `client` and `server` (TUN).

Each end is a namespace with the interface `cable`: 10.9.0.1 is the client's, 10.9.0.2 the server's. It needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.topologies import Network, network

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLIENT, SERVER = "10.9.0.1", "10.9.0.2"
PACKET_MAX = 2048


class Shape(NamedTuple):
    """One direction: bits of IP packets per second, bytes that may queue, and seconds on the way."""

    rate_bps: float
    queue_bytes: int
    delay_s: float = 0.0


@dataclass
class Direction:
    """One direction's queue, and what was true of it: packets and bytes delivered, packets dropped."""

    shape: Shape
    source: int
    sink: int
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_at: float = 0.0
    delivered: int = 0
    delivered_bytes: int = 0
    dropped: int = 0

    def take(self, packet: bytes, now: float) -> None:
        start = max(now, self.free_at)
        if (start - now) * self.shape.rate_bps / 8 > self.shape.queue_bytes:
            self.dropped += 1
            return
        self.free_at = start + len(packet) * 8 / self.shape.rate_bps
        self.queue.append((self.free_at + self.shape.delay_s, packet))

    def deliver(self, now: float) -> None:
        while self.queue and self.queue[0][0] <= now:
            packet = self.queue.popleft()[1]
            with contextlib.suppress(OSError):
                os.write(self.sink, packet)
            self.delivered += 1
            self.delivered_bytes += len(packet)


class Cable:
    """The thread that carries packets; `forward` is to the server."""

    def __init__(self, client: int, server: int, forward: Shape, backward: Shape) -> None:
        self.forward = Direction(forward, client, server)
        self.backward = Direction(backward, server, client)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(10)
        for descriptor in (self._stop, self._stopped, self.forward.source, self.backward.source):
            os.close(descriptor)

    def _carry(self) -> None:
        directions = (self.forward, self.backward)
        while True:
            due = min((way.queue[0][0] for way in directions if way.queue), default=None)
            wait_s = None if due is None else max(0.0, due - time.monotonic())
            readable, _, _ = select.select([self._stop, *(way.source for way in directions)], [], [], wait_s)
            if self._stop in readable:
                return
            now = time.monotonic()
            for way in directions:
                way.deliver(now)
                if way.source in readable:
                    way.take(os.read(way.source, PACKET_MAX), now)


@contextlib.contextmanager
def cable(forward: Shape, backward: Shape) -> Iterator[tuple[Network, Cable]]:
    """Lay a cable between two namespaces."""
    with network() as made:
        made.add("client", "server")
        ends = []
        for node, address in (("client", CLIENT), ("server", SERVER)):
            with made.inside(node):
                ends.append(_open_tun())
            made.ip(node, f"addr add {address}/24 dev cable", "link set cable up")
        laid = Cable(ends[0], ends[1], forward, backward)
        try:
            yield made, laid
        finally:
            laid.close()


def _open_tun() -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("@16sH22x", b"cable", IFF_TUN | IFF_NO_PI))
    return descriptor
