"""One HTTP or HTTPS request, with the redirects that it leads to, as a client of the service would send it.

Every check opens a new connection; the environment's proxies and credentials are not used. Speaks HTTP/1.1
(RFC 9110, RFC 9112), and HTTP/2 (RFC 9113) where `http_version` asks for it: `auto` takes what TLS agrees on, `2`
insists, also without TLS.

The check is down when no answer comes, when the status is not one of `status` (after redirects), when `require_tls`
is set and the last answer came without TLS, when the body is larger than `body_limit` or cannot be decoded, and
when it is a SOAP fault (SOAP 1.1, section 4.4; SOAP 1.2 part 1, section 5.4). Conditions see the rest:

    - probe: http
      url: https://ndxp.example/health
      status: [2xx, 404]
      down_when: ["json.status != 'UP'", "!body.contains('sẵn sàng')", "headers['x-node'] == ''"]
      degraded_when: ["cert.expires_in < duration('720h')", "first_byte_s > 0.5"]

Phases add up over redirects: `resolve`, `connect`, `tls`, `first_byte` (from the request written to the first byte of
the answer), `transfer`. Certificate dates are the earliest end of a validity in the verified chain.

`body` is decoded as its byte order mark or its Content-Type says, UTF-8 otherwise; what is no character becomes
U+FFFD. The content codings gzip and deflate are undone; none is asked for unless `headers` says so. In conditions
`headers` is the answer's header; the case of a name in it makes no difference.

**Token.** With `oauth2` a token is asked for first, in the phase `token`, kept until near its end and shared by all
checks with the same credentials. Trouble with it is `auth_token`; a service that refuses a new one, `auth_rejected`:

    oauth2: {token_url: https://iam.example/token, client_id: giam-sat, client_secret: "${env:SECRET}", scope: read}

**Own certificate.** `client_cert_file` (and `client_key_file`) is shown to servers that ask for it. A server that
turns it down is `tls_handshake`, with its alert in the message; many servers answer with a status instead.

**Proxy.** With `proxy` all goes through that proxy. Looking it up, connecting to it and being let through are the
phase `proxy` (`resolve` and `connect` are then the proxy's to do), and what fails there names the proxy.

**Certificates.** `certs` is the verified chain, the server's own first; each has `subject`, `issuer`, `serial`,
`not_before`, `not_after`, `expires_s`, `key`, `signature` and `names`:

    degraded_when: ["certs.exists(c, c.signature == 'sha1')", "cert_chain_length < 3"]

**Revocation.** With `ocsp: true` the responder that the certificate names is asked, in the phase `ocsp`; an answer is
kept for five minutes at most. Revoked is down (`tls_untrusted`); all else is for conditions to judge: `ocsp.status` is
`good`, `unknown` or `unavailable` (with `ocsp.reason`), and `ocsp_expires_s` says how fresh the answer is. A response
that the server staples to its handshake is not seen.

**Signature.** `hmac` signs every request with a shared secret, by a template with placeholders (`{{method}}`,
`{{target}}`, `{{timestamp}}`, `{{nonce}}`, `{{body_sha256}}`, …), or as RFC 9421 does when `components` are named:

    hmac: {secret: "${env:KEY}", key_id: giam-sat, components: ["@method", "@target-uri", content-digest]}

**Schema.** An answer whose JSON is not as `json_schema` says is `condition`, with the first violations and their paths.

**Steps.** `steps` are requests that pass values on; the failing one is named in the message, each is timed apart
(`step_<name>_s`; in conditions `steps.<name>`), cookies are shared, and samples and facts are those of the last one.
What is extracted counts as a secret: it is shown nowhere.

    url: https://truc.example/
    steps:
      - {name: login, url: /login, body: '{"user": "giam-sat"}', extract: {token: json.access_token}}
      - {name: query, url: /dan-cu, headers: {Authorization: "Bearer {{token}}"}, down_when: [json.total == 0]}

Credentials (`basic_auth`, `bearer_token`, and every header that is not known to be harmless) are sent to the origin
(scheme, host and port) of `url` alone, never where a redirect leads elsewhere.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from probes.failures import TroubleError, classify
from probes.http_exchange import Exchange
from probes.http_facts import FACTS, HttpFacts, samples_of
from probes.http_proxy import ProxyUrl
from probes.http_request import HeaderLine, Request, check_headers, checked_method, sorted_by_trust, web_url
from probes.http_signature import HmacSignature, signer
from probes.http_status import Statuses
from probes.http_steps import STEPS_LIMIT, Chain, HttpStep
from probes.http_verdict import Expected, explained, judge
from probes.http_visit import Rules, Visit
from probes.model import Context, Measurement, Params, Probe
from probes.oauth2 import Authority, OAuth2
from probes.ocsp import OCSP_SAMPLES, ask
from probes.secrecy import without_secrets
from probes.tcp_address import ServerName
from probes.tls import Trust
from probes.units import Size

BODY_LIMIT_MAX = 64 * 1024 * 1024
"""The largest `body_limit`: bodies are held in memory while they are looked at."""


def _version(value: Any) -> Any:
    """Accept 2 and 1.1 as YAML reads them."""
    return str(value).removesuffix(".0") if isinstance(value, int | float) else value


ALPN = {"1.1": ("http/1.1",), "2": ("h2", "http/1.1"), "auto": ("h2", "http/1.1")}
"""What TLS is offered (RFC 7301)."""


class BasicAuth(Params):
    """A user and a password (RFC 7617)."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    username: str = Field(pattern=r"^[^:\x00-\x1f\x7f]*$", description="Who asks; without a colon.")
    password: SecretStr = Field(description="What proves it, as a reference.")


class HttpParams(Params):
    """Parameters of `http`."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    url: str = Field(description="Where to ask: an absolute http or https URL, without credentials in it.")
    method: str = Field("", description="GET by default, POST when there is a body.")
    headers: Mapping[str, str] = Field(
        default={}, repr=False, description="Request headers; values may hold secrets and are never shown."
    )
    body: Annotated[str, StringConstraints(strip_whitespace=False)] | None = Field(
        default=None, repr=False, description="What to send (as UTF-8); it may hold secrets and is never shown."
    )
    status: Statuses = Field(("2xx",), description="Codes and classes that are fine.")
    follow_redirects: bool = Field(True, description="Whether to go where 301, 302, 303, 307 and 308 lead.")
    max_redirects: int = Field(10, ge=0, le=50, description="How many redirects to follow.")
    body_limit: Size = Field(
        1024 * 1024, ge=1, le=BODY_LIMIT_MAX, description="How many decoded bytes of the body are taken."
    )
    require_tls: bool = Field(False, description="Whether the last answer has to come over TLS.")
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
    ocsp: bool = Field(False, description="Whether to ask if the certificate was revoked, of whom it names itself.")
    http_version: Annotated[Literal["1.1", "2", "auto"], BeforeValidator(_version)] = Field(
        "1.1", description="Version to speak; auto is what TLS agrees on."
    )
    proxy: ProxyUrl | None = Field(None, repr=False, description="Proxy to go through: http://user:password@host:port.")
    basic_auth: BasicAuth | None = Field(None, description="User and password.")
    oauth2: OAuth2 | None = Field(None, description="Where a token comes from, by client credentials (RFC 6749, 4.4).")
    bearer_token: SecretStr | None = Field(None, description="Token (RFC 6750).")
    ip_version: Literal[4, 6] | None = Field(None, description="Internet Protocol version to use, either by default.")

    hmac: HmacSignature | None = Field(None, description="How requests are signed with a shared secret.")
    json_schema: dict[str, Any] | None = Field(None, description="JSON Schema (2020-12) of the answer.")
    json_schema_file: Path | None = Field(None, description="The same in a file.")
    steps: tuple[HttpStep, ...] = Field(
        (),
        max_length=STEPS_LIMIT,
        description="Requests to make in turn instead of one to url, to which theirs are relative.",
    )

    _plan: tuple[Request, Rules] = PrivateAttr()
    _expected: Expected = PrivateAttr()
    _chain: Chain | None = PrivateAttr(default=None)

    @field_validator("url")
    @classmethod
    def _web_url(cls, value: str) -> str:
        url = web_url(value)
        if "@" in re.split("[/?#]", value.partition("://")[2], maxsplit=1)[0]:
            raise ValueError("credentials do not belong in the URL: use basic_auth")
        return str(url)

    @field_validator("method")
    @classmethod
    def _method(cls, value: str) -> str:
        return checked_method(value) if value else value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        check_headers(value.items())
        return value

    @field_validator("bearer_token")
    @classmethod
    def _bearer(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        token = value.get_secret_value().strip()
        if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
            raise ValueError("a bearer token has only letters, digits and -._~+/ (RFC 6750, section 2.1)")
        return SecretStr(token)

    @model_validator(mode="after")
    def _credentials(self) -> HttpParams:
        if self.ocsp and not self.verify:
            raise ValueError("ocsp asks about a certificate that was verified: it has no meaning with verify: false")
        named = any(name.lower() == "authorization" for name in self.headers)
        if sum(given is not None for given in (self.basic_auth, self.bearer_token, self.oauth2)) + named > 1:
            raise ValueError("there is more than one of basic_auth, bearer_token, oauth2 and a header Authorization")
        return self

    @model_validator(mode="after")
    def _compiled(self) -> HttpParams:
        if self.json_schema is not None and self.json_schema_file is not None:
            raise ValueError("json_schema and json_schema_file are the same thing: keep one")
        if self.json_schema is not None or self.json_schema_file is not None:
            from probes.json_schema import JsonSchema, read_schema  # noqa: PLC0415 - few checks have a schema

            file = self.json_schema_file
            schema = JsonSchema(self.json_schema) if file is None else read_schema(file)
            self._expected = replace(self._expected, schema=schema)
        if self.steps:
            if self.method or self.body is not None:
                raise ValueError("with steps, method and body are theirs")
            self._chain = Chain(self.steps, *self._plan, self._expected, PROBE)
        return self

    def model_post_init(self, _context: Any) -> None:
        """Work out once what every run needs."""
        public, private = sorted_by_trust([*self.headers.items(), *_authorization(self)])
        request = Request(
            method=self.method or ("GET" if self.body is None else "POST"),
            url=web_url(self.url),
            headers=public,
            private=private,
            body=(self.body or "").encode("utf-8"),
        )
        rules = Rules(
            follow_redirects=self.follow_redirects,
            max_redirects=self.max_redirects,
            body_limit=self.body_limit,
            trust=Trust(
                self.verify,
                str(self.ca_file or ""),
                ALPN[self.http_version],
                client_cert=str(self.client_cert_file or ""),
                client_key=str(self.client_key_file or ""),
            ),
            server_name=self.server_name or "",
            ip_version=self.ip_version,
            http_version=self.http_version,
            proxy=self.proxy,
        )
        if self.oauth2 is not None:
            rules = replace(rules, authorize=Authority(self.oauth2, rules))
        if self.hmac is not None:
            rules = replace(rules, sign=signer(self.hmac))
        self._plan = (request, rules)
        self._expected = Expected(self.status, self.require_tls, self.oauth2 is not None)

    def allows(self, status: int) -> bool:
        """Say whether a status code is fine."""
        return self._expected.allows(status)


async def run(params: HttpParams, ctx: Context) -> Measurement:
    """Visit the URL once, or take the steps in turn."""
    if params._chain is not None:
        return await _chained(params, params._chain, ctx)
    visit = Visit(*params._plan, ctx)
    try:
        await visit.go()
        trouble = await judge(params._expected, visit, ctx.resources)
    except Exchange.errors as error:
        trouble = explained(params._expected, visit, TroubleError(*classify(error, ctx.phases.current)))
    ctx.phases.end()
    facts = HttpFacts(visit, secrets=visit.secrets)
    if params.ocsp and trouble is None:
        trouble = await _ask_revocation(visit, facts, ctx)
    samples = {**ctx.phases.samples, **samples_of(visit)}
    if facts.revocation is not None:
        samples |= facts.revocation.samples()
    if trouble is None:
        return Measurement(samples, facts=facts)
    return Measurement(samples, trouble.failure, without_secrets(trouble.message, visit.secrets), facts)


async def _chained(params: HttpParams, chain: Chain, ctx: Context) -> Measurement:
    chained = await chain.go(ctx)
    visit, trouble = chained.visit, chained.trouble
    spent = {f"step_{name}_s": spent_s for name, spent_s in chained.steps.items()}
    if visit is None:
        return Measurement({**ctx.phases.samples, **spent}, trouble.failure if trouble else None, str(trouble or ""))
    facts = HttpFacts(visit, chained.steps, (*chained.secrets, *visit.secrets))
    if params.ocsp and trouble is None:
        trouble = await _ask_revocation(visit, facts, ctx)
    samples = {**ctx.phases.samples, **spent, **samples_of(visit)}
    if facts.revocation is not None:
        samples |= facts.revocation.samples()
    if trouble is None:
        return Measurement(samples, facts=facts)
    return Measurement(samples, trouble.failure, without_secrets(trouble.message, visit.secrets), facts)


async def _ask_revocation(visit: Visit, facts: HttpFacts, ctx: Context) -> TroubleError | None:
    """Ask about the certificate of a visit that went well, and say whether it has been revoked."""
    certificate = visit.certificate()
    if certificate is None:
        return None
    facts.revocation = await ask(certificate, ctx)
    return facts.revocation.trouble()


def _authorization(params: HttpParams) -> list[HeaderLine]:
    if params.basic_auth is not None:
        pair = f"{params.basic_auth.username}:{params.basic_auth.password.get_secret_value()}"
        return [("Authorization", "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))]
    if params.bearer_token is not None:
        return [("Authorization", f"Bearer {params.bearer_token.get_secret_value()}")]
    return []


PROBE = Probe(
    kind="http",
    params=HttpParams,
    address="url",
    run=run,
    samples={
        "proxy_s": "time to reach the proxy and to be let through, seconds; absent without one",
        "token_s": "time to get a token, seconds; near 0 while one is kept; absent without oauth2",
        "resolve_s": "time to look up the name, seconds; absent with a proxy",
        "connect_s": "time to connect, seconds; absent with a proxy",
        "tls_s": "time of the TLS handshake, seconds; absent without TLS",
        "first_byte_s": "time from the request written to the first byte of the answer, seconds",
        "transfer_s": "time from the first byte of the answer to its last, seconds",
        "status": "status code of the last answer",
        "body_bytes": "size of the last answer's body, decoded, bytes; as far as it was read",
        "redirects": "redirects that were followed",
        "http_version": "version of the last answer: 1.0, 1.1 or 2",
        "cert_expires_s": "time until the earliest end of a validity in the chain, seconds; negative once it passed",
        "cert_chain_length": "certificates in the chain",
        **OCSP_SAMPLES,
    },
    facts=FACTS,
)
"""The probe kind `http`."""
