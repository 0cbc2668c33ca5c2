"""A WebSocket: the handshake, a ping, and a dialogue if one is configured (RFC 6455).

    - probe: websocket
      url: wss://thongbao.example/su-kien
      subprotocols: [json.v1]
      dialogue: [{send: '{"op": "ping"}'}, {expect: '"op": ?"pong"'}]
      degraded_when: ["ping_s > 0.5", "cert.expires_in < duration('720h')"]

Each check opens a new connection. Phases: `resolve`, `connect`, `tls`, `upgrade` (the handshake), `ping`, `dialogue`,
`close`. `expect` waits for a message in which its regular expression (RE2) is found; others are passed over.

The check is down when the handshake is refused (`http_status` with the status; `auth_rejected` for 401 and 403), when
the answer does not prove that the peer has understood it (`protocol`: Accept, Upgrade, a subprotocol that was not
offered), when `require_subprotocol` is set and none was agreed on, when the peer closes (`connection_closed` with
its code), and when the time is up before the pong or the expected message.

A goodbye that the peer does not return within a second does no harm. `headers` and `bearer_token` are sent with the
handshake alone; redirects are not followed (section 4.1 leaves that to the client).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from probes.connection import connect
from probes.failures import TroubleError, classify, plain_line
from probes.http_request import Request, check_headers, web_url
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.resolver import resolve
from probes.tcp_address import ServerName
from probes.tcp_dialogue import PATTERN_LIMIT, STEP_LIMIT_BYTES, compile_pattern
from probes.tcp_facts import StreamFacts
from probes.tcp_stream import last_moment
from probes.tls import CERT_FACTS, CERT_SAMPLES, TlsSession, Trust, context_for, sni_name
from probes.websocket_session import WebSocket

GOODBYE_S = 1.0
"""How long the peer has to return a goodbye."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")  # RFC 9110, section 5.6.2


def _pattern(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class WebSocketStep(Params):
    """One step of a dialogue: exactly one of the two."""

    model_config = ConfigDict(str_strip_whitespace=False)

    expect: Annotated[str, Field(max_length=PATTERN_LIMIT), AfterValidator(_pattern)] | None = Field(
        None, description="Wait for a message that has this regular expression (RE2) in it."
    )
    send: str | None = Field(None, max_length=STEP_LIMIT_BYTES, repr=False, description="Send this text as a message.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> WebSocketStep:
        if (self.expect is None) == (self.send is None):
            raise ValueError("a step is one of expect and send")
        return self


class WebSocketParams(Params):
    """Parameters of `websocket`."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    url: str = Field(description="Where to connect: an absolute ws or wss URL, without credentials in it.")
    subprotocols: tuple[str, ...] = Field((), max_length=20, description="Subprotocols to offer, the best first.")
    require_subprotocol: bool = Field(False, description="Whether one of them has to be agreed on.")
    dialogue: tuple[WebSocketStep, ...] = Field((), max_length=64, description="Messages to send and to expect.")
    ping: bool = Field(True, description="Whether a ping is sent and its pong awaited.")
    headers: Mapping[str, str] = Field(
        default={}, repr=False, description="Headers of the handshake, such as Origin; never shown."
    )
    bearer_token: SecretStr | None = Field(None, description="Token (RFC 6750).")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: Path | None = Field(
        None, description="PEM file of the only authorities to trust, instead of the system's."
    )
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    client_cert_file: Path | None = Field(
        None, description="PEM file of our own certificate, its intermediates, and its key unless that stands apart."
    )
    client_key_file: Path | None = Field(None, description="PEM file of our own certificate's key, not encrypted.")
    ip_version: Literal[4, 6] | None = Field(None, description="Internet Protocol version to use, either by default.")

    _plan: tuple[Request, Trust] = PrivateAttr()

    @field_validator("url")
    @classmethod
    def _ws_url(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if scheme.lower() not in ("ws", "wss") or not separator:
            raise ValueError("the URL is none of ws://… and wss://…")
        if "@" in re.split("[/?#]", rest, maxsplit=1)[0]:
            raise ValueError("credentials do not belong in the URL: use bearer_token or headers")
        web_url(f"http{scheme[2:].lower()}://{rest}")
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        check_headers(value.items())
        if any(name.lower().startswith("sec-websocket-") for name in value):
            raise ValueError("the headers Sec-WebSocket-… are set by the probe itself")
        return value

    @field_validator("subprotocols")
    @classmethod
    def _subprotocols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_TOKEN.match(name) for name in value):
            raise ValueError("a subprotocol is one word (RFC 6455, section 4.1)")
        return value

    def model_post_init(self, _context: Any) -> None:
        """Work out once what every run needs."""
        scheme, _, rest = self.url.partition("://")
        lines = [*self.headers.items()]
        if self.bearer_token is not None:
            token = self.bearer_token.get_secret_value().strip()
            lines.append(("Authorization", f"Bearer {token}"))
            check_headers(lines)
        request = Request("GET", web_url(f"http{scheme[2:].lower()}://{rest}"), private=tuple(lines))
        trust = Trust(
            self.verify,
            str(self.ca_file or ""),
            ("http/1.1",),
            client_cert=str(self.client_cert_file or ""),
            client_key=str(self.client_key_file or ""),
        )
        self._plan = (request, trust)


async def run(params: WebSocketParams, ctx: Context) -> Measurement:
    """Open, ping, talk, close."""
    found: dict[str, float] = {}
    facts = StreamFacts()
    socket: WebSocket | None = None
    failure, message = None, ""
    request, trust = params._plan

    def secure() -> TlsSession:
        name = sni_name(params.server_name or request.host)
        return TlsSession(context_for(trust, ctx), name, trust)

    def make() -> WebSocket:
        nonlocal socket
        socket = WebSocket(ctx.phases, secure if request.url.scheme == "https" else None, request, params.subprotocols)
        return socket

    try:
        addresses = await resolve(request.host, ctx, params.ip_version)
        opened = await connect(addresses, request.url.port or 0, make, ctx)
        await _hold(params, ctx, opened, found, facts)
    except WebSocket.errors as error:
        failure, message = classify(error, ctx.phases.current)
    finally:
        if socket is not None:
            socket.close()
    ctx.phases.end()
    if socket is not None and socket.status:
        found["status"] = socket.status
    if socket is not None and socket.session is not None:
        facts.add_certificate(socket.session.chain(), found)
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


async def _hold(
    params: WebSocketParams, ctx: Context, socket: WebSocket, found: dict[str, float], facts: StreamFacts
) -> None:
    """Go through the life of a WebSocket. Raises what classifies as a failure."""
    await asyncio.wait((socket.upgraded, socket.done), return_when=asyncio.FIRST_COMPLETED)
    if not socket.upgraded.done():
        socket.done.result()
    facts["subprotocol"] = socket.subprotocol
    if params.require_subprotocol and not socket.subprotocol:
        raise TroubleError(
            Failure.PROTOCOL, f"none of the subprotocols was agreed on: {', '.join(params.subprotocols)}"
        )
    if params.ping:
        ctx.phases.begin("ping")
        rtt_s = await socket.ping()
        ctx.phases.end()
        ctx.phases.samples["ping_s"] = rtt_s
    if params.dialogue:
        ctx.phases.begin("dialogue")
        await _talk(params.dialogue, ctx, socket, found, facts)
    ctx.phases.begin("close")
    moment = min(last_moment(ctx), asyncio.get_running_loop().time() + GOODBYE_S)
    try:
        async with asyncio.timeout_at(moment):
            await socket.goodbye()
    except WebSocket.errors:  # all that was wanted is there: how the peer takes leave is its own affair
        socket.finish()


async def _talk(
    steps: tuple[WebSocketStep, ...], ctx: Context, socket: WebSocket, found: dict[str, float], facts: StreamFacts
) -> None:
    found["messages"] = 0
    sent: list[str] = []
    for step in steps:
        if step.send is not None:
            socket.say(step.send)
            sent.append(step.send)
        elif step.expect is not None:
            facts["message"] = await _expect(step.expect, ctx, socket, found, sent)


async def _expect(pattern: str, ctx: Context, socket: WebSocket, found: dict[str, float], sent: list[str]) -> str:
    """Return the first message with the pattern in it."""
    matches, last = compile_pattern(pattern), ""
    shown = plain_line(pattern, 80)
    try:
        while True:
            # A peer that has answered, but not as expected, is not silent: that must be said before time is up.
            async with asyncio.timeout_at(last_moment(ctx) if found["messages"] else None):
                came = await socket.message()
            found["messages"] += 1
            last = came.data.decode("utf-8", "replace").replace("\0", "\ufffd")
            if matches(last):
                return last
    except TimeoutError:
        text = last
        for each in sent:
            text = text.replace(each, "…") if len(each) >= 4 else text
        raise TroubleError(Failure.PROTOCOL, f"expected '{shown}', read '{plain_line(text, 160)}'") from None


PROBE = Probe(
    kind="websocket",
    params=WebSocketParams,
    address="url",
    run=run,
    samples={
        "resolve_s": "time to look up the name, seconds",
        "connect_s": "time to connect, seconds",
        "tls_s": "time of the TLS handshake, seconds; absent without TLS",
        "upgrade_s": "time of the handshake, seconds",
        "ping_s": "time from a ping to its pong, seconds",
        "dialogue_s": "time of the dialogue, seconds; absent without one",
        "close_s": "time until the peer returned our goodbye, seconds",
        "status": "status code of the handshake's answer; 101 is a WebSocket",
        "messages": "messages that came in the dialogue",
        **CERT_SAMPLES,
    },
    facts={"subprotocol": "string", "message": "string", **CERT_FACTS},
    latency="ping_s",
)
"""The probe kind `websocket`."""
