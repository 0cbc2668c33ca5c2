"""How a platform's web addresses are reached: TLS, an own certificate, a proxy, credentials, tokens.

The kinds that speak a protocol of their own over HTTP (`soap`, `xroad`, `wso2`) share these parameters with the kind
`http`, and its requests: what is true of a credential there is true of it here.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from probes.failures import TroubleError, classify
from probes.http_exchange import Exchange
from probes.http_proxy import ProxyUrl
from probes.http_request import HeaderLine, Request, check_headers, sorted_by_trust, web_url
from probes.http_visit import Rules, Visit
from probes.kinds.http import ALPN, BasicAuth
from probes.model import Context, Params
from probes.oauth2 import Authority, OAuth2
from probes.resolver import IpVersion
from probes.tcp_address import ServerName
from probes.tls import Trust

ON_LOOP_BYTES = 64 * 1024
"""Up to here a document is read at once: a thread would take longer than that."""

T = TypeVar("T")


def _plain_url(value: str) -> str:
    if "@" in re.split("[/?#]", value.partition("://")[2], maxsplit=1)[0]:
        raise ValueError("credentials do not belong in the URL: use basic_auth")
    return str(web_url(value))


PlainUrl = Annotated[str, AfterValidator(_plain_url)]
"""An absolute http or https URL without credentials in it."""


class HttpAccess(Params):
    """Parameters of how to reach a platform over HTTP."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    headers: Mapping[str, str] = Field(
        default={}, repr=False, description="Request headers; values may hold secrets and are never shown."
    )
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: Path | None = Field(
        None, description="PEM file of the only authorities to trust, instead of the system's."
    )
    server_name: ServerName | None = Field(
        None, description="Name to ask for (SNI) and to verify instead of the URL's host."
    )
    client_cert_file: Path | None = Field(
        None, description="PEM file of our own certificate, its intermediates, and its key unless that stands apart."
    )
    client_key_file: Path | None = Field(None, description="PEM file of our own certificate's key, not encrypted.")
    proxy: ProxyUrl | None = Field(None, repr=False, description="Proxy to go through: http://user:password@host:port.")
    basic_auth: BasicAuth | None = Field(None, description="User and password.")
    oauth2: OAuth2 | None = Field(None, description="Where a token comes from, by client credentials (RFC 6749, 4.4).")
    bearer_token: SecretStr | None = Field(None, description="Token (RFC 6750).")
    ip_version: IpVersion | None = Field(None, description="Internet Protocol version to use, either by default.")

    @model_validator(mode="after")
    def _credentials(self) -> HttpAccess:
        check_headers(self.headers.items())
        if self.bearer_token is not None and not re.fullmatch(
            r"[A-Za-z0-9._~+/-]+=*", self.bearer_token.get_secret_value()
        ):
            raise ValueError("a bearer token has only letters, digits and -._~+/ (RFC 6750, section 2.1)")
        named = any(name.lower() == "authorization" for name in self.headers)
        if sum(given is not None for given in (self.basic_auth, self.bearer_token, self.oauth2)) + named > 1:
            raise ValueError("there is more than one of basic_auth, bearer_token, oauth2 and a header Authorization")
        return self

    def rules(self, body_limit: int, *, follows: bool = True) -> Rules:
        """Return how to visit."""
        rules = Rules(
            follow_redirects=follows,
            max_redirects=5,
            body_limit=body_limit,
            trust=Trust(
                self.verify,
                str(self.ca_file or ""),
                ALPN["1.1"],
                client_cert=str(self.client_cert_file or ""),
                client_key=str(self.client_key_file or ""),
            ),
            server_name=self.server_name or "",
            ip_version=self.ip_version,
            proxy=self.proxy,
        )
        return rules if self.oauth2 is None else replace(rules, authorize=Authority(self.oauth2, rules))

    def request(self, url: str, lines: Iterable[HeaderLine] = (), body: bytes | None = None) -> Request:
        """Return a request, a POST where there is a body; the configured headers win over `lines`."""
        named = {name.lower() for name in self.headers}
        own = [line for line in lines if line[0].lower() not in named]
        public, private = sorted_by_trust([*own, *self.headers.items(), *self._authorization()])
        return Request("GET" if body is None else "POST", web_url(url), public, private, body or b"")

    def _authorization(self) -> list[HeaderLine]:
        if self.basic_auth is not None:
            pair = f"{self.basic_auth.username}:{self.basic_auth.password.get_secret_value()}"
            return [("Authorization", "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))]
        if self.bearer_token is not None:
            return [("Authorization", f"Bearer {self.bearer_token.get_secret_value()}")]
        return []


async def visit_aside(request: Request, rules: Rules, ctx: Context, phase: str) -> Visit:
    """Ask something beside the main request, all of it in one phase of the check; return the answered visit.

    Raises TroubleError; where time runs out, the check is still in that phase.
    """
    ctx.phases.begin(phase)
    aside = Context(ctx.timeout_s, ctx.deadline, ctx.resources)
    visit = Visit(request, rules, aside)
    try:
        await visit.go()
    except Exchange.errors as error:
        ctx.phases.end()
        raise TroubleError(*classify(error, aside.phases.current)) from None
    ctx.phases.end()
    return visit


async def off_loop(size: int, function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function makes of a document of that many bytes: in a thread where it would hold up other checks.

    Half a megabyte of XML takes 60 ms to read.
    """
    if size <= ON_LOOP_BYTES:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def content_of(visit: Visit) -> bytes:
    """Return the whole body of a visit, nothing where none was read."""
    return (visit.exchange.content if visit.exchange is not None else None) or b""


def header_of(visit: Visit, name: str) -> str:
    """Return the first header of that name of a visit's answer, "" where there is none."""
    return visit.head.first(name) if visit.head is not None else ""


def status_of(visit: Visit) -> int:
    """Return the status code of a visit's answer, 0 where there is none."""
    return visit.head.status if visit.head is not None else 0


ACCESS_SAMPLES: Mapping[str, str] = {
    "proxy_s": "time to reach the proxy and to be let through, seconds; absent without one",
    "token_s": "time to get a token, seconds; near 0 while one is kept; absent without oauth2",
    "resolve_s": "time to look up the name, seconds; absent with a proxy",
    "connect_s": "time to connect, seconds; absent with a proxy",
    "tls_s": "time of the TLS handshake, seconds; absent without TLS",
    "first_byte_s": "time from the request written to the first byte of the answer, seconds",
    "transfer_s": "time from the first byte of the answer to its last, seconds",
    "status": "status code of the answer",
    "body_bytes": "size of the answer's body, decoded, bytes; as far as it was read",
    "redirects": "redirects that were followed",
    "http_version": "version of the answer",
    "cert_expires_s": "time until the earliest end of a validity in the chain, seconds; negative once it passed",
    "cert_chain_length": "certificates in the chain",
}
"""The samples of one visit."""
