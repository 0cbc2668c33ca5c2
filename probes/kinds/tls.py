"""A TLS handshake and the certificate that it shows (RFC 8446, RFC 5280), without any protocol inside.

    - probe: tls
      address: ldap.example:636
      degraded_when: ["cert.expires_in < duration('720h')", "tls_version < 1.3"]

The check is down when no connection comes about, when the handshake fails, and (unless `verify` is off) when the
certificate is not trusted, has expired or is for another name. Its dates are reported in each of these cases too.

Dates are the earliest end of a validity in the verified chain, or in the chain as sent where nothing was verified.
`certs` is that chain, as in the kind `http`; with `ocsp: true` the responder that the certificate names is asked
whether it was revoked, as there.

A server that wants a certificate of its client says so after the handshake (RFC 8446, section 4.4.2): it is up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from probes.connection import Connection, connect
from probes.failures import NETWORK_ERRORS, classify
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.ocsp import OCSP_FACTS, OCSP_SAMPLES, Revocation, ask
from probes.resolver import resolve
from probes.tcp_address import HostPort, ServerName, parse_address
from probes.tls import (
    CERT_FACTS,
    CERT_SAMPLES,
    PeerCertificate,
    TlsSession,
    Trust,
    context_for,
    peer_certificate,
    sni_name,
)

DEFAULT_PORT = 443
"""The port of an address without one."""


class TlsParams(Params):
    """Parameters of `tls`."""

    address: str = Field(description="Where to connect: `host:port`, or a host alone for port 443.")
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    ca_file: Path | None = Field(
        None, description="PEM file of the only authorities to trust, instead of the system's."
    )
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    client_cert_file: Path | None = Field(
        None, description="PEM file of our own certificate, its intermediates, and its key unless that stands apart."
    )
    client_key_file: Path | None = Field(None, description="PEM file of our own certificate's key, not encrypted.")
    ocsp: bool = Field(False, description="Whether to ask if the certificate was revoked, of whom it names itself.")
    ip_version: Literal[4, 6] | None = Field(None, description="Internet Protocol version to use, either by default.")

    @model_validator(mode="after")
    def _can_be_asked(self) -> TlsParams:
        if self.ocsp and not self.verify:
            raise ValueError("ocsp asks about a certificate that was verified: it has no meaning with verify: false")
        return self

    _where: HostPort = PrivateAttr()
    _trust: Trust = PrivateAttr()

    @field_validator("address")
    @classmethod
    def _checked(cls, value: str) -> str:
        return str(parse_address(value, DEFAULT_PORT))

    def model_post_init(self, _context: Any) -> None:
        """Work out once what every run needs."""
        self._where = parse_address(self.address)
        self._trust = Trust(
            self.verify,
            str(self.ca_file or ""),
            client_cert=str(self.client_cert_file or ""),
            client_key=str(self.client_key_file or ""),
        )


class _Handshake(Connection):
    """Shakes hands, and that is all."""

    def ready(self) -> None:
        self.finish()


async def run(params: TlsParams, ctx: Context) -> Measurement:
    """Shake hands once."""
    failure: Failure | None = None
    message = ""
    connection: _Handshake | None = None

    def secure() -> TlsSession:
        name = sni_name(params.server_name or params._where.host)
        return TlsSession(context_for(params._trust, ctx), name, params._trust)

    def make() -> _Handshake:
        nonlocal connection
        connection = _Handshake(ctx.phases, secure)
        return connection

    try:
        addresses = await resolve(params._where.host, ctx, params.ip_version)
        await (await connect(addresses, params._where.port, make, ctx)).done
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    finally:
        if connection is not None:
            connection.close()
    session = connection.session if connection is not None else None
    ctx.phases.end()
    certificate = peer_certificate(session.chain()) if session is not None else None
    revocation = await ask(certificate, ctx) if params.ocsp and failure is None and certificate is not None else None
    trouble = revocation.trouble() if revocation is not None else None
    if trouble is not None:
        failure, message = trouble.failure, trouble.message
    samples = {**ctx.phases.samples, **_samples(session, certificate)}
    if revocation is not None:
        samples |= revocation.samples()
    return Measurement(samples, failure, message, TlsFacts(session, certificate, revocation))


class TlsFacts(Mapping[str, Any]):
    """The facts of one handshake, by name; one that is not there raises AbsentError with the reason."""

    def __init__(
        self, session: TlsSession | None, certificate: PeerCertificate | None, revocation: Revocation | None
    ) -> None:
        self._session = session
        self._certificate = certificate
        self._revocation = revocation

    def __getitem__(self, name: str) -> Any:
        from probes.conditions import AbsentError  # noqa: PLC0415 - pulls in CEL, which few checks need

        if name == "tls.version":
            if self._session is None or not self._session.version:
                raise AbsentError("no TLS was spoken")
            return self._session.version
        if name in OCSP_FACTS:
            if self._revocation is None:
                raise AbsentError("nobody asked for the certificate's revocation: set ocsp")
            return self._revocation.fact(name)
        if self._certificate is None:
            raise AbsentError("no certificate was shown")
        return self._certificate.fact(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in FACTS if self._revocation is not None or name not in OCSP_FACTS)

    def __len__(self) -> int:
        return len(FACTS) - (0 if self._revocation is not None else len(OCSP_FACTS))


def _samples(session: TlsSession | None, certificate: PeerCertificate | None) -> dict[str, float]:
    samples: dict[str, float] = {}
    if session is not None and session.version:
        samples["tls_version"] = float(session.version.removeprefix("TLSv"))
    if certificate is not None:
        samples["cert_expires_s"] = certificate.expires_s
        samples["cert_chain_length"] = certificate.chain_length
    return samples


FACTS: Mapping[str, str] = MappingProxyType({"tls.version": "string", **CERT_FACTS, **OCSP_FACTS})
"""The facts of this kind and their types."""

PROBE = Probe(
    kind="tls",
    params=TlsParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time to look up the name, seconds",
        "connect_s": "time to connect, seconds",
        "tls_s": "time of the TLS handshake, seconds",
        "tls_version": "version of TLS: 1.2 or 1.3",
        **CERT_SAMPLES,
        "cert_chain_length": "certificates in the chain",
        **OCSP_SAMPLES,
    },
    facts=FACTS,
)
"""The probe kind `tls`."""
