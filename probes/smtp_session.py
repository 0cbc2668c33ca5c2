"""A client's side of SMTP over a stream, up to the point where a message would be sent (RFC 5321)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.stream_intake import Intake
from probes.stream_kind import words
from probes.tcp_stream import TcpStream

SESSION_LIMIT_BYTES = 64 * 1024
REPLY_LIMIT_LINES = 100
EXTENSIONS_LIMIT = 64

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
"""A line of a reply (RFC 5321, section 4.2)."""

_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]{0,63}\Z")


class Reply(NamedTuple):
    """A server's reply: its code, and its lines without it, as they came."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def is_positive(self) -> bool:
        """Whether the server did what it was asked for, or wants to hear more of it."""
        return self.code < 400


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        ctx: of the run.
        extensions: what the server last said that it can do, keyword to parameters (RFC 5321, section 4.1.1.1).

    """

    stream: TcpStream
    ctx: Context
    extensions: dict[str, str] = field(default_factory=dict)
    _intake: Intake = field(init=False)
    _secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._intake = Intake(self.stream, self.ctx, SESSION_LIMIT_BYTES)

    async def greeting(self) -> str:
        """Return the server's first line, in the phase `greeting`. Raises TroubleError when it turns us away."""
        self.ctx.phases.begin("greeting")
        reply = await self.reply()
        self._expect(reply, "the greeting", Failure.QUERY_FAILED)
        return words(reply.lines[0], ())

    async def hello(self) -> None:
        """Introduce ourselves, in the phase `ehlo`, and learn what the server can do.

        A server that knows no EHLO is asked with HELO (RFC 5321, section 3.2): it has no extensions.
        """
        self.ctx.phases.begin("ehlo")
        number = self.stream.local_host.partition("%")[0]
        name = f"[IPv6:{number}]" if ":" in number else f"[{number}]"
        reply = await self.command(f"EHLO {name}")
        self.extensions = {}
        if reply.code in (500, 502, 504):
            self._expect(await self.command(f"HELO {name}"), "HELO", Failure.QUERY_FAILED)
            return
        self._expect(reply, "EHLO", Failure.QUERY_FAILED)
        for line in reply.lines[1 : 1 + EXTENSIONS_LIMIT]:
            keyword, _, parameters = words(line, ()).partition(" ")
            if _KEYWORD.match(keyword.upper()):
                self.extensions[keyword.upper()] = parameters.strip()

    async def ask_for_tls(self) -> None:
        """Have the server begin TLS (RFC 3207), in the phase `tls`.

        Raises TroubleError: `tls_required` when it does not, `protocol` for text that came before TLS began.
        """
        self.ctx.phases.begin("tls")
        if "STARTTLS" not in self.extensions:
            raise TroubleError(Failure.TLS_REQUIRED, "the server offers no STARTTLS")
        self._expect(await self.command("STARTTLS"), "STARTTLS", Failure.TLS_REQUIRED)
        if self._intake.has_more:
            # Taking it for an answer under TLS is how commands were injected (CVE-2011-0411).
            raise TroubleError(Failure.PROTOCOL, "the server, or somebody in between, sent text before TLS began")

    async def login(self, user: str, password: str) -> None:
        """Log in by PLAIN or LOGIN (RFC 4954), in the phase `login`; only under TLS.

        Raises TroubleError, `auth_rejected` when the server does not take user or password.
        """
        self.ctx.phases.begin("login")
        if self.stream.tls is None:
            raise TroubleError(Failure.TLS_REQUIRED, "the server speaks no TLS, without which no password is given")
        mechanisms = self.extensions.get("AUTH", "").upper().split()
        plain = self._secret(f"\0{user}\0{password}")
        self._secrets.append(password)
        if "PLAIN" in mechanisms:
            reply = await self.command(f"AUTH PLAIN {plain}")
        elif "LOGIN" in mechanisms:
            reply = await self.command("AUTH LOGIN")
            for text in (base64.b64encode(user.encode()).decode(), self._secret(password)):
                if reply.code != 334:
                    break
                reply = await self.command(text)
        else:
            offered = " ".join(mechanisms[:8]) or "none"
            raise TroubleError(Failure.PROTOCOL, f"the server offers no way to log in that is known: {offered}"[:200])
        self._expect(reply, "AUTH", Failure.AUTH_REJECTED if reply.code >= 500 else Failure.QUERY_FAILED)
        if reply.code != 235:
            raise TroubleError(Failure.PROTOCOL, f"the server answers AUTH with {reply.code}")

    async def envelope(self, sender: str, recipient: str) -> None:
        """Say from whom and to whom a message would be, in the phase `envelope`, and take it back (RSET).

        Raises TroubleError, `auth_rejected` when the server wants a login first, `query_failed` when it will not.
        """
        self.ctx.phases.begin("envelope")
        commands = [f"MAIL FROM:<{sender}>"] + ([f"RCPT TO:<{recipient}>"] if recipient else [])
        for command in commands:
            reply = await self.command(command)
            self._expect(reply, command, Failure.AUTH_REJECTED if reply.code == 530 else Failure.QUERY_FAILED)
        self._expect(await self.command("RSET"), "RSET", Failure.QUERY_FAILED)

    async def command(self, line: str) -> Reply:
        """Send a line and return the reply."""
        await self.stream.send(f"{line}\r\n".encode())
        return await self.reply()

    async def reply(self) -> Reply:
        """Return the server's next reply. Raises TroubleError (`protocol`) when it is not one."""
        lines: list[bytes] = []
        code = b""
        for _ in range(REPLY_LIMIT_LINES):
            line = await self._intake.line()
            match = _LINE.match(line)
            if match is None or code not in (b"", match[1]):
                raise TroubleError(Failure.PROTOCOL, f"this is not SMTP: '{words(line, self._secrets, 80)}'")
            code = match[1]
            lines.append(match[3] or b"")
            if match[2] != b"-":
                return Reply(int(code), tuple(lines))
        raise TroubleError(Failure.PROTOCOL, f"the server's reply has more than {REPLY_LIMIT_LINES} lines")

    def _expect(self, reply: Reply, what: str, otherwise: Failure) -> None:
        if not reply.is_positive:
            text = words(b" ".join(reply.lines), self._secrets)
            raise TroubleError(otherwise, f"{what[:100]}: {reply.code} {text}")

    def _secret(self, text: str) -> str:
        """Return Base64 of what must not come into a message, should the server repeat it."""
        encoded = base64.b64encode(text.encode()).decode()
        self._secrets.append(encoded)
        return encoded
