"""What comes from a peer over a stream, in the pieces that a protocol is made of, bounded before they have come."""

from __future__ import annotations

from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.tcp_stream import TcpStream

LINE_LIMIT_BYTES = 4096


class Intake:
    """Reads a stream by lengths or by lines.

    Attributes:
        left: how many bytes may still be taken; set it anew for each phase.

    """

    def __init__(self, stream: TcpStream, ctx: Context, left: int) -> None:
        self._stream = stream
        self._ctx = ctx
        self._buffer = bytearray()
        self.left = left

    @property
    def has_more(self) -> bool:
        """Whether bytes have come that nobody has asked for yet."""
        return bool(self._buffer)

    async def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises TroubleError: `protocol` for more than is allowed, `connection_closed` when the peer ends before.
        """
        if count > self.left:
            raise self._too_much(count)
        while len(self._buffer) < count:
            await self._more()
        return self._take(count)

    async def line(self) -> bytes:
        """Return the next line without its end (LF or CR LF).

        Raises TroubleError as `exactly` does; `protocol` for a line over LINE_LIMIT_BYTES.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > LINE_LIMIT_BYTES:
                raise TroubleError(Failure.PROTOCOL, f"the server's line has more than {LINE_LIMIT_BYTES} bytes")
            await self._more()
        if end + 1 > self.left:
            raise self._too_much(end + 1)
        return self._take(end + 1)[:-1].removesuffix(b"\r")

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.left -= count
        return taken

    async def _more(self) -> None:
        came = await self._stream.receive()
        if not came:
            where = self._ctx.phases.current
            raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
        self._buffer += came

    def _too_much(self, count: int) -> TroubleError:
        message = f"the server sends {count} bytes where at most {max(0, self.left)} are taken"
        return TroubleError(Failure.PROTOCOL, message)
