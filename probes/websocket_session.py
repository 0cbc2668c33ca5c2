"""The client's side of one WebSocket: handshake, ping, dialogue, goodbye (RFC 6455), over a connection of its own.

The peer is an adversary: its header is bounded by `HEAD_LIMIT`, a message by `MESSAGE_LIMIT`, frames by their number,
and what it sends while something else is awaited is dropped.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError

from probes import websocket_frames as frames
from probes.connection import Connection
from probes.failures import NETWORK_ERRORS, TroubleError, plain_line
from probes.http_exchange import HEAD_LIMIT, HEADERS_LIMIT, LINE_LIMIT, NO_FLOW_CONTROL
from probes.http_request import Request
from probes.model import Failure, Phases
from probes.tls import TlsSession

if TYPE_CHECKING:
    from aiohttp.http import RawResponseMessage

MESSAGE_LIMIT = 256 * 1024
"""Bytes of one message."""

WAITING_LIMIT = 1000
"""Messages that wait to be looked at; what comes beyond them is dropped."""

_END_OF_HEAD = b"\r\n\r\n"
_NORMAL = (1000).to_bytes(2, "big")  # section 7.4.1: normal closure


class WebSocket(Connection):
    """A WebSocket; `done` is set, to an exception at the latest when the peer ends it.

    Args:
        request: the handshake's, without what belongs to the handshake itself.
        subprotocols: what to offer (section 1.9), in order of preference.

    Attributes:
        upgraded: set once the handshake has come to its end.
        status: of the handshake's answer, 0 before it.
        subprotocol: what was agreed on, "" for none.
        close_code: what the peer closed with, 0 while it has not.

    """

    errors = (*NETWORK_ERRORS, HttpProcessingError)

    def __init__(
        self, phases: Phases, secure: Callable[[], TlsSession] | None, request: Request, subprotocols: tuple[str, ...]
    ) -> None:
        super().__init__(phases, secure)
        loop = self.done.get_loop()
        self._key = frames.new_key()
        self._offered = subprotocols
        self._request = request
        self._parser = HttpResponseParser(
            NO_FLOW_CONTROL, loop, 1 << 16, LINE_LIMIT, HEADERS_LIMIT, LINE_LIMIT, response_with_body=False
        )
        self._head_bytes = 0
        self._frames = frames.Frames(MESSAGE_LIMIT)
        self._messages: deque[frames.Message] = deque(maxlen=WAITING_LIMIT)
        self._news: asyncio.Future[None] | None = None
        self._ping = b""
        self._pong_at = 0.0
        self._is_leaving = False
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.subprotocol = ""
        self.close_code = 0

    def ready(self) -> None:
        """Ask for the upgrade (section 4.1)."""
        more = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", self._key)]
        if self._offered:
            more.append(("Sec-WebSocket-Protocol", ", ".join(self._offered)))
        header = self._request.encode(more=tuple(more)).replace(
            b"Connection: close\r\n\r\n", b"Connection: Upgrade\r\n\r\n"
        )
        self.send(header)
        self.phases.begin("upgrade")

    def received(self, data: bytes) -> None:
        """Take the rest of the handshake, then frames."""
        if not self.upgraded.done():
            end = data.find(_END_OF_HEAD)
            cut = end + len(_END_OF_HEAD) if end >= 0 else len(data)
            self._head_bytes += cut
            if self._head_bytes > HEAD_LIMIT:
                raise TroubleError(Failure.PROTOCOL, f"the header is longer than {HEAD_LIMIT} bytes")
            self._take_head(data[:cut])
            data = data[cut:]
        if data and self.upgraded.done():
            self._take_frames(data)

    def ended(self) -> None:
        """Take the end of the connection, which is too early unless we said goodbye."""
        if self.close_code:
            raise self._closed()
        where = "" if self.upgraded.done() else " before the handshake was done"
        raise TroubleError(Failure.CONNECTION_CLOSED, f"the peer closed the connection{where}")

    async def ping(self) -> float:
        """Return the time from a ping to its pong (section 5.5.3), in seconds."""
        self._ping, self._pong_at = os.urandom(8), 0.0
        began = perf_counter()
        self.send(frames.encode(frames.PING, self._ping))
        while not self._pong_at:
            await self._wait()
        return self._pong_at - began

    async def message(self) -> frames.Message:
        """Return the next text or binary message."""
        while not self._messages:
            await self._wait()
        return self._messages.popleft()

    def say(self, text: str) -> None:
        """Send a text message."""
        self.send(frames.encode(frames.TEXT, text.encode()))

    async def goodbye(self) -> None:
        """Close in order (section 7.1.2), and wait for the peer to do the same; it need not."""
        self._is_leaving = True
        self.send(frames.encode(frames.CLOSE, _NORMAL))
        while not self.close_code:
            await self._wait()
        self.finish()

    async def _wait(self) -> None:
        """Wait for news from the peer. Raises what ended the connection."""
        if self.close_code and not self._is_leaving:
            raise self._closed()
        self._news = self.done.get_loop().create_future()
        await asyncio.wait((self._news, self.done), return_when=asyncio.FIRST_COMPLETED)
        if self.done.done() and not self._news.done():
            self.done.result()
            raise EOFError

    def _closed(self) -> TroubleError:
        return TroubleError(Failure.CONNECTION_CLOSED, f"the peer closed the WebSocket (code {self.close_code})")

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _take_head(self, data: bytes) -> None:
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError:
            shown = plain_line(data[:40].decode("ascii", "replace"))
            raise TroubleError(Failure.PROTOCOL, f"the answer is not HTTP/1: {shown!r}") from None
        for message, _stream in messages:
            self._take_answer(message)

    def _take_answer(self, message: RawResponseMessage) -> None:
        """Hold the server to section 4.1, "the client MUST validate the server's response"."""
        if 100 <= message.code < 200 and message.code != 101:
            return
        self.status = message.code
        if message.code in (401, 403):
            raise TroubleError(Failure.AUTH_REJECTED, f"the handshake was refused (status = {message.code})")
        if message.code != 101:
            raise TroubleError(Failure.HTTP_STATUS, f"the handshake was refused (status = {message.code})")
        fields = message.headers
        tokens = [token.strip().lower() for token in ",".join(fields.getall("connection", ())).split(",")]
        if fields.get("upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
            raise TroubleError(Failure.PROTOCOL, "the answer upgrades to something else than WebSocket")
        if fields.get("sec-websocket-accept", "").strip() != frames.accept_of(self._key):
            raise TroubleError(Failure.PROTOCOL, "the answer has the wrong Sec-WebSocket-Accept: it is not for us")
        self.subprotocol = fields.get("sec-websocket-protocol", "").strip()
        if self.subprotocol and self.subprotocol not in self._offered:
            shown = plain_line(self.subprotocol, 60)
            raise TroubleError(Failure.PROTOCOL, f"the peer chose a subprotocol that was not offered: {shown!r}")
        if "sec-websocket-extensions" in fields:
            raise TroubleError(Failure.PROTOCOL, "the peer agrees to an extension that was not offered")
        self.phases.end()
        self.upgraded.set_result(None)

    def _take_frames(self, data: bytes) -> None:
        for kind, payload in self._frames.receive(data):
            if kind == frames.PING:
                self.send(frames.encode(frames.PONG, payload))
            elif kind == frames.PONG:
                self._pong_at = perf_counter() if payload == self._ping else self._pong_at
            elif kind == frames.CLOSE:
                self.close_code = frames.close_code(payload)
            else:
                self._messages.append(frames.Message(kind, payload))
            self._wake()
