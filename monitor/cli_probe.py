"""`thongsuot probe`: runs one probe once and explains it, or again and again."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from alerts.model import Result, State
from monitor.cli_base import FINE, NOT_FINE, NOT_MEASURED, WRONG_USE, fail, say
from monitor.cli_parameters import filled_in, read_parameters
from monitor.jobs import Job
from monitor.logs import defer_logs
from monitor.oneshot import WrongUseError, prepare
from monitor.runner import observe
from probes.model import Resources
from probes.units import parse_duration

STATUS_OF = {State.UP: FINE, State.DEGRADED: NOT_FINE, State.DOWN: NOT_FINE, State.UNKNOWN: NOT_MEASURED}
AGENT = "cli"


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        every_s: with `--watch`, the time between two starts; None for one run.
        runs: how many a watch has at most, 0 for no end.
        language: `vi`, `en`, or "" for that of the environment.

    """

    kind: str
    address: str
    parameters: Sequence[str]
    timeout: str
    as_json: bool
    every_s: float | None = None
    runs: int = 0
    language: str = ""


def probe(request: Request) -> int:
    """Run the probe, print what it found, and return the exit status."""
    defer_logs()
    try:
        timeout_s = parse_duration(request.timeout)
        address = filled_in(request.address, "address")
        job = prepare(request.kind, address, read_parameters(request.parameters), timeout_s)
    except (WrongUseError, ValueError) as error:
        fail(WRONG_USE, str(error))
    if address == request.address:  # one with a secret in it is shown as it was written
        request = request._replace(address=job.id.removeprefix(f"{request.kind}:"))
    if request.every_s is None:
        return asyncio.run(_once(job, request))
    gc.freeze()
    gc.enable()
    try:
        return asyncio.run(_watch(job, request, request.every_s))
    except KeyboardInterrupt:
        return FINE


async def _once(job: Job, request: Request) -> int:
    resources = Resources()
    try:
        seen = await observe(job, resources, AGENT)
    finally:
        await resources.aclose()
    if request.as_json:
        _print_json(seen.result, request)
    else:
        from monitor.explain import Style, explain
        from probes.secrecy import secrets_in, without_secrets

        secrets = secrets_in(job.params)
        style = Style(request.language or language_of_environment(), _has_colours())
        for line in explain(request.kind, request.address, job, seen, style):
            say(without_secrets(line, secrets))  # what came may repeat what was sent
    return STATUS_OF[seen.result.state]


async def _watch(job: Job, request: Request, every_s: float) -> int:
    """Run the probe again and again with the same resources: rates, kept sessions and changes are seen as live."""
    from monitor.watch import Tally, line_of, summary

    resources, tally = Resources(), Tally()
    language = request.language or language_of_environment()
    started = time.monotonic()
    try:
        while True:
            result = (await observe(job, resources, AGENT)).result
            tally.add(result, job.latency_of(result))
            if request.as_json:
                _print_json(result, request)
            else:
                say(line_of(job, result, language))
            sys.stdout.flush()
            if tally.runs == request.runs:
                break
            turns = (time.monotonic() - started) // every_s + 1
            await asyncio.sleep(max(0.0, started + turns * every_s - time.monotonic()))
    except asyncio.CancelledError:  # Ctrl-C
        if request.runs:
            raise
    finally:
        await resources.aclose()
        if not request.as_json:
            for line in summary(tally, language):
                say(line)
    return STATUS_OF[tally.worst]


def _print_json(result: Result, request: Request) -> None:
    import orjson

    from monitor.result_json import result_object

    found = {**result_object(result), "check": None, "probe": request.kind, "address": request.address}
    say(orjson.dumps(found).decode())


def language_of_environment() -> str:
    """Return the language that the user's environment asks for: Vietnamese, or else English."""
    asked = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "vi" if asked.startswith("vi") else "en"


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
