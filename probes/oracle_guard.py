"""What stands between an Oracle listener and the driver: our own stream on one side, loopback on the other.

python-oracledb believes the lengths that it reads. A packet of length 0 makes it (26.1, thin mode) allocate memory in
an endless loop that no deadline stops, since it never comes back to the event loop. So the driver sees only packets
whose frames are sound, and no more than LIMIT_BYTES of them; and connecting and TLS are ours, with phases of their own.

A packet has a header of eight octets: its length (two octets, four once the listener has accepted a protocol of 315 or
later), a kind and flags (the layout is that of the driver's own source, which Oracle publishes).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from probes.failures import NETWORK_ERRORS, TroubleError, plain_line
from probes.model import Failure
from probes.tcp_stream import PIECE_BYTES, TcpStream

PACKET_LIMIT_BYTES = 64 * 1024
LIMIT_BYTES = 4 * 1024 * 1024

_HEADER_BYTES = 8
_ACCEPT, _REDIRECT, _RESEND, _KINDS = 2, 5, 11, range(1, 20)
_TLS_ANEW = 0x08
_WIDE_LENGTHS = 315


class Frames:
    """Lets whole packets through whose frames are sound."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = LIMIT_BYTES
        self._is_wide = False
        self.wants_tls_anew = False

    def feed(self, data: bytes) -> bytes:
        """Take what came and return the whole packets in it. Raises TroubleError."""
        self._buffer += data
        self._left -= len(data)
        if self._left < 0:
            raise TroubleError(Failure.BODY_TOO_LARGE, f"the server sends more than {LIMIT_BYTES} bytes")
        whole = bytearray()
        while len(self._buffer) >= _HEADER_BYTES and not self.wants_tls_anew:
            length = int.from_bytes(self._buffer[: 4 if self._is_wide else 2], "big")
            if not _HEADER_BYTES <= length <= PACKET_LIMIT_BYTES or self._buffer[4] not in _KINDS:
                shown = plain_line(bytes(self._buffer[:40]).decode("ascii", "replace"), 60)
                raise TroubleError(Failure.PROTOCOL, f"this is not Oracle: '{shown}'")
            if len(self._buffer) < length:
                break
            whole += self._look_at(self._buffer[:length])
            del self._buffer[:length]
        return bytes(whole)

    def _look_at(self, packet: bytearray) -> bytearray:
        if packet[4] == _REDIRECT:
            message = "the listener redirects to another node: write a check for the listener of each node"
            raise TroubleError(Failure.QUERY_FAILED, message)
        if packet[4] == _ACCEPT:
            self._is_wide = int.from_bytes(packet[8:10], "big") >= _WIDE_LENGTHS
        if packet[4] == _RESEND and packet[5] & _TLS_ANEW:
            packet[5] &= ~_TLS_ANEW
            self.wants_tls_anew = True
        return packet


class Guard:
    """Relays between the stream and the one connection that the driver makes to `port`.

    Args:
        stream: connected, TLS and all.
        start_tls: begins TLS on it anew, which a server may ask for.

    Attributes:
        port: of 127.0.0.1, for the driver.
        trouble: why it stopped, None while it has not.

    """

    def __init__(self, stream: TcpStream, start_tls: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._start_tls = start_tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.trouble: Exception | None = None

    async def open(self) -> None:
        """Wait for the driver."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=PIECE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End both sides at once; the directions let go of the stream before it is closed."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stream.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is not None:
            self._server.close()  # nobody else
        for work in (self._carry_up(reader), self._carry_down(writer)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry_up(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(*NETWORK_ERRORS):  # the other direction says what befell
            while data := await reader.read(PIECE_BYTES):
                await self._stream.send(data)

    async def _carry_down(self, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        try:
            while data := await self._stream.receive():
                writer.write(frames.feed(data))
                if frames.wants_tls_anew:
                    self._stream.tls, frames.wants_tls_anew = None, False
                    await self._start_tls()
                await writer.drain()
        except NETWORK_ERRORS as error:
            self.trouble = error
        finally:
            writer.transport.abort()
