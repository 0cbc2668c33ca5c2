"""The monitor's own HTTP listener: `/metrics`, `/probe`, `/heartbeat/…`, `/healthz`, `/readyz`, and `/-/reload`.

It is small on purpose and shares the loop with the probes; whatever takes long runs in a thread.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol

import structlog
from aiohttp import web

from config.model import LOOPBACK, Inventory
from monitor import blackbox
from monitor.heartbeats import Heartbeats
from monitor.jobs import Job
from monitor.metrics import probe_text
from monitor.oneshot import MODULES, WrongUseError, prepare
from monitor.runner import Observation, observe
from probes import registry
from probes.heartbeat_book import TAIL_CHARACTERS, Signal
from probes.model import Resources
from probes.units import parse_duration

log = structlog.get_logger()

PROBES_AT_ONCE = 32
"""How many `/probe` requests run side by side, more are refused: they must not take the monitor's own turns."""
RETRY_AFTER_S = 1
"""When one that was refused may come back."""
PROBE_TIMEOUT_S, PROBE_TIMEOUT_MOST_S = 5.0, 60.0
"""Where neither Prometheus nor the module says more, and the most that either may ask for."""
SCRAPE_MARGIN_S = 0.5
"""What is left of Prometheus's scrape time-out for the way back, as blackbox_exporter does."""
LOG_LIMIT_BYTES = 1 << 20
"""How much of a job's log is read for its end."""
LOG_PATIENCE_S = 10.0
"""How long a job may take to send its log."""
_RUN_ID = re.compile(r"[\w.:-]{0,64}", re.ASCII)
_EXIT_CODE = re.compile(r"[0-9]{1,3}", re.ASCII)
_EXIT_CODE_MOST = 255
TEXT = "text/plain"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Engine(Protocol):
    """What the listener asks of the engine."""

    agent: str
    resources: Resources
    heartbeats: Heartbeats
    inventory: Inventory

    def problems(self) -> list[str]:
        """Return why the engine is not ready, one line each; empty when it is."""

    async def metrics(self) -> str:
        """Return the page of `/metrics`."""

    async def reload(self) -> list[str]:
        """Read the configuration again; return its problems, empty when it is in force."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_listener(engine: Engine) -> web.Application:
    """Return the listener's application."""
    routes = Routes(engine)
    app = web.Application(client_max_size=4096)
    app.add_routes(
        [
            web.get("/metrics", routes.metrics),
            web.get("/probe", routes.probe),
            web.get("/heartbeat/{token}", routes.heartbeat),
            web.post("/heartbeat/{token}", routes.heartbeat),
            web.get("/heartbeat/{token}/{what}", routes.heartbeat),
            web.post("/heartbeat/{token}/{what}", routes.heartbeat),
            web.get("/healthz", routes.healthz),
            web.get("/readyz", routes.readyz),
            web.post("/-/reload", routes.reload),
        ]
    )
    return app


class Routes:
    """The listener's handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._probing = 0

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer that the process is alive."""
        return web.Response(text="ok\n", content_type=TEXT)

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 when results can be taken and saved, 503 with the reasons otherwise."""
        problems = self._engine.problems()
        if not problems:
            return web.Response(text="ok\n", content_type=TEXT)
        return web.Response(status=503, text="".join(f"{line}\n" for line in problems), content_type=TEXT)

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with everything that is known, for Prometheus."""
        body = (await self._engine.metrics()).encode()
        return web.Response(body=body, headers={"Content-Type": PROMETHEUS})

    async def probe(self, request: web.Request) -> web.Response:
        """Run one probe now: `?module=NAME&target=ADDRESS`, as a Prometheus that scraped blackbox_exporter asks.

        A module is one of the configuration, one that blackbox_exporter comes with, or a kind. Whoever may ask can
        have this machine talk to whatever it reaches, so that is for known networks alone, and never for many at once.
        """
        if not _is_within(request, self._engine.inventory.settings.probe_from):
            text = "not from your address: it is in no network of settings.probe_from\n"
            return web.Response(status=403, text=text, content_type=TEXT)
        target, module = request.query.get("target", ""), request.query.get("module", "http_2xx")
        if not target:
            return web.Response(status=400, text="the parameter target is missing\n", content_type=TEXT)
        try:
            host = request.query.get("hostname", "")
            kind, job = self._job_of(module, target, _scrape_timeout_s(request), host)
        except WrongUseError as error:
            known = ", ".join(sorted({*self._engine.inventory.modules, *MODULES, *registry.kinds()}))
            text = f"{error}\nmodules: {known}\n"
            return web.Response(status=400, text=text, content_type=TEXT)
        if self._probing >= PROBES_AT_ONCE:
            text = f"{PROBES_AT_ONCE} probes are under way, which is all that run at once\n"
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return web.Response(status=503, text=text, content_type=TEXT, headers=headers)
        seen = await self._observe(job)
        more = blackbox.series_of(kind, seen, tuple(condition.source for condition in job.down_when))
        return web.Response(body=probe_text(kind, seen.result, more).encode(), headers={"Content-Type": PROMETHEUS})

    def _job_of(self, name: str, target: str, asked_s: float | None, host: str) -> tuple[str, Job]:
        """Return the kind and the job of a module; `host` is the name to ask a web server for. Raises WrongUseError."""
        module = self._engine.inventory.modules.get(name)
        if module is None:
            kind, given = MODULES.get(name, (name, {}))
            taking = "url" if kind == "http" else ""
        else:
            kind, given, taking = module.probe, module.options, module.target
        options = dict(given)
        own_s = parse_duration(options.pop("timeout")) if "timeout" in options else asked_s or PROBE_TIMEOUT_S
        # Prometheus waits no longer than it says, whatever the module would.
        timeout_s = min(own_s, asked_s or own_s, PROBE_TIMEOUT_MOST_S)
        if host:
            options = _for_host(kind, options, host)
        address = _with_scheme(target) if taking == "url" else target
        return kind, prepare(kind, address, options, timeout_s, taking)

    async def _observe(self, job: Job) -> Observation:
        self._probing += 1
        try:
            return await observe(job, self._engine.resources, self._engine.agent)
        finally:
            self._probing -= 1

    async def heartbeat(self, request: web.Request) -> web.Response:
        """Take a job's signal, `/heartbeat/<token>[/start|/fail|/<exit code>][?rid=<run>]`, and the end of its log."""
        at_ms = time.time_ns() // 1_000_000
        what, run = request.match_info.get("what", "0"), request.query.get("rid", "")
        told = _signal_of(what)
        if told is None or not _RUN_ID.fullmatch(run):
            text = "say start, fail, or an exit code from 0 to 255; a run id has up to 64 letters, digits and -_.:\n"
            return web.Response(status=400, text=text, content_type=TEXT)
        signal, exit_code = told
        tail = await _end_of_log(request)
        token = request.match_info["token"]
        if not await self._engine.heartbeats.hear(token, signal, at_ms, run, exit_code, tail):
            return web.Response(status=404, text="no check has this token\n", content_type=TEXT)
        return web.Response(text="ok\n", content_type=TEXT)

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again; only this machine may ask. 422 with all problems when it is not in order."""
        if not _is_local(request):
            return web.Response(status=403, text="only from this machine\n", content_type=TEXT)
        problems = await self._engine.reload()
        if problems:
            text = "".join(f"{line}\n" for line in problems)
            return web.Response(status=422, text=text, content_type=TEXT)
        return web.Response(text="reloaded\n", content_type=TEXT)


def _signal_of(what: str) -> tuple[Signal, int | None] | None:
    """Return the signal and the exit code that the end of an address says, None for nothing that is known."""
    if what == "start":
        return Signal.START, None
    if what == "fail":
        return Signal.FAILURE, None
    if not _EXIT_CODE.fullmatch(what) or int(what) > _EXIT_CODE_MOST:
        return None
    return (Signal.FAILURE if int(what) else Signal.SUCCESS), int(what)


async def _end_of_log(request: web.Request) -> str:
    """Return the end of what was posted; a job that sends slowly, or without end, is not waited for."""
    kept, length = b"", 0
    try:
        async with asyncio.timeout(LOG_PATIENCE_S):
            async for chunk in request.content.iter_chunked(1 << 14):
                kept = (kept + chunk)[-4 * TAIL_CHARACTERS :]  # a character has four bytes at most
                length += len(chunk)
                if length > LOG_LIMIT_BYTES:
                    break
    except (TimeoutError, OSError, web.HTTPException):
        pass
    return kept.decode("utf-8", "replace")[-TAIL_CHARACTERS:]


def _with_scheme(target: str) -> str:
    """Put http:// before a bare host, as blackbox_exporter does."""
    return target if "://" in target else f"http://{target}"


def _for_host(kind: str, options: dict[str, Any], host: str) -> dict[str, Any]:
    """Return the options with the name that a server is asked for when the target is only its address."""
    if kind == "http":
        headers = {name: text for name, text in options.get("headers", {}).items() if name.lower() != "host"}
        return {"server_name": host.rpartition(":")[0] or host, **options, "headers": {**headers, "Host": host}}
    return {"server_name": host, **options} if options.get("tls") else options


def _scrape_timeout_s(request: web.Request) -> float | None:
    """Return how long Prometheus leaves for the probe, None where nobody says."""
    try:
        asked = float(request.headers["X-Prometheus-Scrape-Timeout-Seconds"]) - SCRAPE_MARGIN_S
    except (KeyError, ValueError):
        return None
    return max(asked, SCRAPE_MARGIN_S) if math.isfinite(asked) else None


def _is_local(request: web.Request) -> bool:
    return _is_within(request, LOOPBACK) and "Origin" not in request.headers


def _is_within(request: web.Request, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Return whether the client's address is in one of the networks; on a socket of both versions IPv4 is mapped."""
    try:
        address = ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in networks)
