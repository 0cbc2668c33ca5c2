"""`thongsuot probe`: runs one probe once and explains it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from alerts.model import Result, State
from monitor.cli import FINE, NOT_FINE, NOT_MEASURED, WRONG_USE, fail, say
from monitor.logs import set_up_logs
from monitor.oneshot import WrongUseError, prepare, run_once
from probes.units import parse_duration

STATUS_OF = {State.UP: FINE, State.DEGRADED: NOT_FINE, State.DOWN: NOT_FINE, State.UNKNOWN: NOT_MEASURED}
BAR_WIDTH = 40
PHASES_FIRST = ("resolve_s", "connect_s", "tls_s", "login_s", "first_byte_s", "transfer_s", "dialogue_s", "query_s")
"""Samples that are consecutive phases of one run, in their order: these become bars."""


def probe_once(kind: str, address: str, parameters: Sequence[str], timeout: str, *, as_json: bool) -> int:
    """Run the probe, print what it found, and return the exit status."""
    set_up_logs()
    try:
        job = prepare(kind, address, read_parameters(parameters), parse_duration(timeout))
    except (WrongUseError, ValueError) as error:
        fail(WRONG_USE, str(error))
    address = job.id.removeprefix(f"{kind}:")
    result = asyncio.run(run_once(job, "cli"))
    if as_json:
        import orjson

        from monitor.result_json import result_object

        found = {**result_object(result), "check": None, "probe": kind, "address": address}
        say(orjson.dumps(found).decode())
    else:
        for line in explain(kind, address, result):
            say(line)
    return STATUS_OF[result.state]


def read_parameters(parameters: Sequence[str]) -> dict[str, Any]:
    """Return name → value for `name=value` texts, the values read as YAML.

    Raises WrongUseError.
    """
    values = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name:
            message = f"{text!r} is not a parameter: write name=value"
            raise WrongUseError(message)
        try:
            values[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            message = f"the value of {name} is not YAML"
            raise WrongUseError(message) from None
    return values


def explain(kind: str, address: str, result: Result) -> Iterable[str]:
    """Yield the lines that tell a person what was found."""
    yield f"{kind} {address}: {result.state.upper()} in {_span(result.duration_s)}"
    if result.failure is not None:
        yield f"  {result.failure} (layer: {result.failure.layer})"
    if result.message:
        yield f"  {result.message}"
    phases = {name: result.samples[name] for name in PHASES_FIRST if name in result.samples}
    yield from _bars(phases)
    for name, value in result.samples.items():
        if name not in phases:
            yield f"  {name.removesuffix('_s'):<16} {_value(name, value):>12}"


def _bars(phases: Mapping[str, float]) -> Iterable[str]:
    longest = max(phases.values(), default=0.0)
    for name, span_s in phases.items():
        bar = "█" * round(BAR_WIDTH * span_s / longest) if longest else ""
        yield f"  {name.removesuffix('_s'):<16} {_span(span_s):>12}  {bar}"


def _value(name: str, value: float) -> str:
    if name.endswith("_s"):
        return _span(value)
    if name.endswith("_ratio"):
        return f"{value * 100:.4g} %"
    if name.endswith("_bytes"):
        return f"{value:.0f} B"
    return f"{value:.10g}"


def _span(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3f} ms"
    if abs(seconds) < 120:
        return f"{seconds:.3f} s"
    return f"{seconds / 86400:.1f} days" if abs(seconds) > 2 * 86400 else f"{seconds / 3600:.1f} h"
