"""The far end of a channel: a STAMP reflector (RFC 8762) at the end of a simulated cable.

The cable's delay is real: an answer leaves as much later as the packet would have been under way. What the timer
adds to that is reported as time that the reflector held the packet (T3 − T2), which a sender takes off: so the
round-trip time that is measured is the simulated one, however busy this process is.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable

from monitor.demo.script import Effect
from monitor.demo.weather import Channel

QUESTION_MIN_BYTES = 44
"""An unauthenticated session-sender packet (RFC 8762, section 4.2.1)."""
DATAGRAM_MAX_BYTES = 2048
PENDING_MAX = 512
"""Packets under way at once; beyond it the channel loses them, as a full queue does."""
READS_MAX = 32
NTP_UNIX_S = 2_208_988_800
"""From 1900, where NTP's time begins, to 1970 (RFC 5905, section 6)."""
ERROR_ESTIMATE = 0x0001
"""Not synchronised, NTP format, scale 0, multiplier 1 (RFC 4656, section 4.1.2)."""
_SO_TIMESTAMPNS, _IP_RECVTTL = 35, 12
"""Linux's numbers (asm-generic/socket.h, linux/in.h); Python has no names for them."""
_ANSWER = struct.Struct("!I8sHH8sI8sHHB3x")


def ntp(time_ns: int) -> bytes:
    """Return a time since the Unix epoch as NTP's 64 bits (RFC 5905, section 6)."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return struct.pack("!II", (seconds + NTP_UNIX_S) & 0xFFFFFFFF, (rest_ns << 32) // 1_000_000_000)


def answer(question: bytes, received_ns: int, sent_ns: int, ttl: int) -> bytes:
    """Return the reflection of a session-sender packet, of the same length (RFC 8762, section 4.3.1).

    The reflector keeps no state: its sequence number is the sender's. The session's number (RFC 8972, section 3) and
    what is behind the base packet come back as they were.
    """
    sequence, sender_time, sender_error, session = struct.unpack_from("!I8sHH", question)
    base = _ANSWER.pack(
        sequence, ntp(sent_ns), ERROR_ESTIMATE, session, ntp(received_ns), sequence, sender_time, sender_error, 0, ttl
    )
    return base + question[QUESTION_MIN_BYTES:]


class Reflector:
    """Answers on a bound socket.

    Attributes:
        received, lost, answered: packets so far; what is not yet answered is under way.

    """

    def __init__(
        self, sock: socket.socket, weather: Channel, effect: Callable[[], Effect], script_s: Callable[[], float]
    ) -> None:
        self._socket = sock
        self._weather = weather
        self._effect = effect
        self._script_s = script_s
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self.received = self.lost = self.answered = 0
        _ask_for_control(sock)
        self._loop.add_reader(sock.fileno(), self._read)

    def _read(self) -> None:
        for _ in range(READS_MAX):
            try:
                data, control, _flags, source = self._socket.recvmsg(DATAGRAM_MAX_BYTES, 128)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error about an earlier answer
            self.received += 1
            if len(data) >= QUESTION_MIN_BYTES and len(self._timers) < PENDING_MAX:
                self._carry(data, source, *_arrival(control))
            else:
                self.lost += 1

    def _carry(self, data: bytes, source: tuple[str, int], arrived_ns: int, ttl: int) -> None:
        effect, script_s = self._effect(), self._script_s()
        if effect.cut or self._weather.loses(effect.loss_ratio):
            self.lost += 1
            return
        there_s, back_s = (self._weather.one_way_s(script_s) + effect.detour_s / 2 for _ in range(2))
        wait_s = there_s + back_s - (time.time_ns() - arrived_ns) / 1e9
        handle: asyncio.TimerHandle
        received_ns, back_ns = arrived_ns + round(there_s * 1e9), round(back_s * 1e9)

        def send() -> None:
            self._timers.discard(handle)
            self._send(data, source, received_ns, back_ns, ttl)

        handle = self._loop.call_later(max(0.0, wait_s), send)
        self._timers.add(handle)

    def _send(self, data: bytes, source: tuple[str, int], received_ns: int, back_ns: int, ttl: int) -> None:
        # The timer's clock may run a little ahead of the wall's: T3 never comes before T2.
        sent_ns = max(received_ns, time.time_ns() - back_ns)
        try:
            self._socket.sendto(answer(data, received_ns, sent_ns, ttl), source)
        except OSError:
            self.lost += 1
        else:
            self.answered += 1

    def close(self) -> None:
        """Stop answering; what is under way is lost."""
        self._loop.remove_reader(self._socket.fileno())
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._socket.close()


def _ask_for_control(sock: socket.socket) -> None:
    """Ask Linux for its own receive time and the TTL with each packet; elsewhere our own clock has to do."""
    if sys.platform == "linux":
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def _arrival(control: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Return when a packet arrived and with which TTL, from what came with it."""
    arrived_ns, ttl = time.time_ns(), 255
    for level, kind, value in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) == 16:
            seconds, rest_ns = struct.unpack("@qq", value)
            arrived_ns = seconds * 1_000_000_000 + rest_ns
        elif level == socket.IPPROTO_IP and kind == socket.IP_TTL and len(value) >= 4:
            ttl = struct.unpack_from("@i", value)[0] & 0xFF
    return arrived_ns, ttl
