"""The health that a gRPC server tells of itself or of one of its services (gRPC health checking protocol, v1).

    - probe: grpc
      address: 10.0.0.8:50051
      service: vn.gov.danhmuc.TraCuu
      tls: true
      degraded_when: ["first_byte_s > 0.2", "cert.expires_in < duration('720h')"]

Each check opens a new HTTP/2 connection and calls `grpc.health.v1.Health/Check` once, with the time that is left as
`grpc-timeout`. Without `service` the server as a whole is asked about.

The check is down when the answer is anything but `SERVING`: `query_failed` with the status that came (`NOT_SERVING`,
`UNKNOWN`, `SERVICE_UNKNOWN`) or with the code of gRPC (`NOT_FOUND`: the server does not know that service;
`UNIMPLEMENTED`: it has no health service; `UNAVAILABLE`, …); `auth_rejected` for `UNAUTHENTICATED` and
`PERMISSION_DENIED`; `http_status` when something before the server answered instead; `protocol` for what is not gRPC.

Health checking needs no privilege. Where a gateway asks for one, `metadata` holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from probes import grpc_health
from probes.connection import Connection, connect
from probes.failures import NETWORK_ERRORS, TroubleError, classify, plain_line
from probes.http2_stream import Http2Stream
from probes.http_request import check_headers
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.resolver import resolve
from probes.tcp_address import HostPort, ServerName, parse_address
from probes.tcp_facts import StreamFacts
from probes.tls import CERT_FACTS, CERT_SAMPLES, TlsSession, Trust, context_for, sni_name

Lines = list[tuple[str, str]]

_RESERVED = re.compile(r"(?i)(grpc-.*|content-type|te|host|:.*|.*-bin)\Z")
_AUTH_CODES = frozenset({7, 16})  # PERMISSION_DENIED, UNAUTHENTICATED


class GrpcParams(Params):
    """Parameters of `grpc`."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    address: str = Field(description="Where to connect: `host:port`.")
    service: str = Field("", max_length=1000, description="The service to ask about; empty for the whole server.")
    tls: bool = Field(False, description="Whether TLS is spoken.")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: Path | None = Field(
        None, description="PEM file of the only authorities to trust, instead of the system's."
    )
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    client_cert_file: Path | None = Field(
        None, description="PEM file of our own certificate, its intermediates, and its key unless that stands apart."
    )
    client_key_file: Path | None = Field(None, description="PEM file of our own certificate's key, not encrypted.")
    metadata: Mapping[str, str] = Field(
        default={}, repr=False, description="What to send along, such as authorization; never shown."
    )
    ip_version: Literal[4, 6] | None = Field(None, description="Internet Protocol version to use, either by default.")

    _where: HostPort = PrivateAttr()
    _trust: Trust = PrivateAttr()

    @field_validator("address")
    @classmethod
    def _checked(cls, value: str) -> str:
        return str(parse_address(value))

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        check_headers(value.items())
        for name in value:
            if _RESERVED.match(name):
                message = f"the metadata {plain_line(name, 40)} is set by gRPC itself, or binary"
                raise ValueError(message)
        return value

    def model_post_init(self, _context: Any) -> None:
        """Work out once what every run needs."""
        self._where = parse_address(self.address)
        self._trust = Trust(
            self.verify,
            str(self.ca_file or ""),
            ("h2",),
            client_cert=str(self.client_cert_file or ""),
            client_key=str(self.client_key_file or ""),
        )


class _Call(Connection):
    """One call and its answer, over a connection of its own.

    Attributes:
        lines: the answer's header and trailer, by name; the last of a name counts.
        message: the answer's bytes.

    """

    def __init__(self, params: GrpcParams, ctx: Context, secure: Callable[[], TlsSession] | None) -> None:
        super().__init__(ctx.phases, secure)
        self._params = params
        self._left_s = ctx.deadline - self.done.get_loop().time()
        self.lines: dict[str, str] = {}
        self.message = b""

    def ready(self) -> None:
        params = self._params
        where = params.server_name or params._where.host.partition("%")[0]
        pseudo = [
            (":method", "POST"),
            (":scheme", "https" if params.tls else "http"),
            (":path", grpc_health.CHECK_PATH),
            (":authority", str(HostPort(where, params._where.port))),
        ]
        lines = [
            ("te", "trailers"),
            ("grpc-timeout", f"{max(1, int(self._left_s * 1000))}m"),
            ("content-type", "application/grpc"),
            ("user-agent", "thongsuot"),
            *params.metadata.items(),
        ]
        self._stream = Http2Stream(self, grpc_health.ANSWER_LIMIT)
        self._stream.start(pseudo, lines, grpc_health.request(params.service))
        self.send(self._stream.outgoing())
        self.phases.begin("first_byte")

    def received(self, data: bytes) -> None:
        self._stream.receive(data)
        outgoing = self._stream.outgoing()
        if outgoing and not self.done.done():
            self.send(outgoing)

    def ended(self) -> None:
        raise TroubleError(Failure.CONNECTION_CLOSED, "the peer closed the connection before its answer was complete")

    def take_header(self, lines: Lines, is_interim: bool, is_whole: bool) -> None:
        """Take the header, which is the trailer too where there is no message ("Trailers-Only")."""
        if not is_interim:
            self.phases.begin("transfer")
            self.lines.update(lines)

    def take_data(self, data: bytes) -> None:
        """Take a part of the message."""
        self.message += data
        if len(self.message) > grpc_health.ANSWER_LIMIT:
            raise TroubleError(Failure.PROTOCOL, f"the answer is larger than {grpc_health.ANSWER_LIMIT} bytes")

    def take_trailer(self, lines: Lines) -> None:
        """Take what gRPC says at the end."""
        self.lines.update(lines)

    def take_end(self) -> None:
        """Nothing more will come."""
        self.finish()


async def run(params: GrpcParams, ctx: Context) -> Measurement:
    """Ask once."""
    found: dict[str, float] = {}
    facts = StreamFacts()
    call: _Call | None = None
    failure, message = None, ""

    def secure() -> TlsSession:
        context = context_for(params._trust, ctx)
        return TlsSession(context, sni_name(params.server_name or params._where.host), params._trust)

    def make() -> _Call:
        nonlocal call
        call = _Call(params, ctx, secure if params.tls else None)
        return call

    try:
        addresses = await resolve(params._where.host, ctx, params.ip_version)
        await (await connect(addresses, params._where.port, make, ctx)).done
        _judge(params, call, found, facts)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    finally:
        if call is not None:
            call.close()
    ctx.phases.end()
    if call is not None and call.session is not None:
        facts.add_certificate(call.session.chain(), found)
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


def _judge(params: GrpcParams, call: _Call | None, found: dict[str, float], facts: StreamFacts) -> None:
    """Raise TroubleError for an answer that is not SERVING."""
    lines = call.lines if call is not None else {}
    status = lines.get(":status", "")
    if status != "200":
        raise TroubleError(Failure.HTTP_STATUS, f"the call was not answered by gRPC (status = {plain_line(status, 3)})")
    if not lines.get("content-type", "").startswith("application/grpc"):
        shown = plain_line(lines.get("content-type", ""), 60)
        raise TroubleError(Failure.PROTOCOL, f"the answer is not gRPC: its content-type is {shown!r}")
    code = lines.get("grpc-status", "")
    if not (code.isascii() and code.isdecimal() and len(code) <= 3):
        raise TroubleError(Failure.PROTOCOL, "the answer has no grpc-status")
    found["grpc_status"] = int(code)
    whom = f"service {plain_line(params.service, 100)!r}" if params.service else "the server"
    if int(code):
        failure = Failure.AUTH_REJECTED if int(code) in _AUTH_CODES else Failure.QUERY_FAILED
        raise TroubleError(failure, f"{whom}: {grpc_health.code_name(int(code))} (grpc-status = {code})")
    serving = grpc_health.answer(call.message if call is not None else b"")
    found["serving_status"] = serving
    facts["serving"] = grpc_health.status_name(serving)
    if serving != grpc_health.SERVING:
        raise TroubleError(Failure.QUERY_FAILED, f"{whom} is {grpc_health.status_name(serving)}")


PROBE = Probe(
    kind="grpc",
    params=GrpcParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time to look up the name, seconds",
        "connect_s": "time to connect, seconds",
        "tls_s": "time of the TLS handshake, seconds; absent without TLS",
        "first_byte_s": "time from the call sent to the header of the answer, seconds",
        "transfer_s": "time from the header of the answer to its end, seconds",
        "grpc_status": "status code of the call; 0 is OK",
        "serving_status": "what the server says: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN",
        **CERT_SAMPLES,
    },
    facts={"serving": "string", **CERT_FACTS},
    latency="first_byte_s",
)
"""The probe kind `grpc`."""
