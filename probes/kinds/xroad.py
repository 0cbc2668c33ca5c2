"""A service behind X-Road, end to end, and what a security server tells of itself (X-Road 6 and 7).

    - probe: xroad
      url: https://may-chu-bao-mat.bo.example
      client: VN/GOV/BTC/THUE                  # in whose name
      service: VN/GOV/BCA/DANCU/tra-cuu/v1     # what is watched

The own security server is asked, over the signed path, which services the provider opens to the client
(`allowedMethods`; with `access: false` which it has, `listMethods`). So the own server, its certificates and signer,
the network, and the provider's server have to work, and the service has to be there and open. Without a service's
name the provider's subsystem is watched. `protocol: rest` asks by REST (PR-MREST) instead of SOAP (PR-META); each lists
only its own services. No service itself is called: `http` and `soap` do that.

**Who is at fault** stands at the beginning of the message and in `fault_side`, by the error code of X-Road:

| `fault_side` | who | codes |
|---|---|---|
| 1 | our own request | `Client.*`, `Server.ClientProxy.UnknownMember` |
| 2 | the own security server | `Server.ClientProxy.*`; also where it does not answer |
| 3 | the network between the security servers | `Server.ClientProxy.NetworkError` |
| 4 | the provider's security server | `Server.ServerProxy.*` |
| 5 | the provider's information system | `Server.ServerProxy.ServiceFailed.*`, and its own faults |

A fault is down: `soap_fault` or, by REST, `query_failed`; `AccessDenied` is `auth_rejected`, and so is a service that
is there and not open to the client; one that is gone is `query_failed`. `listed` is what was listed, as texts.

**Modes.** What else there is to watch is one check each:

    - {probe: xroad, url: "http://10.0.0.5:5588", mode: health}
    - {probe: xroad, url: "https://10.0.0.5", mode: clients, expected: [VN/GOV/BCA/DANCU]}
    - {probe: xroad, url: "http://trung-tam.example/internalconf", mode: configuration,
       degraded_when: ["configuration_expires_s < 300"]}
    - {probe: xroad, url: "https://10.0.0.5:4000", mode: diagnostics, api_key: "${env:XROAD_KEY}"}
    - {probe: xroad, url: "https://10.0.0.5", mode: operational, client: VN/GOV/BTC/THUE, servers: [VN/GOV/BTC/ss1],
       service: VN/GOV/BCA/DANCU, down_when: ["success_ratio < 0.5"], degraded_when: ["beyond_p95_s > 2.0"]}

- `health` (also where neither client nor service is named): the port that a load balancer asks; anything but 200 is
  down (`http_status`) with what the server says, such as that its authentication key has no valid OCSP response, or
  maintenance.
- `clients`: `listClients`; an `expected` member or subsystem that is not registered is down (`query_failed`), by name.
- `configuration`: the signed directory of global configuration (PR-GCONF); once its `Expire-date` has passed, no server
  can work with it: down (`stale`). Its signature is not verified here: servers do that themselves.
- `diagnostics`: the management API: global configuration, OCSP responders and time-stamping services as the server sees
  them. `FAIL` is down (`query_failed`), and so is an OCSP response whose next update has passed (`stale`); `WAITING` is
  degraded. Where the key may see the tokens too, so is one that is not logged in, and a signing or authentication
  certificate in use without a good OCSP response; `server_certs_expire_s` is the first end of theirs. The key needs no
  more than the role `XROAD_SECURITYSERVER_OBSERVER`.
- `operational`: the records of operational monitoring (PR-OPMON), read over the signed path; X-Road itself holds back
  the last minute. Times are those of messages that went well: `total`, `own_server`, `beyond` (all beyond the own
  server), `provider_server`, `adapter` (the information system), each as 50th and 95th percentile. `network` needs the
  records of both servers in `servers`. The owner of a server sees all of its records, another client only its own.

These cases were tested against listeners that speak as the protocol documents say, not against an X-Road installation.
"""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from probes.certificates import CERT_FACTS, utc_text
from probes.failures import TroubleError, classify, plain_line
from probes.http_access import ACCESS_SAMPLES, content_of, header_of, off_loop, status_of, visit_aside
from probes.http_exchange import Exchange
from probes.http_facts import HttpFacts, samples_of
from probes.http_request import Request
from probes.http_visit import Visit
from probes.model import Context, Failure, Measurement, Probe
from probes.soap_message import Answer, read_answer
from probes.xroad_diagnostics import SERVICES, Diagnosis
from probes.xroad_fault import Side, XroadFault, rest_fault
from probes.xroad_identity import Identity
from probes.xroad_metadata import clients_in, directory_in, services_of_rest, services_of_soap
from probes.xroad_operational import PARTS, records_in, request_body, split
from probes.xroad_params import XroadParams

HELD_BACK_S = 60
"""How old records have to be before they are given out (PR-OPMON, section 2: by default)."""

NAMED_MOST = 5
"""Names in one message."""


@dataclass(slots=True)
class _Run:
    """One run, as far as it came."""

    params: XroadParams
    ctx: Context
    visit: Visit | None = None
    found: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    lesser: str = ""

    async def ask(self, request: Request, phase: str = "") -> Visit:
        """Ask the server; beside the first request in one phase. Raises TroubleError."""
        if self.visit is not None:
            return await visit_aside(request, self.params._rules, self.ctx, phase or "list")
        self.visit = visit = Visit(request, self.params._rules, self.ctx)
        try:
            await visit.go()
        except Exchange.errors as error:
            failure, message = classify(error, self.ctx.phases.current)
            place = "" if self.params.mode == "configuration" else f"{Side.OWN_SERVER.words}: "
            self.found |= {} if self.params.mode == "configuration" else {"fault_side": Side.OWN_SERVER}
            raise TroubleError(failure, plain_line(place + message)) from None
        self.ctx.phases.end()
        return visit

    def blame(self, fault: XroadFault, failure: Failure) -> TroubleError:
        """Note who is at fault, and return what the check is down with."""
        self.found["fault_side"] = fault.side
        self.facts |= {"fault.code": fault.code, "fault.text": fault.text}
        return fault.trouble(failure)

    def expect_200(self, visit: Visit, what: str) -> bytes:
        """Return the body of an answer. Raises TroubleError for another status."""
        status = status_of(visit)
        if status == 200:
            return content_of(visit)
        failure = Failure.AUTH_REJECTED if status in (401, 403) else Failure.HTTP_STATUS
        said = plain_line(content_of(visit)[:400].decode("utf-8", "replace"), 150)
        raise TroubleError(failure, plain_line(f"{what}: status = {status}" + (f": {said}" if said else "")))


async def run(params: XroadParams, ctx: Context) -> Measurement:
    """Look once."""
    running = _Run(params, ctx)
    trouble: TroubleError | None = None
    try:
        await _MODES[params.mode](running)
    except TroubleError as error:
        trouble = error
    ctx.phases.end()
    samples = {
        **ctx.phases.samples,
        **(samples_of(running.visit) if running.visit is not None else {}),
        **running.found,
    }
    facts: Mapping[str, Any] = running.facts
    if running.visit is not None:
        facts = ChainMap(running.facts, HttpFacts(running.visit))  # type: ignore[arg-type]  # nothing is written to it
    if trouble is not None:
        return Measurement(samples, trouble.failure, trouble.message, facts)
    if running.lesser:
        return Measurement(samples, Failure.QUERY_FAILED, running.lesser, facts, is_degraded=True)
    return Measurement(samples, facts=facts)


async def _service(running: _Run) -> None:
    service = running.params.service
    assert service is not None  # noqa: S101 - the model asks for it
    listed = await _list(running, service, "allowedMethods" if running.params.access else "listMethods")
    running.found["services"] = len(listed)
    running.facts["listed"] = [str(one) for one in listed[:1000]]
    if not service.service or any(_is(one, service) for one in listed):
        return
    if running.params.access and any(_is(one, service) for one in await _list(running, service, "listMethods")):
        message = f"{Side.PROVIDER_SERVER.words}: {service} is there, but not open to {running.params.client}"
        running.found["fault_side"] = Side.PROVIDER_SERVER
        raise TroubleError(Failure.AUTH_REJECTED, plain_line(message))
    running.found["fault_side"] = Side.PROVIDER_SERVER
    message = f"{Side.PROVIDER_SERVER.words}: there is no service {service} ({len(listed)} others are there)"
    raise TroubleError(Failure.QUERY_FAILED, plain_line(message))


def _is(listed: Identity, wanted: Identity) -> bool:
    return listed.service == wanted.service and wanted.version in ("", listed.version)


async def _list(running: _Run, service: Identity, method: str) -> list[Identity]:
    """Return the services that a metaservice of the provider lists. Raises TroubleError."""
    asked = service.provider._replace(service=method)
    if running.params.protocol == "soap":
        return services_of_soap(await _soap(running, running.params.soap(asked)))
    visit = await running.ask(running.params.rest(asked))
    content = content_of(visit)
    fault = rest_fault(content, header_of(visit, "x-road-error"))
    if fault is not None:
        raise running.blame(fault, Failure.QUERY_FAILED)
    return services_of_rest(running.expect_200(visit, Side.OWN_SERVER.words))


async def _soap(running: _Run, request: Request) -> Answer:
    """Return the answer to a SOAP request. Raises TroubleError."""
    return await _answer(running, await running.ask(request))


async def _answer(running: _Run, visit: Visit) -> Answer:
    try:
        content = content_of(visit)
        answer = await off_loop(len(content), read_answer, content, header_of(visit, "content-type"))
    except TroubleError as error:
        running.expect_200(visit, Side.OWN_SERVER.words)
        raise TroubleError(error.failure, plain_line(f"{Side.OWN_SERVER.words}: {error.message}")) from None
    if answer.fault is not None:
        raise running.blame(XroadFault(answer.fault.code, answer.fault.reason), Failure.SOAP_FAULT)
    return answer


async def _clients(running: _Run) -> None:
    params = running.params
    query = {"xRoadInstance": params.instance} if params.instance else None
    visit = await running.ask(params.request(params.at("listClients", query), [("Accept", "text/xml")]))
    content = running.expect_200(visit, Side.OWN_SERVER.words)
    listed = await off_loop(len(content), clients_in, content)
    running.found["clients"] = len(listed)
    running.facts["listed"] = [str(one) for one in listed[:5000]]
    missing = [str(one) for one in params.expected if one not in set(listed)]
    if missing:
        message = f"not registered any more: {_named(missing)} ({len(listed)} are)"
        raise TroubleError(Failure.QUERY_FAILED, plain_line(message))


async def _health(running: _Run) -> None:
    visit = await running.ask(running.params.request(running.params.url))
    running.expect_200(visit, Side.OWN_SERVER.words)


async def _configuration(running: _Run) -> None:
    visit = await running.ask(running.params.request(running.params.url))
    content = running.expect_200(visit, "the configuration source")
    directory = directory_in(content, header_of(visit, "content-type"))
    left_s = directory.expires.timestamp() - time.time()
    running.found |= {"configuration_expires_s": left_s, "configuration_parts": len(directory.parts)}
    running.facts |= {"configuration.version": directory.version, "configuration.parts": list(directory.parts)}
    if left_s <= 0:
        raise TroubleError(Failure.STALE, f"the global configuration expired at {utc_text(directory.expires)}")


async def _diagnostics(running: _Run) -> None:
    diagnosis = Diagnosis()
    for name in SERVICES:
        diagnosis.add_services(name, await _managed(running, f"diagnostics/{name}"))
    diagnosis.add_tokens(await _managed(running, "tokens", may_be_refused=True))
    running.found |= diagnosis.samples
    running.found |= {"diagnostics_failed": len(diagnosis.failed), "diagnostics_waiting": len(diagnosis.waiting)}
    if diagnosis.failed:
        raise TroubleError(Failure.QUERY_FAILED, plain_line(f"{Side.OWN_SERVER.words}: {_named(diagnosis.failed)}"))
    if diagnosis.stale:
        raise TroubleError(Failure.STALE, plain_line(f"{Side.OWN_SERVER.words}: {_named(diagnosis.stale)}"))
    if diagnosis.waiting:
        running.lesser = plain_line(f"{Side.OWN_SERVER.words} waits for {_named(diagnosis.waiting)}")


async def _managed(running: _Run, name: str, *, may_be_refused: bool = False) -> Any:
    """Return one answer of the management API, None where the key may not see it. Raises TroubleError."""
    params = running.params
    key = params.api_key.get_secret_value() if params.api_key is not None else ""
    lines = [("Authorization", f"X-Road-ApiKey token={key}"), ("Accept", "application/json")]
    visit = await running.ask(params.request(params.at(f"api/v1/{name}"), lines), "diagnostics")
    if may_be_refused and status_of(visit) == 403:
        return None
    try:
        return orjson.loads(running.expect_200(visit, f"{Side.OWN_SERVER.words}, {name}"))
    except orjson.JSONDecodeError:
        raise TroubleError(Failure.PROTOCOL, f"{Side.OWN_SERVER.words}, {name}: the answer is not JSON") from None


async def _operational(running: _Run) -> None:
    params = running.params
    to_s = int(datetime.now(UTC).timestamp()) - HELD_BACK_S
    records: list[Mapping[str, Any]] = []
    for server in params.servers:
        asked = server.owner._replace(service="getSecurityServerOperationalData")
        request = params.soap(asked, request_body(to_s - int(params.window), to_s), server)
        visit = await running.ask(request, "records")
        answer = await _answer(running, visit)
        packed, kind = content_of(visit), header_of(visit, "content-type")
        records += await off_loop(len(packed), records_in, answer, packed, kind)
    told = await off_loop(len(records) * 100, split, records, params.service)
    running.found |= told.samples()
    running.facts["faults"] = dict(told.faults.most_common(100))


def _named(names: list[str]) -> str:
    more = len(names) - NAMED_MOST
    return ", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


_MODES: Mapping[str, Callable[[_Run], Awaitable[None]]] = {
    "service": _service,
    "clients": _clients,
    "health": _health,
    "configuration": _configuration,
    "diagnostics": _diagnostics,
    "operational": _operational,
}

PROBE = Probe(
    kind="xroad",
    params=XroadParams,
    address="url",
    run=run,
    samples={
        **ACCESS_SAMPLES,
        "list_s": "time of the second question, which services there are at all, seconds; only where one is missing",
        "fault_side": "who is at fault: 1 request, 2 own server, 3 network, 4 provider's server, 5 its system",
        "services": "services that were listed",
        "clients": "members and subsystems that are registered",
        "configuration_expires_s": "time until the global configuration expires, seconds; negative once it has",
        "configuration_parts": "files in the global configuration",
        "diagnostics_s": "time of the management API's further answers, seconds",
        "diagnostics_failed": "things that the server says have failed",
        "diagnostics_waiting": "things that the server waits for",
        "ocsp_expires_s": "time until the first of the OCSP responses is to be renewed, seconds; negative once it was",
        "server_certs_expire_s": "time until the first signing or authentication certificate in use expires, seconds",
        "records_s": "time to read the records of further servers, seconds",
        "records": "messages in the window",
        "success_ratio": "share of them that went well; absent without messages",
        **{f"faults_{side.name.lower()}": f"messages that failed, by who was at fault: {side.words}" for side in Side},
        **{
            f"{part}_p{share}_s": f"{share}th percentile of the time: {part.replace('_', ' ')}, seconds"
            for part in PARTS
            for share in (50, 95)
        },
    },
    facts={
        "listed": "dyn",
        "fault.code": "string",
        "fault.text": "string",
        "configuration.version": "string",
        "configuration.parts": "dyn",
        "faults": "map",
        "body": "string",
        "headers": "map",
        "url": "string",
        "tls.version": "string",
        **CERT_FACTS,
    },
)
"""The probe kind `xroad`."""
