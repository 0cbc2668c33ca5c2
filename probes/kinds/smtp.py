"""SMTP: whether a mail server greets, speaks TLS, lets us in and would take a message (RFC 5321, 3207, 4954).

    - probe: smtp
      address: mail.example.vn:587          # host:port; an IPv6 address in brackets
      tls: starttls
      username: giamsat
      password: ${env:MAIL_PASSWORD}
      mail_from: giamsat@example.vn
      rcpt_to: noc@example.vn
      degraded_when: ["greeting_s > 2.0", "cert.expires_in < duration('720h')", "size_max_bytes < 20000000.0"]

**No message is sent.** With `rcpt_to` the server is told from whom and to whom a message would be, and once it has
agreed, that is taken back (RSET). A server that keeps statistics of such visits, or slows them down, shows that in
`greeting_s` and `envelope_s`. `mail_from` is empty by default (`<>`, the sender of delivery reports), which needs no
mailbox; a server that takes mail only from those who logged in may want a real one.

**TLS.** `tls` is one of

| `tls` | meaning |
|---|---|
| `prefer` | STARTTLS where the server offers it; whoever sits in between can take the offer away |
| `starttls` | STARTTLS, or the check is down (`tls_required`) |
| `implicit` | TLS from the first byte, as on port 465 (RFC 8314) |
| `none` | no TLS |

The password is given only under TLS, by AUTH PLAIN or, where that is not offered, AUTH LOGIN.

**Down** it is, beside trouble with name, connection and TLS, when user or password are not taken, or a login is asked
for (`auth_rejected`); when the server turns us away, the sender or the recipient (`query_failed` with its code and its
words, such as `RCPT TO:<noc@example.vn>: 550 no such user`); and when what it says is not SMTP (`protocol`).

**Least privilege.** A mailbox of its own that may send to one address and receives nothing; without `username` none
at all.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from probes.model import Context, Measurement, Probe
from probes.smtp_session import Session
from probes.stream_kind import SAMPLES, Finding, StreamParams, farewell, lift, measure, open_stream
from probes.tls import CERT_FACTS

_MAILBOX = re.compile(r"[^\s<>\"@\x00-\x20\x7f-\U0010ffff]{1,64}@[^\s<>\"@\x00-\x20\x7f-\U0010ffff]{1,255}\Z")
"""A mailbox in its plain form (RFC 5321, section 4.1.2); nothing in it can end the command that it stands in."""


def _mailbox(value: str) -> str:
    if value and not _MAILBOX.match(value):
        message = f"{value[:80]!r} is not a mailbox: write name@domain, in ASCII"
        raise ValueError(message)
    return value


Mailbox = Annotated[str, AfterValidator(_mailbox)]


class SmtpParams(StreamParams):
    """Parameters of a visit to a mail server."""

    tls: Literal["prefer", "starttls", "implicit", "none"] = Field("prefer", description="when to speak TLS")
    mail_from: Mailbox = Field("", description="from whom a message would be; default: nobody, <>")
    rcpt_to: Mailbox = Field("", description="to whom a message would be; without it and mail_from, nobody is named")

    @model_validator(mode="after")
    def _has_tls_to_log_in(self) -> SmtpParams:
        if self.username and self.tls == "none":
            raise ValueError("a password is only given under TLS: set tls to starttls or implicit")
        return self


async def run(params: SmtpParams, ctx: Context) -> Measurement:
    """Visit the mail server as far as the parameters say, and leave."""

    async def speak(finding: Finding) -> None:
        stream = await open_stream(params, ctx)
        session = Session(stream, ctx)
        try:
            if params.tls == "implicit":
                await lift(stream, params, ctx, finding)
            finding.facts["banner"] = await session.greeting()
            await session.hello()
            if params.tls == "starttls" or (params.tls == "prefer" and "STARTTLS" in session.extensions):
                await session.ask_for_tls()
                await lift(stream, params, ctx, finding)
                await session.hello()
            if params.username:
                await session.login(params.username, params.password.get_secret_value())
            if params.mail_from or params.rcpt_to:
                await session.envelope(params.mail_from, params.rcpt_to)
            ctx.phases.end()
            await farewell(stream, b"QUIT\r\n", ctx)
        finally:
            _describe(session, finding)
            stream.close()

    return await measure(ctx, speak)


def _describe(session: Session, finding: Finding) -> None:
    extensions = session.extensions
    finding.facts["extensions"] = sorted(extensions)
    finding.facts["auth"] = extensions.get("AUTH", "").upper().split()
    finding.facts["tls_version"] = session.stream.tls.version if session.stream.tls else ""
    size = extensions.get("SIZE", "")
    if size.isascii() and size.isdigit() and len(size) <= 20 and int(size):  # 0 is no limit (RFC 1870, section 4)
        finding.samples["size_max_bytes"] = int(size)


PROBE = Probe(
    kind="smtp",
    params=SmtpParams,
    address="address",
    run=run,
    samples={
        **SAMPLES,
        "greeting_s": "from the connection (and TLS, if implicit) to the server's greeting, in seconds",
        "ehlo_s": "time of introducing ourselves, before and after STARTTLS, in seconds",
        "tls_s": "time of asking for TLS and of its handshake, in seconds",
        "envelope_s": "time until sender and recipient were taken, in seconds",
        "size_max_bytes": "the largest message that the server takes, in bytes (RFC 1870); absent without limit",
    },
    facts={"banner": "string", "extensions": "dyn", "auth": "dyn", "tls_version": "string", **CERT_FACTS},
    latency="greeting_s",
)
