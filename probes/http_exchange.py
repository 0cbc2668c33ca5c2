"""One request and its answer over one connection of its own.

The message is read by aiohttp's parser (llhttp), which is strict where requests could be smuggled and bounded in
the length of lines and the number of headers; what is around it (the connection, TLS, the phases, the limits) is
ours, because aiohttp's client costs two to three times as much per check (docs/decisions/0020-http-client.md).

The peer is an adversary. What bounds it:

- the header: `HEAD_LIMIT` bytes in all, `HEADERS_LIMIT` lines, `INTERIM_LIMIT` interim answers before it;
- the body: the limit on decoded bytes, and on what may come over the wire to carry them;
- time: the check's deadline, which cancels the waiting task and so closes the connection.

Bytes after the end of an answer are not part of it (RFC 9112, section 6.3) and are not looked at. An answer that
ends with its connection is complete also without TLS's own goodbye, which many servers do not say; one that
announced its length has to keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, LineTooLong

from probes.connection import Connection, Tunnel
from probes.failures import NETWORK_ERRORS, TroubleError, plain_line
from probes.http_body import Body, too_large
from probes.model import Failure, Phases
from probes.tls import TlsSession

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader
    from multidict import CIMultiDictProxy

HEAD_LIMIT = 65536
"""Bytes of an answer's header, interim answers included."""

HEADERS_LIMIT = 256
"""Lines of one header (and, together with it, of the trailer of a chunked body)."""

LINE_LIMIT = 16384
"""Bytes of one header line, and of the status line."""

INTERIM_LIMIT = 16
"""Interim answers (1xx) before the final one."""

_END_OF_HEAD = b"\r\n\r\n"
_STREAM_LIMIT = 1 << 24  # aiohttp's own flow control, which nothing here reaches: the stream is emptied at once


class _NoFlowControl:
    """What aiohttp's stream asks to stop reading: nobody, since every byte is taken out at once."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Do nothing."""


NO_FLOW_CONTROL = cast("BaseProtocol", _NoFlowControl())


@dataclass(frozen=True, slots=True)
class Head:
    """The header of a final answer.

    Attributes:
        status: three digits.
        version: 1.0, 1.1 or 2.0.
        fields: names and values as the parser read them: bytes that are not UTF-8 stand as lone surrogates.

    """

    status: int
    version: float
    fields: CIMultiDictProxy[str]

    def all(self, name: str) -> list[str]:
        """Return the values of all headers of that name; what is not UTF-8 in them is U+FFFD."""
        return [_characters(value) for value in self.fields.getall(name, ())]

    def first(self, name: str) -> str:
        """Return the first value of that name, "" when there is none."""
        return _characters(self.fields.get(name, ""))

    def map(self) -> dict[str, str]:
        """Return all headers by lower-case name; several of a name are joined (RFC 9110, section 5.3)."""
        joined: dict[str, str] = {}
        for field, value in self.fields.items():
            name, text = _characters(field).lower(), _characters(value)
            joined[name] = f"{joined[name]}, {text}" if name in joined else text
        return joined


def _characters(text: str) -> str:
    """Return text without lone surrogates, which neither CEL nor a file can hold."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Exchange(Connection):
    """Sends a request and takes the answer; `done` is set when it is complete.

    Args:
        phases: `first_byte` begins when the request has been written, `transfer` with the answer's first byte.
        secure: makes the TLS session, or None.
        request: the bytes to send.
        bodiless: the request is a HEAD: its answer has no body, whatever its header says.
        body_limit: decoded bytes of a body.
        skips_body: says of a header that its body is not wanted (a redirect that will be followed).
        tunnel: what has to be said to a proxy first, or None.

    Attributes:
        head: of the final answer, once it is there.
        content: the whole body, decoded; None before its end, and of an answer whose body was not wanted.

    """

    errors = (*NETWORK_ERRORS, HttpProcessingError)

    def __init__(
        self,
        phases: Phases,
        secure: Callable[[], TlsSession] | None,
        request: bytes,
        *,
        bodiless: bool,
        body_limit: int,
        skips_body: Callable[[Head], bool],
        tunnel: Tunnel | None = None,
    ) -> None:
        super().__init__(phases, secure, tunnel)
        self._request = request
        self._skips_body = skips_body
        self._body_limit = body_limit
        self._parser = HttpResponseParser(
            NO_FLOW_CONTROL,
            self.done.get_loop(),
            _STREAM_LIMIT,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=HEADERS_LIMIT,
            response_with_body=not bodiless,
            read_until_eof=True,
            auto_decompress=False,
        )
        self._stream: StreamReader | None = None
        self._body: Body | None = None
        self._bytes = 0
        self._interim = 0
        self.content: bytes | None = None
        self.head: Head | None = None

    @property
    def body_bytes(self) -> int:
        """Decoded bytes of the body so far."""
        return self._body.size if self._body is not None else 0

    def ready(self) -> None:
        """Send the request."""
        self.send(self._request)
        self.phases.begin("first_byte")

    def received(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        if not self._bytes:
            self.phases.begin("transfer")
        self._bytes += len(data)
        while data and self.head is None:
            data = self._take_head(data)
        if self.head is not None and not self.done.done():
            self._take_body(data)

    def ended(self) -> None:
        """Take the end of the connection: of the answer too, if that did not announce its length."""
        if self.head is None or self._stream is None:
            raise TroubleError(Failure.CONNECTION_CLOSED, self._cut_off())
        try:
            self._parser.feed_eof()
        except HttpProcessingError:
            raise TroubleError(Failure.CONNECTION_CLOSED, self._cut_off()) from None
        self._take_body(b"")
        if not self.done.done():
            raise TroubleError(Failure.CONNECTION_CLOSED, self._cut_off())

    def _take_head(self, data: bytes) -> bytes:
        """Feed the parser up to the end of a header, and return the rest.

        The parser forgets a message when bytes after it make no sense to it, so it must not see them with it.
        """
        end = data.find(_END_OF_HEAD)
        cut = end + len(_END_OF_HEAD) if end >= 0 else len(data)
        if self._bytes - (len(data) - cut) > HEAD_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"the header is longer than {HEAD_LIMIT} bytes")
        try:
            messages, _, _ = self._parser.feed_data(data[:cut])
        except HttpProcessingError as error:
            raise TroubleError(Failure.PROTOCOL, _not_http(error, data)) from None
        for message, stream in messages:
            self._take_message(message, stream)
        return data[cut:]

    def _take_message(self, message: RawResponseMessage, stream: StreamReader) -> None:
        if self.head is not None:
            return
        if message.code < 200 and message.code != 101:  # RFC 9110, section 15.2; after 101 it is not HTTP any more
            self._take_interim()
            return
        version = message.version.major + message.version.minor / 10
        self._stream = stream
        self._take_final(Head(message.code, version, message.headers), stream.is_eof())

    def _take_interim(self) -> None:
        self._interim += 1
        if self._interim > INTERIM_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"more than {INTERIM_LIMIT} interim answers")

    def _take_final(self, head: Head, is_whole: bool) -> None:
        """Take the final header, and make ready for the body, if there is one to come."""
        self.head = head
        if self._skips_body(head):
            self.finish()
            return
        announced = head.first("content-length")
        coding = ", ".join(head.all("content-encoding"))
        self._body = Body(self._body_limit, coding if not is_whole else "")
        if not coding and announced.isdecimal() and not is_whole and int(announced) > self._body_limit:
            raise too_large(self._body_limit)

    def _take_body(self, data: bytes) -> None:
        stream, body = cast("StreamReader", self._stream), cast("Body", self._body)
        broken: HttpProcessingError | None = None
        if data and not stream.is_eof():
            # Chunks of one byte make six of it; beyond that it is padding without end (RFC 9112, section 7.1.1).
            if self._bytes > HEAD_LIMIT + 8 * (self._body_limit + 1024):
                raise too_large(self._body_limit)
            try:
                self._parser.feed_data(data)
            except HttpProcessingError as error:
                broken = error
        plain = cast("Any", stream).read_nowait() if not stream.at_eof() else b""
        if plain:
            body.feed(plain)
        if stream.is_eof():
            self.content = body.finish()
            self.finish()
        elif broken is not None:
            raise TroubleError(Failure.PROTOCOL, f"the body is not framed as HTTP says: {_reason(broken)}")

    def _cut_off(self) -> str:
        if self.head is not None:
            return f"the peer closed the connection after {self.body_bytes} bytes of an unfinished body"
        return "the peer closed the connection " + (
            f"after {self._bytes} bytes of a header" if self._bytes else "without an answer"
        )


def _not_http(error: HttpProcessingError, data: bytes) -> str:
    if isinstance(error, LineTooLong):
        return f"a header line is longer than {LINE_LIMIT} bytes"
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":  # RFC 8446, section 5.1: an alert, a handshake
        return "the peer speaks TLS, not plain HTTP"
    if isinstance(error, BadStatusLine):
        return f"the answer is not HTTP/1: {plain_line(data[:40].decode('ascii', 'replace'))!r}"
    return f"the header is not as HTTP says: {_reason(error)}"


def _reason(error: HttpProcessingError) -> str:
    """Return the parser's reason; what follows its first line repeats the peer's bytes."""
    return plain_line(str(error.message).split("\n", 1)[0].rstrip(":"), 100)
