"""A cable between a STAMP sender and its reflector: delays each packet by its direction, and logs the truth."""

from __future__ import annotations

import heapq
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.responders import SO_TIMESTAMPNS

Delay = Callable[[int], float | None]
"""From a packet's place in its direction to the seconds that it is held, or None: it is lost."""


class Delayer:
    """Takes packets of one sender on `port` of loopback to a reflector on another port of it, and the answers back.

    Attributes:
        forward_s, backward_s: by packet, how long it was truly held: from the kernel's stamp to its sending.

    """

    def __init__(self, reflector_port: int, forward: Delay, backward: Delay) -> None:
        self._outside, self._inside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self._outside, self._inside):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self._inside.connect(("127.0.0.1", reflector_port))
        self.port = self._outside.getsockname()[1]
        self.forward_s: list[float] = []
        self.backward_s: list[float] = []
        self._plans = {self._outside: forward, self._inside: backward}
        self._seen = dict.fromkeys(self._plans, 0)
        self._sender: tuple[str, int] | None = None
        self._due: list[tuple[int, int, socket.socket, bytes, int]] = []
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Delayer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(10)
        for sock in self._plans:
            sock.close()
        os.close(self._stop)
        os.close(self._stopped)

    def _serve(self) -> None:
        while True:
            wait_s = max(0.0, (self._due[0][0] - time.time_ns()) / 1e9) if self._due else None
            readable, _, _ = select.select([*self._plans, self._stop], [], [], wait_s)
            if self._stop in readable:
                return
            for sock in readable:
                self._take(sock)
            while self._due and self._due[0][0] <= time.time_ns():
                self._pass_on(*heapq.heappop(self._due)[2:])

    def _take(self, sock: socket.socket) -> None:
        data, control, _, source = sock.recvmsg(65_600, 256)
        stamps = [struct.unpack("@ll", value) for _, kind, value in control if kind == SO_TIMESTAMPNS]
        arrived_ns = stamps[0][0] * 1_000_000_000 + stamps[0][1]
        if sock is self._outside:
            self._sender = source
        place = self._seen[sock]
        self._seen[sock] += 1
        delay_s = self._plans[sock](place)
        if delay_s is not None:
            heapq.heappush(self._due, (arrived_ns + int(delay_s * 1e9), place, sock, data, arrived_ns))

    def _pass_on(self, sock: socket.socket, data: bytes, arrived_ns: int) -> None:
        held_s = (time.time_ns() - arrived_ns) / 1e9
        if sock is self._outside:
            self.forward_s.append(held_s)
            self._inside.send(data)
        else:
            self.backward_s.append(held_s)
            self._outside.sendto(data, self._sender)
