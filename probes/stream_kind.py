"""What the kinds share that log in to a server over one TCP connection: parameters, the way there, and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Self

from pydantic import Field, SecretStr, model_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify, plain_line
from probes.model import Context, Measurement, Params
from probes.resolver import IpVersion, resolve
from probes.tcp_address import Address, HostPort, ServerName
from probes.tcp_facts import StreamFacts
from probes.tcp_stream import TcpStream, connect, last_moment
from probes.tls import Trust, context_for, sni_name

FAREWELL_S = 1.0
"""How long a server's last word is waited for; it changes nothing any more."""

SERVER_TEXT_LIMIT = 200

SAMPLES = {
    "resolve_s": "time of the name lookup, in seconds",
    "connect_s": "time of connecting, in seconds",
    "tls_s": "time of the TLS handshake, in seconds",
    "login_s": "time of logging in, in seconds",
    "cert_expires_s": "time until the first certificate of the chain expires, in seconds; negative once it has",
}


class DegradedError(TroubleError):
    """Trouble that makes the check degraded, not down."""


class StreamParams(Params):
    """Where the server is, whom to trust, and as whom to log in."""

    address: Address = Field(description="host:port; an IPv6 address in brackets")
    username: str = Field("", max_length=255, description="as whom to log in; without it, nobody logs in")
    password: SecretStr = Field(SecretStr(""), max_length=1024, description="its password, as a reference")
    server_name: ServerName | None = Field(
        None, description="the name that the certificate must be for; default: the host"
    )
    ca_file: str = Field("", description="PEM file of the only trusted authorities; default: the system's")
    verify: bool = Field(True, description="false: take any certificate")
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version")


class ClearParams(StreamParams):
    """Those of a protocol whose password goes as it is, and which speaks TLS from the first byte or not at all."""

    tls: bool = Field(False, description="speak TLS from the first byte")
    clear_password: bool = Field(False, description="give the password without TLS too, readable on the way there")

    @model_validator(mode="after")
    def _does_not_show_the_password(self) -> Self:
        if self.username and not (self.tls or self.clear_password):
            raise ValueError("without TLS the password can be read on its way: set tls, or clear_password to accept it")
        return self


class Finding:
    """What a run has found so far.

    Attributes:
        samples: beside those of the phases.
        facts: for conditions.

    """

    __slots__ = ("facts", "samples")

    def __init__(self) -> None:
        self.samples: dict[str, float] = {}
        self.facts = StreamFacts()


async def measure(ctx: Context, speak: Callable[[Finding], Awaitable[None]]) -> Measurement:
    """Speak, and say what was measured on the way, also when it ended badly.

    A `DegradedError` is trouble of the lesser kind.
    """
    finding, failure, message, is_degraded = Finding(), None, "", False
    try:
        await speak(finding)
    except DegradedError as error:
        failure, message, is_degraded = error.failure, plain_line(error.message), True
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **finding.samples}, failure, message, finding.facts, is_degraded)


async def open_stream(params: StreamParams, ctx: Context, address: HostPort | None = None) -> TcpStream:
    """Resolve and connect, to another address than the parameters' where one is given."""
    address = address or params.address
    return await connect(await resolve(address.host, ctx, params.ip_version), address.port, ctx)


async def lift(stream: TcpStream, params: StreamParams, ctx: Context, finding: Finding, host: str = "") -> None:
    """Speak TLS from here on, in the phase `tls`, and take in what the certificate says."""
    ctx.phases.begin("tls")
    trust = Trust(params.verify, params.ca_file)
    name = params.server_name if params.server_name and not host else sni_name(host or params.address.host)
    try:
        await stream.start_tls(context_for(trust, ctx), name)
    finally:
        if finding.facts.certificate is None:
            finding.facts.add_certificate(stream.chain, finding.samples)


async def farewell(stream: TcpStream, data: bytes, ctx: Context) -> None:
    """Say goodbye and wait a moment for the server to do the same, so that it logs no client that broke off."""
    moment = min(last_moment(ctx), asyncio.get_running_loop().time() + FAREWELL_S)
    with suppress(*NETWORK_ERRORS):
        async with asyncio.timeout_at(moment):
            await stream.send(data)
            await stream.receive()


def words(raw: bytes, secrets: Iterable[str], limit: int = SERVER_TEXT_LIMIT) -> str:
    """Return a server's words as one bounded line, without the secrets that it may repeat."""
    text = raw[: limit * 4].decode("utf-8", "replace")
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return plain_line(text, limit)
