"""One request and its answer over HTTP/2, or over whichever version TLS agrees on (RFC 9113, section 3.2; RFC 7301).

To an https URL the version is agreed on by ALPN. To an http URL, HTTP/2 is spoken at once ("with prior knowledge",
section 3.3); the upgrade from HTTP/1.1 is obsolete and not used.
"""

from __future__ import annotations

from collections.abc import Callable

from multidict import CIMultiDict, CIMultiDictProxy

from probes.connection import Tunnel
from probes.failures import TroubleError
from probes.http2_stream import Http2Stream, Lines
from probes.http_exchange import HEADERS_LIMIT, Exchange, Head
from probes.http_request import HeaderLine, Request
from probes.model import Failure, Phases
from probes.tls import TlsSession


class NegotiatedExchange(Exchange):
    """An `Exchange` that speaks HTTP/2 where that is agreed on.

    Args:
        request, cookies, more: what to send, as `Request.lines` takes it.
        insists: HTTP/1.1 is refused, and HTTP/2 spoken also where nothing can be agreed on.

    """

    def __init__(
        self,
        phases: Phases,
        secure: Callable[[], TlsSession] | None,
        request: Request,
        cookies: str,
        more: tuple[HeaderLine, ...],
        *,
        insists: bool,
        body_limit: int,
        skips_body: Callable[[Head], bool],
        tunnel: Tunnel | None = None,
    ) -> None:
        super().__init__(
            phases,
            secure,
            request.encode(cookies, more),
            bodiless=request.method == "HEAD",
            body_limit=body_limit,
            skips_body=skips_body,
            tunnel=tunnel,
        )
        self._asked = request
        self._lines = request.lines(cookies, more)
        self._insists = insists
        self._http2: Http2Stream | None = None

    def ready(self) -> None:
        """Send the request, in the version that was agreed on."""
        agreed = self.session.alpn == "h2" if self.session is not None else self._insists
        if not agreed and self._insists:
            raise TroubleError(Failure.PROTOCOL, "the peer does not agree to HTTP/2 (ALPN)")
        if not agreed:
            super().ready()
            return
        host = next(value for name, value in self._lines if name.lower() == "host")
        pseudo = [
            (":method", self._asked.method),
            (":scheme", self._asked.url.scheme),
            (":authority", host),
            (":path", self._asked.url.raw_path_qs or "/"),
        ]
        lines = [line for line in self._lines if line[0].lower() != "host"]
        if self._asked.has_content:
            lines.append(("content-length", str(len(self._asked.body))))
        self._http2 = Http2Stream(self, self._body_limit)
        self._http2.start(pseudo, lines, self._asked.body)
        self.send(self._http2.outgoing())
        self.phases.begin("first_byte")

    def received(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        if self._http2 is None:
            super().received(data)
            return
        self._http2.receive(data)
        if not self.done.done():
            outgoing = self._http2.outgoing()
            if outgoing:
                self.send(outgoing)

    def ended(self) -> None:
        """Take the end of the connection: of HTTP/2, always too early."""
        if self._http2 is None:
            super().ended()
            return
        raise TroubleError(Failure.CONNECTION_CLOSED, self._cut_off())

    def take_header(self, lines: Lines, is_interim: bool, is_whole: bool) -> None:
        """Take a header list."""
        if not self._bytes:
            self.phases.begin("transfer")
        self._bytes += sum(len(name) + len(value) for name, value in lines)
        if is_interim:
            self._take_interim()
            return
        if len(lines) > HEADERS_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"the header has more than {HEADERS_LIMIT} lines")
        status = next((value for name, value in lines if name == ":status"), "")
        if not (status.isascii() and status.isdecimal() and len(status) == 3):
            raise TroubleError(Failure.PROTOCOL, "the answer has no status")
        fields = CIMultiDict(line for line in lines if not line[0].startswith(":"))
        self._take_final(Head(int(status), 2.0, CIMultiDictProxy(fields)), is_whole)

    def take_data(self, data: bytes) -> None:
        """Take bytes of the body."""
        if self._body is not None and not self.done.done():
            self._body.feed(data)

    def take_trailer(self, lines: Lines) -> None:
        """Drop it, as over HTTP/1.1."""

    def take_end(self) -> None:
        """Take the end of the answer."""
        if self._body is not None and not self.done.done():
            self.content = self._body.finish()
            self.finish()
