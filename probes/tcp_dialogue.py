"""A dialogue in lines over a TCP stream: expect, send, lift to TLS; all of it bounded.

The peer is an adversary. Patterns are RE2 (no pattern takes more than linear time on any text; google/re2, "Why
RE2"), through the CEL library that conditions use already; a step reads at most `STEP_LIMIT_BYTES` in at most
`STEP_LIMIT_LINES` lines, and a line is looked at `LINE_LIMIT_BYTES` at a time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure, Params
from probes.tcp_stream import TcpStream, last_moment

STEP_LIMIT_BYTES = 64 * 1024
STEP_LIMIT_LINES = 1000
LINE_LIMIT_BYTES = 4096
STEPS_LIMIT = 64
PATTERN_LIMIT = 1000

SHOWN_PATTERN, SHOWN_TEXT = 80, 160
"""Characters of a pattern and of what was read in a message."""

_LAST_REPLY_LINE = re.compile(rb"[2-5][0-9][0-9](?: |\r?\Z)")
"""Ends a reply of SMTP, FTP or NNTP: three digits without a hyphen after them (RFC 5321, section 4.2.1)."""

_REPLY_GOES_ON = re.compile(rb"[2-5][0-9][0-9]-")
"""A line of such a reply that others follow."""


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether the pattern is found in a text.

    Raises ValueError when it is no regular expression of RE2 (those of Go, Prometheus and CEL).
    """
    from cel_expr_python import cel  # noqa: PLC0415 - a plain connect needs no patterns

    if "\0" in pattern:
        raise ValueError("a pattern has no NUL: what cannot be shown is read as U+FFFD")
    environment = cel.NewEnv(variables={"line": cel.Type.STRING})
    # JSON's escapes are those of CEL's string literals, except for characters beyond the BMP: keep them as they are.
    program = environment.compile(f"line.matches({json.dumps(pattern, ensure_ascii=False)})")
    # An invalid pattern shows when it is first used.
    trial = program.eval(data={"line": ""})
    if trial.type() != cel.Type.BOOL:
        reason = str(trial.value()).removeprefix("INVALID_ARGUMENT: ").removeprefix("invalid regular expression: ")
        message = f"{pattern!r} is not a regular expression (RE2): {reason}"
        raise ValueError(message)

    def found(line: str) -> bool:
        return bool(program.eval(data={"line": line}).value())

    return found


def _checked(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class Step(Params):
    """One step of a dialogue: exactly one of the three."""

    expect: Annotated[str, Field(max_length=PATTERN_LIMIT), AfterValidator(_checked)] | None = Field(
        None, description="Read lines until one has this regular expression (RE2) in it."
    )
    send: str | None = Field(
        None,
        max_length=STEP_LIMIT_BYTES,
        repr=False,
        description="Send this text, with CR LF after it unless it ends in a line feed.",
    )
    starttls: Literal[True] | None = Field(None, description="true: begin TLS here (RFC 3207 and its like).")

    model_config = ConfigDict(str_strip_whitespace=False)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Step:
        given = (self.expect, self.send, self.starttls)
        if sum(value is not None for value in given) != 1:
            raise ValueError("a step is one of expect, send and starttls")
        return self

    @property
    def wire(self) -> bytes:
        """What `send` puts on the wire."""
        text = self.send or ""
        ending = "" if text.endswith("\n") else "\n" if text.endswith("\r") else "\r\n"
        return (text + ending).encode()


class Dialogue:
    """A dialogue on a stream.

    Attributes:
        banner: the first line that the peer sent, "" while there is none.
        matched: the lines that the `expect` steps found, in order.

    """

    def __init__(self, stream: TcpStream, ctx: Context, start_tls: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._ctx = ctx
        self._start_tls = start_tls
        self._buffer = b""
        self._sent: list[str] = []
        self._reply = b""  # code of the reply that the last match stood in, while its last line is still to come
        self.banner = ""
        self.matched: list[str] = []

    async def hold(self, steps: tuple[Step, ...]) -> None:
        """Take the steps in turn, in the phase `dialogue` (and `tls` where it begins).

        Raises TroubleError for anything but what was expected, OSError, ssl.SSLError.
        """
        self._ctx.phases.begin("dialogue")
        for step in steps:
            if step.expect is not None:
                await self._expect(step.expect)
            elif step.send is not None:
                self._sent.append(step.send.strip())
                await self._stream.send(step.wire)
            else:
                await self._lift()

    async def _lift(self) -> None:
        if self._buffer:
            # Taking it for an answer under TLS is how commands were injected (CVE-2011-0411).
            raise TroubleError(Failure.PROTOCOL, f"text before TLS began: {self._shown(self._buffer)}")
        await self._start_tls()
        self._ctx.phases.begin("dialogue")

    async def _expect(self, pattern: str) -> None:
        found, read = compile_pattern(pattern), bytearray()
        lines = 0
        while True:
            for raw in self._lines():
                text = _text(raw)
                self.banner = self.banner or text
                read += raw + b"\n"
                lines += 1
                if found(text):
                    self._reply = raw[:3] if _REPLY_GOES_ON.match(raw) else b""
                    self.matched.append(text)
                    return
                is_last = _LAST_REPLY_LINE.match(raw) is not None
                if is_last and raw[:3] == self._reply:
                    self._reply = b""
                    read.clear()
                elif is_last or lines >= STEP_LIMIT_LINES or len(read) >= STEP_LIMIT_BYTES:
                    raise self._mismatch(pattern, bytes(read))
            # A prompt ends in no line feed. What comes of its line after it has matched is read as the next one.
            if self._buffer and found(_text(self._buffer)):
                text, self._buffer = _text(self._buffer), b""
                self.banner = self.banner or text
                self.matched.append(text)
                return
            await self._read_on(pattern, bytes(read))

    def _lines(self) -> Iterator[bytes]:
        """Yield and consume the whole lines at hand, without their ends."""
        while True:
            line, feed, rest = self._buffer.partition(b"\n")
            if not feed and len(line) < LINE_LIMIT_BYTES:
                return
            if len(line) > LINE_LIMIT_BYTES:
                line, rest = self._buffer[:LINE_LIMIT_BYTES], self._buffer[LINE_LIMIT_BYTES:]
            self._buffer = rest
            yield line.removesuffix(b"\r")

    async def _read_on(self, pattern: str, read: bytes) -> None:
        seen = read + self._buffer
        try:
            # A peer that has answered, but not as expected, is not silent: that must be said before the runner's
            # own deadline says otherwise.
            async with asyncio.timeout_at(last_moment(self._ctx) if seen else None):
                came = await self._stream.receive()
        except OSError:
            if seen:
                raise self._mismatch(pattern, seen) from None
            raise
        if not came and seen:
            raise self._mismatch(pattern, seen)
        if not came:
            message = f"expected {_short(pattern)}, and the peer closed the connection"
            raise TroubleError(Failure.CONNECTION_CLOSED, message)
        self._buffer += came

    def _mismatch(self, pattern: str, read: bytes) -> TroubleError:
        return TroubleError(Failure.PROTOCOL, f"expected {_short(pattern)}, read {self._shown(read)}")

    def _shown(self, read: bytes) -> str:
        text = _text(read[: SHOWN_TEXT * 4])
        for sent in self._sent:
            if len(sent) >= 4:
                text = text.replace(sent, "…")  # a peer that echoes a password must not bring it into a message
        return f"'{plain_line(text, SHOWN_TEXT)}'"


def _short(pattern: str) -> str:
    shown = "".join(c if c.isprintable() else "�" for c in pattern[:SHOWN_PATTERN])
    return f"'{shown}{'…' if len(pattern) > SHOWN_PATTERN else ''}'"  # its spaces are part of it


def _text(raw: bytes) -> str:
    """Return what a peer sent as text: UTF-8, with U+FFFD for what is not, and for NUL, which RE2 in CEL ends at."""
    return raw.decode("utf-8", "replace").replace("\0", "�")
