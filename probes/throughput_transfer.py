"""Sending and receiving a test's payload, in a thread of its own: the event loop would stand still meanwhile.

A thread ends soon after it is told to, whatever its peer does: it waits `TICK_S` at most at a time. It owns its socket
and closes it. What is sent is random, so that nothing on the way can compress it; what is received is discarded in the
kernel (MSG_TRUNC, tcp(7)), uncopied. Little waits unsent in the send buffer, so that a slow link is not still emptying
it when the time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from probes.tcp_info import tcp_info
from probes.throughput_wire import Received, Sent

TICK_S: Final = 0.05
DRAIN_S: Final = 1.0
"""How long what is on its way at the end may take to arrive."""

BLOCK_BYTES: Final = 256 * 1024
UNSENT_MAX_BYTES: Final = 128 * 1024
_SAMPLE_S: Final = 0.05
_TCP_NOTSENT_LOWAT: Final = 25  # linux/tcp.h

T = TypeVar("T")


class Bounds(NamedTuple):
    """How long and how much is sent at the most."""

    duration_s: float
    bytes_max: int


@dataclass(slots=True, eq=False)
class Course:
    """How far a thread has come, and whether it shall end.

    Attributes:
        moved_bytes: payload that was sent or received so far.
        is_stopped: it shall end.

    """

    moved_bytes: int = 0
    is_stopped: bool = False


class Flood(Exception):  # noqa: N818 - it is not ours
    """The peer sent more than was agreed."""


Work = Callable[[socket.socket, Bounds, Course], T]


class Threads:
    """A bounded number of threads that send or receive."""

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="throughput")
        self._running: set[Course] = set()

    async def run(self, work: Work[T], sock: socket.socket, bounds: Bounds, course: Course) -> T:
        """Return what `work` gives; the socket is its own from now on. Raises what it raises."""
        self._running.add(course)

        def owning() -> T:
            with sock:
                return work(sock, bounds, course)

        future = self._pool.submit(owning)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._running.discard(course)
            course.is_stopped = True
            if future.cancel():
                sock.close()  # it never began

    def close(self) -> None:
        """Tell every thread to end."""
        for course in self._running:
            course.is_stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def send(sock: socket.socket, bounds: Bounds, course: Course) -> Sent:
    """Send payload within bounds, wait for it to arrive, and return what TCP says of it.

    Raises OSError.
    """
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES)
    sock.settimeout(TICK_S)
    block = memoryview(os.urandom(BLOCK_BYTES))
    meter = _Meter(sock)
    payload_bytes = 0
    end = time.monotonic() + bounds.duration_s
    while not course.is_stopped and payload_bytes < bounds.bytes_max and time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            payload_bytes += sock.send(block[: bounds.bytes_max - payload_bytes])
            course.moved_bytes = payload_bytes
        meter.look()
    sock.shutdown(socket.SHUT_WR)
    _drain(sock, course)
    return meter.sum_up(payload_bytes)


def receive(sock: socket.socket, bounds: Bounds, course: Course) -> Received:
    """Take payload until the peer has ended or should long have, and count it.

    Raises OSError, Flood beyond what was agreed.
    """
    sock.settimeout(TICK_S)
    room = bytearray(4 * BLOCK_BYTES)
    total = first_bytes = 0
    first = last = 0.0
    end = time.monotonic() + bounds.duration_s + DRAIN_S
    while not course.is_stopped and time.monotonic() < end:
        try:
            count = sock.recv_into(room, 0, socket.MSG_TRUNC)
        except TimeoutError:
            continue
        if not count:
            break
        last = time.monotonic()
        if not total:
            first, first_bytes = last, count
        total += count
        course.moved_bytes = total
        if total > bounds.bytes_max:
            raise Flood
    return Received(total, total - first_bytes, round((last - first) * 1e6))


class _Meter:
    """Looks at a sender's TCP now and then."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._next = time.monotonic() + _SAMPLE_S
        self._rtts_s: list[float] = []
        self._delivery_bps = 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SAMPLE_S
            info = tcp_info(self._sock)
            self._rtts_s.append(info.rtt_s)
            self._delivery_bps = max(self._delivery_bps, info.delivery_bps)

    def sum_up(self, payload_bytes: int) -> Sent:
        info = tcp_info(self._sock)
        rtt_s = sum(self._rtts_s) / len(self._rtts_s) if self._rtts_s else info.rtt_s
        return Sent(
            payload_bytes=payload_bytes,
            sent_bytes=info.sent_bytes,
            resent_bytes=info.resent_bytes,
            rtt_min_us=round(info.rtt_min_s * 1e6),
            rtt_loaded_us=round(rtt_s * 1e6),
            delivery_bps=round(max(self._delivery_bps, info.delivery_bps)),
            busy_us=round(info.busy_s * 1e6),
            receiver_limited_us=round(info.receiver_limited_s * 1e6),
            sender_limited_us=round(info.sender_limited_s * 1e6),
            mss_bytes=info.mss_bytes,
            mtu_bytes=info.mtu_bytes,
        )


def _drain(sock: socket.socket, course: Course) -> None:
    end = time.monotonic() + DRAIN_S
    while time.monotonic() < end and not course.is_stopped:
        info = tcp_info(sock)
        if not info.unacked and not info.unsent_bytes:
            return
        time.sleep(TICK_S / 10)
