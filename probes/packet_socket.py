"""One socket for all checks of a kind and family: sends their packets, reads what comes back in batches.

The rules:

1. The kernel stamps arrivals (`SO_TIMESTAMPNS`), so that reading late is free. Arrivals are read on the tick of the
   timetable, a batch at a time; waking for each would cost more than it does to read it. The send stamp is taken right
   before the system call. Both were measured: docs/decisions/0010-packet-time-stamps.md.
2. An answer belongs to a packet when it repeats its key and comes from the host and port that was asked.
   Everything else is counted in `ignored` and forgotten.
3. Each tick reads a bounded number of datagrams, so that a flood cannot hold the loop.
4. What is due is only given up after everything that had already arrived was read: a late loop loses no packet.
5. When arrivals had to be dropped or left unread because this process was too slow, what was lost meanwhile is
   `internal`: nobody knows whose packets they were.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from probes.failures import OS_FAILURES
from probes.model import Failure
from probes.packet_flight import Flight, Stamp, Trouble, round_trip_ns
from probes.packet_timetable import Timetable

SO_TIMESTAMPNS: Final = 35
"""Linux's SO_TIMESTAMPNS_OLD (asm-generic/socket.h), which is also the type of its control message."""

SO_MEMINFO: Final = 55
"""Linux: figures of a socket's memory; the last of nine is how many datagrams were dropped for want of it."""

MSG_ERRQUEUE: Final = socket.MSG_ERRQUEUE
DATAGRAM_MAX: Final = 65_536
CONTROL_MAX: Final = 256
RECEIVE_BUFFER_BYTES: Final = 8 * 1024 * 1024
READS_PER_TICK: Final = 1024
GRACE_S: Final = 0.015
"""How long a flight outstays its end when a flood keeps arrivals unread; within the probe's own margin."""


OVERRUN: Final = "this host could not keep up with what it received"

_TIMESPEC: Final = struct.Struct("@ll")
_MEMINFO: Final = struct.Struct("@9I")
_EXTENDED_ERROR: Final = struct.Struct("@IBBBBII")  # struct sock_extended_err, linux/errqueue.h
_ORIGIN_ICMP: Final = (2, 3)
_RECVERR: Final = {  # linux/in.h, linux/in6.h; each is also the type of its control message
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_RETRY: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EINTR})

Control = Sequence[tuple[int, int, bytes]]


class PacketSocket(ABC):
    """A shared, unconnected, non-blocking datagram socket and the flights that use it.

    Attributes:
        ignored: datagrams that belonged to no packet: forged, garbled, or later than their flight.

    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._timetable = Timetable(self._loop, self._turn)
        self._waiting: dict[bytes, tuple[Flight, int]] = {}
        self._by_host: dict[str, dict[Flight, None]] = {}
        self._buffer = bytearray(DATAGRAM_MAX)
        self._view = memoryview(self._buffer)
        self.ignored = 0
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        enlarge_receive_buffer(sock)

    # -- what a protocol says ------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, flight: Flight, index: int) -> bytes:
        """Return packet `index` of the flight, having added its key and number to the flight."""

    @abstractmethod
    def decode(self, data: memoryview, control: Control, source: tuple[Any, ...], received_ns: int) -> None:
        """Look at a datagram: call `answered` or `reported`, or count it as ignored."""

    @abstractmethod
    def decode_error(self, data: memoryview, control: Control, destination: tuple[Any, ...]) -> None:
        """Look at one entry of the socket's error queue (only with IP_RECVERR)."""

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel has dropped for want of buffer."""
        return dropped_by(self._sock)

    # -- what a probe does ---------------------------------------------------------------------------------------

    async def fly(self, flight: Flight) -> None:
        """Send the flight's packets and return when each is answered, reported or given up."""
        flight.done = self._loop.create_future()
        if not self._by_host:
            self._read()  # nobody has read while nothing was on its way
        dropped = self.dropped
        flights = self._by_host.setdefault(flight.destination[0], {})
        flights[flight] = None
        try:
            self._send(flight)
            self._plan(flight)
            await flight.done
        finally:
            self._timetable.remove(flight)
            for key in flight.keys:
                self._waiting.pop(key, None)
            del flights[flight]
            if not flights:
                self._by_host.pop(flight.destination[0], None)
        if flight.answered < flight.count and self.dropped != dropped:
            self._doubt(flight)

    def close(self) -> None:
        """Close the socket; whoever still waits for a flight is cancelled, for there is nothing to report."""
        self._timetable.close()
        self._sock.close()
        for flights in self._by_host.values():
            for flight in flights:
                if flight.done is not None:
                    flight.done.cancel()

    # -- for the protocols ---------------------------------------------------------------------------------------

    def answered(
        self, key: bytes, source: tuple[Any, ...], received_ns: int, ttl: int | None, less_ns: int = 0
    ) -> Flight | None:
        """Match an answer; return its flight when it counts, None (and count it) when it does not.

        `less_ns` is the time that the far end says it held the packet, to be taken off unless it cannot be true.
        """
        waiting = self._waiting.get(key)
        if waiting is None or waiting[0].destination[:2] != source[:2]:
            self.ignored += 1
            return None
        flight, index = waiting
        now = Stamp(time.monotonic_ns(), time.time_ns())
        round_trip = round_trip_ns(flight.stamps[index], received_ns, now)
        held_ns = less_ns if 0 < less_ns <= round_trip else 0
        counts = flight.take(index, (round_trip - held_ns) / 1e9, ttl)
        if counts and held_ns:
            flight.held_ns.append(held_ns)
        self._progress(flight)
        return flight if counts else None

    def reported(self, flight: Flight, index: int, trouble: Trouble) -> None:
        """Take a report from the network that a packet did not arrive."""
        flight.report(index, trouble)
        self._progress(flight)

    def flights_to(self, host: str) -> list[Flight]:
        """Return the flights on their way to a host."""
        return list(self._by_host.get(host, ()))

    def packet_of(self, key: bytes) -> tuple[Flight, int] | None:
        """Return the flight and index of the packet with that key, if it is on its way."""
        return self._waiting.get(key)

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, flight: Flight) -> None:
        index = flight.launched
        packet = self.encode(flight, index)
        flight.send_at = self._loop.time()
        stamp, error = self._transmit(packet, flight.destination)
        if error is not None:
            # On a shared socket the first error may be about another packet, and wait to be read.
            self._read_errors()
            stamp, error = self._transmit(packet, flight.destination)
        if error is not None and error.errno in _RETRY:
            flight.keys.pop()
            flight.numbers.pop()
            return
        flight.stamps.append(stamp)
        self._waiting[flight.keys[index]] = (flight, index)
        if error is not None:
            code = error.errno or 0
            failure = OS_FAILURES.get(code, Failure.INTERNAL)
            flight.unsent += 1
            flight.report(index, Trouble(failure, f"could not send: {os.strerror(code).lower()}"))

    def _transmit(self, packet: bytes, destination: tuple[Any, ...]) -> tuple[Stamp, OSError | None]:
        monotonic_ns = time.monotonic_ns()
        wall_ns = time.time_ns()  # nothing may come between this and the system call
        try:
            self._sock.sendto(packet, destination)
        except OSError as error:
            return Stamp(monotonic_ns, wall_ns), error
        return Stamp(monotonic_ns, wall_ns), None

    def _plan(self, flight: Flight) -> None:
        if flight.is_settled:
            _finish(flight)
        elif flight.launched < flight.count:
            now = self._loop.time()
            # Packets that a late loop has held up are not made up for in a burst.
            self._timetable.put(flight, min(max(flight.send_at + flight.spacing_s, now), flight.end))
        else:
            self._timetable.put(flight, flight.closes_at())

    def _progress(self, flight: Flight) -> None:
        if flight.is_settled:
            _finish(flight)
        elif flight.launched == flight.count > 1:
            self._timetable.put(flight, flight.closes_at())

    def _turn(self, due: list[Flight]) -> None:
        is_drained = self._read()
        now = self._loop.time()
        for flight in due:
            if flight.done is None or flight.done.done():
                continue
            if now >= flight.end or (flight.launched == flight.count and now >= flight.closes_at()):
                self._give_up(flight, now, is_drained)
                continue
            if flight.launched < flight.count:
                self._send(flight)
            self._plan(flight)

    def _give_up(self, flight: Flight, now: float, is_drained: bool) -> None:
        if is_drained:
            _finish(flight)
        elif now < flight.end + GRACE_S:
            self._timetable.put(flight, now)
        else:
            self._doubt(flight)
            _finish(flight)

    def _doubt(self, flight: Flight) -> None:
        doubt = Trouble(Failure.INTERNAL, OVERRUN)
        for index in range(flight.launched):
            flight.report(index, doubt)

    # -- receiving -----------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Read what has arrived, up to a limit; say whether that was all."""
        for _ in range(READS_PER_TICK):
            try:
                length, control, _, source = self._sock.recvmsg_into([self._buffer], CONTROL_MAX)
            except BlockingIOError:
                return True
            except OSError:
                # An ICMP error about an earlier packet; its particulars are in the error queue.
                self._read_errors()
                continue
            self.decode(self._view[:length], control, source, received_ns(control))
        return False

    def _read_errors(self) -> None:
        for _ in range(READS_PER_TICK):
            try:
                length, control, _, destination = self._sock.recvmsg_into([self._buffer], 512, MSG_ERRQUEUE)
            except OSError:
                return
            self.decode_error(self._view[:length], control, destination)


def dropped_by(sock: socket.socket) -> int:
    """Return how many datagrams for a socket the kernel has dropped for want of buffer."""
    return _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))[-1]  # type: ignore[no-any-return]


def received_ns(control: Control) -> int:
    """Return the kernel's receive stamp in nanoseconds of wall-clock time, 0 where there is none."""
    for level, kind, value in control:
        if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return seconds * 1_000_000_000 + nanoseconds  # type: ignore[no-any-return]
    return 0


def ask_for_reports(sock: socket.socket) -> None:
    """Have ICMP errors about the socket's packets put into its error queue."""
    sock.setsockopt(*_RECVERR[socket.AddressFamily(sock.family)], 1)


def reports_in(control: Control) -> list[tuple[int, int]]:
    """Return the ICMP type and code of each report that came with an entry of the error queue."""
    found = []
    for level, kind, value in control:
        if (level, kind) in _RECVERR.values() and len(value) >= _EXTENDED_ERROR.size:
            _, origin, icmp_type, icmp_code, *_ = _EXTENDED_ERROR.unpack_from(value)
            if origin in _ORIGIN_ICMP:
                found.append((icmp_type, icmp_code))
    return found


def enlarge_receive_buffer(sock: socket.socket) -> None:
    """Ask for a receive buffer that holds what arrives while the loop is busy elsewhere."""
    so_rcvbufforce = 33  # beyond net.core.rmem_max, for those with CAP_NET_ADMIN
    try:
        sock.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, RECEIVE_BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _finish(flight: Flight) -> None:
    if flight.done is not None and not flight.done.done():
        flight.done.set_result(None)
