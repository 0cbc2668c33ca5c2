"""One request and its answer on an HTTP/2 connection of its own (RFC 9113), without I/O.

Frames, HPACK and flow control are those of the library h2. The peer is an adversary; what bounds it:

- header lists: 64 KiB decoded, whatever HPACK folds them into, and 64 CONTINUATION frames (CVE-2024-27316);
- frames of any kind: `FRAMES_LIMIT`, and one more for every KiB of the body that is allowed, since SETTINGS, PING,
  WINDOW_UPDATE, PRIORITY and empty DATA cost time without bringing anything (CVE-2019-9511 to 9518);
- bytes: as over HTTP/1.1;
- pushes: none is allowed, so the first one is an error (section 8.4);
- windows: what it does not let us send is waited for until the check's deadline and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack
import hyperframe.exceptions
from hyperframe.frame import Frame, GoAwayFrame

from probes.failures import TroubleError, plain_line
from probes.model import Failure

FRAMES_LIMIT = 2048
"""Frames of one answer, beside those that its body needs."""

HEADER_LIST_LIMIT = 65536
"""Bytes of one header list, decoded, as RFC 9113, section 6.5.2, counts them."""

LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    h2.exceptions.H2Error,
    hpack.HPACKError,
    hyperframe.exceptions.HyperframeError,
)

Lines = list[tuple[str, str]]

_SETTINGS = h2.settings.SettingCodes


class Listener(Protocol):
    """Who is told what the answer is made of, in order; what it raises ends the connection."""

    def take_header(self, lines: Lines, is_interim: bool, is_whole: bool) -> None:
        """Take a header list; `is_whole`: nothing comes after it."""

    def take_data(self, data: bytes) -> None:
        """Take bytes of the body."""

    def take_trailer(self, lines: Lines) -> None:
        """Take the header list after the body."""

    def take_end(self) -> None:
        """Take the end of the answer."""


class _Connection(h2.connection.H2Connection):
    """Lets a graceful GOAWAY pass: what was asked before it comes to its end (section 6.8), which h2 does not allow."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        if frame.error_code == h2.errors.ErrorCodes.NO_ERROR and frame.last_stream_id >= 1:
            return [], []
        return super()._receive_goaway_frame(frame)


class Http2Stream:
    """Speaks for the client: `start`, then `receive` whatever comes, and send what `outgoing` gives after each.

    Args:
        listener: who is told.
        body_limit: bytes of body that the answer may have; decides how many frames it may have.

    """

    def __init__(self, listener: Listener, body_limit: int) -> None:
        self._listener = listener
        self._frames = _FrameCount(FRAMES_LIMIT + body_limit // 1024)
        self._bytes_left = 2 * HEADER_LIST_LIMIT + 8 * (body_limit + 1024)
        self._body_limit = body_limit
        self._unsent = b""
        self._seen = self._has_header = False
        self._connection = _Connection(h2.config.H2Configuration(header_encoding=None))
        self._connection.local_settings = h2.settings.Settings(
            initial_values={
                _SETTINGS.ENABLE_PUSH: 0,
                _SETTINGS.MAX_HEADER_LIST_SIZE: HEADER_LIST_LIMIT,
            }
        )

    def start(self, pseudo: Iterable[tuple[str, str]], lines: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send the preface and the request: its pseudo-headers, its header, its body as far as the window allows."""
        header = [*pseudo, *((name.lower(), value) for name, value in lines)]
        self._connection.initiate_connection()
        self._connection.send_headers(1, [(name.encode(), value.encode()) for name, value in header], not body)
        self._unsent = body
        self._send_body()

    def outgoing(self) -> bytes:
        """Take what has to be sent to the peer."""
        return self._connection.data_to_send()

    def receive(self, data: bytes) -> None:
        """Take what the peer sent.

        Raises TroubleError: `protocol` for what is not HTTP/2 or goes beyond a limit, `connection_closed` where the
        peer ended the exchange, and what the listener raises.
        """
        if not self._seen and data.startswith(b"HTTP/1"):
            raise TroubleError(Failure.PROTOCOL, f"the answer is HTTP/1, not HTTP/2: {plain_line(_first_line(data))!r}")
        self._seen = True
        self._bytes_left -= len(data)
        if self._bytes_left < 0 and not self._has_header:
            raise TroubleError(Failure.PROTOCOL, f"the header is longer than {HEADER_LIST_LIMIT} bytes")
        if self._bytes_left < 0:
            raise TroubleError(Failure.BODY_TOO_LARGE, f"the body is larger than {self._body_limit} bytes")
        self._frames.add(data)
        try:
            events = self._connection.receive_data(data)
        except LIBRARY_ERRORS as error:
            reason = plain_line(str(error) or type(error).__name__, 120)
            raise TroubleError(Failure.PROTOCOL, f"the answer is not as HTTP/2 says: {reason}") from None
        for event in events:
            _HANDLERS.get(type(event), _ignore)(self, event)
        self._send_body()

    def _send_body(self) -> None:
        while self._unsent:
            room = min(
                self._connection.local_flow_control_window(1),
                self._connection.max_outbound_frame_size,
                len(self._unsent),
            )
            if room <= 0:
                return
            chunk, self._unsent = self._unsent[:room], self._unsent[room:]
            self._connection.send_data(1, chunk, end_stream=not self._unsent)

    def _header(self, event: h2.events.ResponseReceived | h2.events.InformationalResponseReceived) -> None:
        is_interim = isinstance(event, h2.events.InformationalResponseReceived)
        is_whole = not isinstance(event, h2.events.InformationalResponseReceived) and event.stream_ended is not None
        self._has_header = self._has_header or not is_interim
        self._listener.take_header(_text(event.headers), is_interim, is_whole)

    def _data(self, event: h2.events.DataReceived) -> None:
        if event.data:
            self._listener.take_data(event.data)
        # Beyond the end of its stream nothing is acknowledged: h2 has forgotten it.
        if event.flow_controlled_length and event.stream_ended is None:
            self._connection.acknowledge_received_data(event.flow_controlled_length, 1)

    def _trailer(self, event: h2.events.TrailersReceived) -> None:
        self._listener.take_trailer(_text(event.headers))

    def _end(self, _event: h2.events.StreamEnded) -> None:
        self._unsent = b""
        self._listener.take_end()

    def _reset(self, event: h2.events.StreamReset) -> None:
        self._unsent = b""
        raise TroubleError(Failure.CONNECTION_CLOSED, f"the peer broke the answer off ({_code(event.error_code)})")

    def _goodbye(self, event: h2.events.ConnectionTerminated) -> None:
        raise TroubleError(Failure.CONNECTION_CLOSED, f"the peer ended the connection ({_code(event.error_code)})")


_HANDLERS: dict[type[h2.events.Event], Callable[..., None]] = {
    h2.events.ResponseReceived: Http2Stream._header,
    h2.events.InformationalResponseReceived: Http2Stream._header,
    h2.events.DataReceived: Http2Stream._data,
    h2.events.TrailersReceived: Http2Stream._trailer,
    h2.events.StreamEnded: Http2Stream._end,
    h2.events.StreamReset: Http2Stream._reset,
    h2.events.ConnectionTerminated: Http2Stream._goodbye,
}


def _ignore(_stream: Http2Stream, _event: h2.events.Event) -> None:
    """SETTINGS, PING and the like are answered by h2 itself."""


class _FrameCount:
    """Counts frames by their headers (RFC 9113, section 4.1), before anything is done about them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = 0
        self._header = b""
        self._payload_left = 0

    def add(self, data: bytes) -> None:
        position, end = 0, len(data)
        while position < end:
            if self._payload_left:
                step = min(self._payload_left, end - position)
                self._payload_left -= step
                position += step
                continue
            missing = 9 - len(self._header)
            self._header += data[position : position + missing]
            position += missing
            if len(self._header) == 9:
                self._payload_left = int.from_bytes(self._header[:3], "big")
                self._header = b""
                self._seen += 1
        if self._seen > self._limit:
            raise TroubleError(Failure.PROTOCOL, f"the answer has more than {self._limit} frames")


def _text(headers: Iterable[tuple[bytes, bytes]]) -> Lines:
    """Return lines as text: bytes that are not UTF-8 stand as lone surrogates, as `Head` has them."""
    return [
        (bytes(name).decode("utf-8", "surrogateescape"), bytes(value).decode("utf-8", "surrogateescape"))
        for name, value in headers
    ]


def _code(code: object) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else plain_line(str(code), 20)


def _first_line(data: bytes) -> str:
    return data[:60].split(b"\r\n", 1)[0].decode("ascii", "replace")
