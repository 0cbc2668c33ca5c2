"""One operation of a SOAP service, called as a client would, and what its WSDL declares (SOAP 1.1, SOAP 1.2, WSDL 1.1).

    - probe: soap
      url: https://truc.example/dan-cu
      operation: GetStatus
      namespace: urn:vn:gov:dan-cu
      wsdl: true
      down_when: ["xml.Body.GetStatusResponse.status != 'OK'"]
      degraded_when: ["first_byte_s > 1.0", "wsdl_changed == 1"]

**Call.** What is sent is `envelope` (or `envelope_file`), or a minimal one made of `operation`, `namespace` and
`arguments`. The version of SOAP decides Content-Type and SOAPAction; an envelope's own namespace decides the version.
A fault is down (`soap_fault`) with its code and reason, whatever the HTTP status; any other answer that is no envelope
is down (`http_status`, `protocol`). An answer with attachments (`multipart/related`) is read too. An empty `202` is
what a one-way operation gives.

Where no call is harmless, a fault can be what should come, such as one that refuses an unknown number: with
`fault_expected` a fault is up (it answered, as it should), and an ordinary answer is down (`condition`).
`fault.code` and `fault.reason` say more.

    fault_expected: true
    down_when: ["fault.code != 'Client'"]

**Conditions.** `xml` is the envelope by local names: `xml.Body.GetStatusResponse.status`. An element with text alone is
that text, several of a name are a list, an attribute is `['@name']`, text beside elements is `['#text']`.

**WSDL.** With `wsdl: true` (the URL with `?wsdl`) or a URL, the description is fetched as well, in the phase `wsdl`,
with what it imports from its own origin (20 documents, 3 deep, 4 MiB each; no document type declaration). A `service`,
`port` or `operation` that it no longer declares is down (`protocol`), by name; an address in it that is not the one
asked is degraded (`condition`), since clients that are made from it go elsewhere: `wsdl_address` says which one it
should be, or `any`. A description that is not that of the last run makes `wsdl_changed` 1 and stands in the message.
Without `envelope`, `envelope_file` and `namespace` nothing is called: the WSDL alone is looked at, which then need not
be asked for.

**Who asks.** `security` adds a WS-Security UsernameToken (OASIS, UsernameToken Profile 1.1) with a digest of the
password, a nonce and the time, made anew for each call; a service that turns it down is `auth_rejected`. Of a user
for monitoring the least is asked: that it may call this operation, which should read nobody's data.

TLS, the own certificate, proxies, tokens and credentials are those of the kind `http`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr, StringConstraints, model_validator

from probes.certificates import CERT_FACTS
from probes.failures import TroubleError, classify, plain_line
from probes.http_access import (
    ACCESS_SAMPLES,
    HttpAccess,
    PlainUrl,
    content_of,
    header_of,
    off_loop,
    status_of,
    visit_aside,
)
from probes.http_exchange import Exchange
from probes.http_facts import HttpFacts, samples_of
from probes.http_request import Request, check_headers, origin_of, web_url
from probes.http_verdict import Expected, explained
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.soap_message import Answer, Template, content_lines, minimal, read_answer, username_token
from probes.soap_wsdl import Description, changed, check, fetch, other_address
from probes.units import Size
from probes.xml_tree import plain

ENVELOPE_LIMIT = 1 << 20
"""Bytes of an envelope to send."""

_EXPECTED = Expected(("2xx",))


def _version(value: Any) -> Any:
    """Accept 1.1 and 1.2 as YAML reads them."""
    return str(value) if isinstance(value, float) else value


class Security(Params):
    """Who asks: a WS-Security UsernameToken."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    username: str = Field(min_length=1, description="The user's name.")
    password: SecretStr = Field(description="The password, as a reference.")
    type: Literal["digest", "text"] = Field("digest", description="How it is sent.")


class SoapParams(HttpAccess):
    """Parameters of `soap`."""

    url: PlainUrl = Field(description="The service's address: an absolute http or https URL, without credentials.")
    version: Annotated[Literal["1.1", "1.2"], BeforeValidator(_version)] = Field(
        "1.1", description="Version of SOAP; an envelope says it itself."
    )
    operation: str = Field("", max_length=200, description="The operation: the element in the body, and in the WSDL.")
    namespace: str = Field("", max_length=1000, description="Namespace of that element.")
    arguments: Mapping[str, str] = Field(
        default={}, repr=False, max_length=100, description="Elements inside it, in order, with their texts."
    )
    envelope: Annotated[str, StringConstraints(max_length=ENVELOPE_LIMIT)] | None = Field(
        None, repr=False, description="The whole envelope to send; it may hold secrets and is never shown."
    )
    envelope_file: Path | None = Field(None, description="The same in a file, UTF-8.")
    soap_action: str | None = Field(None, max_length=1000, description="SOAPAction; empty by default.")
    security: Security | None = Field(None, description="Who asks, by WS-Security.")
    fault_expected: bool = Field(False, description="Whether a fault is what should come.")
    wsdl: bool | PlainUrl | None = Field(
        None, description="Whether to look at the WSDL, or where it is; by default where nothing is called."
    )
    service: str = Field("", max_length=200, description="The service that the WSDL has to declare.")
    port: str = Field("", max_length=200, description="The port that it has to declare.")
    wsdl_address: str = Field(
        "", max_length=1000, description="Address that it has to name, or any; the url by default."
    )
    body_limit: Size = Field(1024 * 1024, ge=1, le=64 << 20, description="How many bytes of the answer are taken.")

    _template: Template | None = PrivateAttr(default=None)
    _request: Request = PrivateAttr()
    _rules: Rules = PrivateAttr()
    _wsdl: tuple[Request, Rules] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _compiled(self) -> SoapParams:
        self._rules = self.rules(self.body_limit)
        self._template = self._to_send()
        version = self._template.version if self._template is not None else self.version
        action = self.soap_action or ""
        check_headers([("SOAPAction", action)])
        if '"' in action:
            raise ValueError("soap_action is written without quotes")
        self._request = self.request(self.url, content_lines(version, action), b"")
        self._wsdl = self._description()
        if self._template is None and self._wsdl is None:
            raise ValueError("there is nothing to ask: write operation and namespace, an envelope, or wsdl")
        if self._wsdl is None and (self.service or self.port or self.wsdl_address):
            raise ValueError("service, port and wsdl_address are looked for in the WSDL: set wsdl")
        return self

    def _to_send(self) -> Template | None:
        """Return what is called, None where the WSDL alone is looked at. Raises ValueError."""
        if (self.envelope is not None) + (self.envelope_file is not None) + bool(self.namespace) > 1:
            raise ValueError("there is more than one of envelope, envelope_file and namespace")
        if self.envelope is not None:
            return Template(self.envelope)
        if self.envelope_file is not None:
            return Template(_text_of(self.envelope_file))
        if self.namespace:
            if not self.operation:
                raise ValueError("namespace needs an operation")
            return Template(minimal(self.version, self.operation, self.namespace, self.arguments))
        if self.arguments or self.fault_expected or self.security is not None:
            raise ValueError("arguments, fault_expected and security are of a call: write namespace or an envelope")
        return None

    def _description(self) -> tuple[Request, Rules] | None:
        wsdl = self._template is None if self.wsdl is None else self.wsdl
        if wsdl is False:
            return None
        url = str(web_url(self.url).with_query("wsdl")) if wsdl is True else str(wsdl)
        request, rules = self.request(url), self.rules(self.body_limit)
        if origin_of(web_url(url)) != origin_of(web_url(self.url)):
            # Credentials are for the service's own origin.
            request, rules = replace(request, private=()), replace(rules, authorize=None, server_name="")
        return request, rules


def _text_of(file: Path) -> str:
    """Return the text of a file. Raises ValueError."""
    try:
        if file.stat().st_size > ENVELOPE_LIMIT:
            raise ValueError("the envelope's file is too large")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("the envelope's file is not UTF-8") from None
    except OSError as error:
        message = f"the envelope's file cannot be read: {error.strerror}"
        raise ValueError(message) from None


class SoapFacts(Mapping[str, Any]):
    """The facts of a run, by name; one that is not there raises AbsentError with the reason.

    Attributes:
        visit: the one that is told of, None before it began.
        answer: the envelope that came.
        description: the WSDL.

    """

    def __init__(self) -> None:
        self.visit: Visit | None = None
        self.answer: Answer | None = None
        self.description: Description | None = None
        self._known: dict[str, Any] = {}
        self._http: HttpFacts | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._work_out(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS)

    def __len__(self) -> int:
        return len(FACTS)

    def _work_out(self, name: str) -> Any:
        if name == "xml":
            return plain(self._envelope().root)
        if name in ("fault.code", "fault.reason", "fault.detail"):
            fault = self._envelope().fault
            if fault is None:
                _absent("there is no fault")
            return getattr(fault, name.removeprefix("fault."))
        if name == "wsdl.hash":
            if self.description is None:
                _absent("no WSDL was read")
            return self.description.digest
        if name not in FACTS:
            raise KeyError(name)
        if self.visit is None:
            _absent("nothing was asked")
        self._http = self._http or HttpFacts(self.visit)
        return self._http[name]

    def _envelope(self) -> Answer:
        if self.answer is None:
            _absent("there was no envelope")
        return self.answer


FACTS: Mapping[str, str] = {
    "xml": "dyn",
    "fault.code": "string",
    "fault.reason": "string",
    "fault.detail": "string",
    "wsdl.hash": "string",
    "body": "string",
    "headers": "map",
    "url": "string",
    "tls.version": "string",
    **CERT_FACTS,
}


async def run(params: SoapParams, ctx: Context) -> Measurement:
    """Call once, and look at the WSDL."""
    facts, found = SoapFacts(), dict[str, float]()
    trouble: TroubleError | None = None
    news, lesser = "", ""
    try:
        if params._template is not None:
            await _call(params, params._template, ctx, facts, found)
        if params._wsdl is not None:
            news, lesser = await _look_at_wsdl(params, *params._wsdl, ctx, facts, found)
    except TroubleError as error:
        trouble = error
    ctx.phases.end()
    samples = {**ctx.phases.samples, **(samples_of(facts.visit) if facts.visit is not None else {}), **found}
    if trouble is not None:
        return Measurement(samples, trouble.failure, trouble.message, facts)
    if lesser:
        return Measurement(samples, Failure.CONDITION, lesser, facts, is_degraded=True)
    return Measurement(samples, message=news, facts=facts)


async def _call(
    params: SoapParams, template: Template, ctx: Context, facts: SoapFacts, found: dict[str, float]
) -> None:
    header = ""
    if params.security is not None:
        who = params.security
        password = who.password.get_secret_value()
        header = username_token(template.version, who.username, password, digest=who.type == "digest")
    facts.visit = visit = Visit(replace(params._request, body=template.encoded(header)), params._rules, ctx)
    try:
        await visit.go()
    except Exchange.errors as error:
        raise explained(_EXPECTED, visit, TroubleError(*classify(error, ctx.phases.current))) from None
    ctx.phases.end()
    status = status_of(visit)
    if status == 202 and not content_of(visit).strip():
        return
    wrong = None if _EXPECTED.allows(status) else explained(_EXPECTED, visit, TroubleError(Failure.PROTOCOL, ""))
    if status == 401 and params.oauth2 is not None:
        raise TroubleError(Failure.AUTH_REJECTED, "the service does not take the token (status = 401)")
    try:
        content = content_of(visit)
        answer = await off_loop(len(content), read_answer, content, header_of(visit, "content-type"))
        facts.answer = answer
    except TroubleError as error:
        raise (wrong or error) from None
    _judge(params, answer, wrong, status, found)


def _judge(
    params: SoapParams, answer: Answer, wrong: TroubleError | None, status: int, found: dict[str, float]
) -> None:
    found["fault"] = int(answer.fault is not None)
    if answer.fault is None:
        if wrong is not None:
            raise wrong
        if params.fault_expected:
            raise TroubleError(Failure.CONDITION, "an ordinary answer came where a fault was expected")
    elif answer.fault.code.endswith("FailedAuthentication"):
        raise TroubleError(Failure.AUTH_REJECTED, f"the service does not take the user: SOAP fault {answer.fault}")
    elif not params.fault_expected:
        raise TroubleError(Failure.SOAP_FAULT, f"SOAP fault {answer.fault} (status = {status})")


async def _look_at_wsdl(
    params: SoapParams, request: Request, rules: Rules, ctx: Context, facts: SoapFacts, found: dict[str, float]
) -> tuple[str, str]:
    """Return what is new of the WSDL, and what is wrong with it though nothing is missing; "" where nothing is."""

    async def ask(one: Request, how: Rules) -> Visit:
        if facts.visit is not None:
            return await visit_aside(one, how, ctx, "wsdl")
        facts.visit = visit = Visit(one, how, ctx)  # nothing was called: this is what the samples tell of
        try:
            await visit.go()
        except Exchange.errors as error:
            raise TroubleError(*classify(error, ctx.phases.current)) from None
        ctx.phases.end()
        return visit

    try:
        facts.description = description = await fetch(request, rules, ask)
    except TroubleError as error:
        told = error.message if "WSDL" in error.message else f"the WSDL: {error.message}"
        raise TroubleError(error.failure, plain_line(told)) from None
    found["wsdl_documents"] = description.documents
    found["wsdl_operations"] = sum(len(port.operations) for port in description.wsdl.ports())
    before = changed(ctx, str(request.url), description.digest)
    news = ""
    if before is not None:
        found["wsdl_changed"] = int(before != description.digest)
        if before != description.digest:
            news = f"the WSDL has changed ({before} → {description.digest})"
    check(description, params.service, params.port, params.operation)
    if params.wsdl_address == "any":
        return news, ""
    expected = params.wsdl_address or params.url
    other = other_address(description, params.service, params.port, expected)
    lesser = f"the WSDL sends clients to another address: {plain_line(other, 120)} (not {plain_line(expected, 120)})"
    return news, lesser if other else ""


def _absent(reason: str) -> NoReturn:
    from probes.conditions import AbsentError  # noqa: PLC0415 - pulls in CEL, which a check without conditions spares

    raise AbsentError(reason)


PROBE = Probe(
    kind="soap",
    params=SoapParams,
    address="url",
    run=run,
    samples={
        **ACCESS_SAMPLES,
        "fault": "1 when a fault came, else 0; absent without an envelope",
        "wsdl_s": "time to fetch the WSDL and what it imports, seconds; absent where nothing is called beside",
        "wsdl_documents": "documents of the WSDL",
        "wsdl_operations": "operations that it declares, of all SOAP ports",
        "wsdl_changed": "1 when the WSDL is not that of the last run, else 0; absent in the first run",
    },
    facts=FACTS,
)
"""The probe kind `soap`."""
