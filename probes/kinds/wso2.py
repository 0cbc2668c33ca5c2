"""WSO2 API Manager and Micro Integrator: that each answers, and that what it should have deployed is there and active.

    - probe: wso2
      url: https://gateway.example:9443
      calls: [{url: "https://gateway.example:8243/dan-cu/v1/trang-thai", status: [2xx, 401]}]

    - probe: wso2
      url: https://mi.example:9164
      mode: management
      basic_auth: {username: giam-sat, password: "${env:MI_PASSWORD}"}
      apis: [DanCuAPI, HoTichAPI]
      proxy_services: [TraCuuProxy]
      endpoints: [KhoDanCu]

Each `mode` is one interface of one server, as WSO2 documents it:

- `gateway` (API Manager, port 9443): `/api/am/gateway/v2/server-startup-healthcheck`, which is 200 once all APIs are
  deployed at that gateway; anything else is down (`http_status`). A release that does not have it is asked for
  `/services/Version` instead; `version` is what that says.
- `integrator` (Micro Integrator, port 9201): `/healthz`, which is `ready` once all applications are deployed. If it is
  not, the message has what the server says (the faulty ones), and `/liveness` whether it has started at all.
- `management` (Micro Integrator, port 9164): logs in at `/management/login` with `basic_auth` (in the phase `token`; a
  token is kept for five minutes), then asks for `apis`, `proxy_services`, `endpoints` and `data_services`, as far as
  any are expected.
- `publisher`, `devportal` (API Manager, port 9443): the REST interfaces; `apis` have to be there and published. A
  token comes by `oauth2`, for the publisher with the scope `apim:api_view`.

What is expected and missing, inactive or not published is down (`query_failed`), each by name.

**Calls.** `calls` go through the gateway as a client's would, without credentials: an API that is deployed and
protected answers 401, one that is not deployed 404. An unexpected status is down (`http_status`) and names the call.

Least privilege: for `management` a user without the administrator's role; it reads, and may not change users. These
cases were tested against listeners that answer as WSO2's documentation shows, not against an installation.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from probes.certificates import CERT_FACTS
from probes.failures import TroubleError, classify, plain_line
from probes.http_access import ACCESS_SAMPLES, content_of, status_of, visit_aside
from probes.http_exchange import Exchange
from probes.http_facts import HttpFacts, samples_of
from probes.http_request import Request, shown, web_url
from probes.http_status import Statuses
from probes.http_verdict import Expected
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure, Measurement, Probe
from probes.run_memory import RunMemory
from probes.wso2_listing import Item, answer_of, faults, item_of, items_in
from probes.wso2_params import ARTIFACTS, Wso2Params
from probes.xml_tree import XmlError, parse

TOKENS = "probes.wso2"
"""Where the process keeps tokens of management APIs in `Context.resources`."""

TOKEN_KEPT_S = 300.0
TOKEN_LIMIT = 8192
NAMED_MOST = 5

_PORTAL_PATHS = {"publisher": "api/am/publisher/v4/apis", "devportal": "api/am/devportal/v3/apis"}


@dataclass(slots=True)
class _Run:
    """One run, as far as it came."""

    params: Wso2Params
    ctx: Context
    visit: Visit | None = None
    found: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    async def ask(self, request: Request, phase: str, rules: Rules | None = None) -> Visit:
        """Ask; beside the first request in one phase. Raises TroubleError."""
        rules = rules or self.params._rules
        if self.visit is not None:
            return await visit_aside(request, rules, self.ctx, phase)
        self.visit = visit = Visit(request, rules, self.ctx)
        try:
            await visit.go()
        except Exchange.errors as error:
            raise TroubleError(*classify(error, self.ctx.phases.current)) from None
        self.ctx.phases.end()
        return visit

    async def get(self, path: str, phase: str, query: Mapping[str, str] | None = None) -> Visit:
        """Ask the server for a path. Raises TroubleError."""
        return await self.ask(self.params.request(self.params.at(path, query), [_JSON]), phase)


_JSON = ("Accept", "application/json")


async def run(params: Wso2Params, ctx: Context) -> Measurement:
    """Look once."""
    running = _Run(params, ctx)
    trouble: TroubleError | None = None
    try:
        await _MODES[params.mode](running)
        await _call_each(running)
    except TroubleError as error:
        trouble = error
    ctx.phases.end()
    facts: Mapping[str, Any] = running.facts
    samples = {**ctx.phases.samples, **running.found}
    if running.visit is not None:
        facts = ChainMap(running.facts, HttpFacts(running.visit))  # type: ignore[arg-type]  # nothing is written to it
        samples = {**ctx.phases.samples, **samples_of(running.visit), **running.found}
    if trouble is None:
        return Measurement(samples, facts=facts)
    return Measurement(samples, trouble.failure, trouble.message, facts)


async def _gateway(running: _Run) -> None:
    visit = await running.get("api/am/gateway/v2/server-startup-healthcheck", "health")
    if status_of(visit) == 404:
        visit = await running.get("services/Version", "version")
        _expect_200(visit, "the gateway")
        try:
            running.facts["version"] = plain_line(parse(content_of(visit), 1000).text_at("return"), 100)
        except XmlError:
            raise TroubleError(Failure.PROTOCOL, "the gateway does not say its version") from None
        return
    _expect_200(visit, "the gateway is not ready")


async def _integrator(running: _Run) -> None:
    visit = await running.get("healthz", "health")
    said = plain_line(content_of(visit)[:600].decode("utf-8", "replace"), 200)
    if status_of(visit) == 200 and answer_of(content_of(visit), "healthz").get("status") == "ready":
        return
    live = await running.get("liveness", "liveness")
    state = "it has started" if status_of(live) == 200 else "it has not even started"
    message = f"the integrator is not ready (status = {status_of(visit)}), {state}: {said}"
    raise TroubleError(Failure.HTTP_STATUS if status_of(visit) != 200 else Failure.QUERY_FAILED, plain_line(message))


async def _management(running: _Run) -> None:
    params = running.params
    token = await _token(running, refused="")
    for name, (resource, word) in ARTIFACTS.items():
        expected: tuple[str, ...] = getattr(params, name)
        if not expected:
            continue
        visit, token = await _managed(running, resource, {}, token)
        listed = items_in(content_of(visit), resource)
        running.found[name] = len(listed)
        if name == "proxy_services":
            listed, token = await _proxies(running, expected, listed, token)
        running.troubles += faults(expected, listed, word)


async def _proxies(running: _Run, expected: tuple[str, ...], listed: list[Item], token: str) -> tuple[list[Item], str]:
    """Return the expected proxy services with what each tells of itself: the list says nothing of their state."""
    found = []
    for name in (name for name in expected if any(one.is_called(name) for one in listed)):
        visit, token = await _managed(running, "proxy-services", {"proxyServiceName": name}, token)
        found.append(item_of({**answer_of(content_of(visit), "proxy-services"), "name": name}))
    return found, token


async def _managed(running: _Run, resource: str, query: Mapping[str, str], token: str) -> tuple[Visit, str]:
    """Return an answer of the management API, and the token that it was got with. Raises TroubleError."""
    for is_last in (False, True):
        request = Request(
            "GET",
            web_url(running.params.at(f"management/{resource}", query)),
            (_JSON,),
            (("Authorization", f"Bearer {token}"),),
        )
        visit = await running.ask(request, "list")
        if status_of(visit) != 401 or is_last:
            break
        token = await _token(running, refused=token)  # the server forgets its tokens when it starts anew
    _expect_200(visit, resource)
    return visit, token


async def _token(running: _Run, refused: str) -> str:
    """Return a token of the management API. Raises TroubleError (`auth_token`)."""
    params, loop = running.params, asyncio.get_running_loop()
    memory: RunMemory[tuple[str, float]] = running.ctx.resources.get(TOKENS, RunMemory)
    key = (params.url, params.basic_auth)
    kept = memory.recall(key)
    if kept is not None and kept[0] != refused and kept[1] > loop.time():
        return kept[0]
    try:
        request = params.request(params.at("management/login"), [_JSON])
        visit = await visit_aside(request, params._rules, running.ctx, "token")
        told = answer_of(content_of(visit), "login") if status_of(visit) == 200 else {}
    except TroubleError as error:
        raise TroubleError(Failure.AUTH_TOKEN, plain_line(f"no token: {error.message}")) from None
    token = told.get("AccessToken")
    if not (isinstance(token, str) and 0 < len(token) <= TOKEN_LIMIT and token.isascii() and token.isprintable()):
        raise TroubleError(Failure.AUTH_TOKEN, f"the management API gives no token (status = {status_of(visit)})")
    memory.keep(key, (token, loop.time() + TOKEN_KEPT_S))
    return token


async def _portal(running: _Run) -> None:
    mode = running.params.mode
    visit = await running.get(_PORTAL_PATHS[mode], "list", {"limit": "1000"})
    _expect_200(visit, f"the {mode}")
    listed = items_in(content_of(visit), mode)
    running.found["apis"] = len(listed)
    running.troubles += faults(running.params.apis, listed, "API")


async def _call_each(running: _Run) -> None:
    """Call what is to be called. Raises TroubleError for what is missing, else for the first bad answer."""
    if running.troubles:
        raise TroubleError(Failure.QUERY_FAILED, plain_line(_named(running.troubles)))
    for call in running.params.calls:
        # Neither the server's credentials nor its name for TLS are the gateway's.
        rules = replace(running.params._rules, authorize=None, server_name="")
        url = web_url(call.url)
        try:
            visit = await running.ask(Request("GET", url), "calls", rules)
        except TroubleError as error:
            raise TroubleError(error.failure, plain_line(f"the call of {shown(url)}: {error.message}")) from None
        _expect(visit, call.status, f"the call of {shown(url)}")


def _expect_200(visit: Visit, what: str) -> None:
    if status_of(visit) in (401, 403):
        raise TroubleError(Failure.AUTH_REJECTED, f"{what}: access is refused (status = {status_of(visit)})")
    _expect(visit, ("200",), what)


def _expect(visit: Visit, allowed: Statuses, what: str) -> None:
    status = status_of(visit)
    if not Expected(allowed).allows(status):
        message = f"{what}: status not in [{', '.join(allowed)}] (status = {status})"
        raise TroubleError(Failure.HTTP_STATUS, plain_line(message))


def _named(troubles: list[str]) -> str:
    more = len(troubles) - NAMED_MOST
    return "; ".join(troubles[:NAMED_MOST]) + (f"; and {more} more" if more > 0 else "")


_MODES: Mapping[str, Callable[[_Run], Awaitable[None]]] = {
    "gateway": _gateway,
    "integrator": _integrator,
    "management": _management,
    "publisher": _portal,
    "devportal": _portal,
}

PROBE = Probe(
    kind="wso2",
    params=Wso2Params,
    address="url",
    run=run,
    samples={
        **ACCESS_SAMPLES,
        "liveness_s": "time to ask whether it has started, seconds; only where it is not ready",
        "version_s": "time to ask for the version, seconds; only where there is no health check",
        "list_s": "time of the management API's further answers, seconds",
        "calls_s": "time of all calls, seconds",
        "apis": "APIs that are listed",
        "proxy_services": "proxy services that are listed",
        "endpoints": "endpoints that are listed",
        "data_services": "data services that are listed",
    },
    facts={
        "version": "string",
        "body": "string",
        "headers": "map",
        "json": "dyn",
        "url": "string",
        "tls.version": "string",
        **CERT_FACTS,
    },
)
"""The probe kind `wso2`."""
