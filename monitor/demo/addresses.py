"""Loopback addresses for the country: a block of 127.0.0.0/8 of its own, so that several countries can run at once.

Ports are the usual ones made high, so that addresses are easy to read; where one is taken the system chooses.
Where the system has no more of 127.0.0.0/8 than 127.0.0.1, everything stands there, on ports of its choice.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

BLOCKS: Final = range(84, 124)
"""Second numbers of addresses that a country may take: 127.84.0.0/16 is the first."""
CONTROL_PORT: Final = 8099
NEIGHBOURS: Final = 20
PORTS: Final = {"stamp": 8862, "http": 8080, "https": 8443, "mail": 8025, "dns": 8053, "postgresql": 5432}
_ONLY = "127.0.0.1"


class Block:
    """A block of addresses, held by a listening socket until it is closed.

    Attributes:
        control: the listening socket that holds it: where the simulation's own receiver of notifications stands.

    """

    def __init__(self) -> None:
        self.control, self._number = _hold()

    def address(self, third: int, fourth: int) -> str:
        """Return an address of the block."""
        return _ONLY if self._number is None else f"127.{self._number}.{third}.{fourth}"

    def bind(self, kind: socket.SocketKind, host: str, port: int, *, is_exact: bool = False) -> socket.socket:
        """Return a non-blocking socket bound to that port, or, unless `is_exact`, to another where it is taken.

        Raises OSError when it cannot be bound.
        """
        sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            # What a closed listener leaves behind (TIME_WAIT) must not keep the port from it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                sock.bind((host, port))
            except OSError as error:
                if is_exact or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                sock.bind((host, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Give the block back."""
        self.control.close()


def _hold() -> tuple[socket.socket, int | None]:
    for number in BLOCKS:
        try:
            return _listen(f"127.{number}.0.1", CONTROL_PORT), number
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                break
    return _listen(_ONLY, 0), None


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(64)
    except OSError:
        sock.close()
        raise
    return sock


def free_port(preferred: int) -> int:
    """Return the first port from `preferred` on that is free on 127.0.0.1, or one that the system chooses."""
    for port in (*range(preferred, preferred + NEIGHBOURS), 0):
        try:
            sock = _listen(_ONLY, port)
        except OSError:
            continue
        with sock:
            return int(sock.getsockname()[1])
    return preferred
