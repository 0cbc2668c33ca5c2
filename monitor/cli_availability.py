"""`thongsuot availability`: how available targets were, from the store or from a file of results."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from alerts.availability import Availability, format_availability
from config.model import Inventory
from monitor.availability import UnknownTargetError, availability_from_results
from monitor.cli import FINE, NOT_FINE, NOT_MEASURED, WRONG_USE, fail, load_inventory, say
from monitor.result_json import ResultError, read_results
from monitor.times import parse_period_ms, parse_time_ms


class Request(NamedTuple):
    """What was asked on the command line, as typed."""

    from_: str
    to: str
    config: Path | None
    target: str | None
    results: Path | None
    now: str | None
    as_json: bool


async def show_availability(request: Request) -> int:
    """Print the figures; return 1 when an objective was missed, 3 when nothing is known of any target."""
    inventory = _inventory(request)
    zone = (inventory or Inventory()).settings.timezone
    try:
        from_ms, to_ms = parse_period_ms(request.from_, request.to, zone)
        now_ms = None if request.now is None else parse_time_ms(request.now, zone)
        if request.results is not None:
            figures = _from_file(request, inventory, from_ms, to_ms, now_ms)
        else:
            figures = await _from_store(request, inventory, from_ms, to_ms)
    except (ValueError, UnknownTargetError) as error:
        fail(WRONG_USE, str(error))
    _print(figures, request, (inventory or Inventory()).settings.language)
    if all(figure.availability is None for figure in figures):
        return NOT_MEASURED
    return NOT_FINE if any(figure.met is False for figure in figures) else FINE


def _inventory(request: Request) -> Inventory | None:
    """Return the configuration: the one named, else the usual one; a file of results can do without."""
    if request.config is not None:
        return load_inventory(request.config)
    usual = Path(os.environ.get("THONGSUOT_CONFIG", "thongsuot.d"))
    if request.results is not None and "THONGSUOT_CONFIG" not in os.environ:
        return None
    return load_inventory(usual)


def _from_file(
    request: Request, inventory: Inventory | None, from_ms: int, to_ms: int, now_ms: int | None
) -> list[Availability]:
    if request.results is None:
        raise ValueError("there is no file of results")
    try:
        results = list(read_results(request.results))
    except ResultError as error:
        fail(WRONG_USE, str(error))
    except OSError as error:
        fail(NOT_MEASURED, f"{request.results}: {error.strerror}")
    if now_ms is None:
        # A recording may lie ahead of this machine's clock; what it says has happened there all the same.
        now_ms = max([time.time_ns() // 1_000_000, *(result.known_at_ms for result in results)])
    return availability_from_results(inventory, results, from_ms, to_ms, now_ms, request.target)


async def _from_store(request: Request, inventory: Inventory | None, from_ms: int, to_ms: int) -> list[Availability]:
    from monitor.queries import Queries
    from monitor.store import StoreError

    if inventory is None:
        raise ValueError("there is no configuration that says where the store is")
    try:
        queries = await Queries.open(inventory.settings.store)
        try:
            return await queries.availability(from_ms, to_ms, time.time_ns() // 1_000_000, request.target)
        finally:
            await queries.aclose()
    except StoreError as error:
        fail(NOT_MEASURED, str(error))


def _print(figures: Sequence[Availability], request: Request, language: str) -> None:
    if request.as_json:
        found = [figure.as_json() for figure in figures]
        say(orjson.dumps(found[0] if request.target is not None else found).decode())
        return
    width = max((len(figure.target) for figure in figures), default=0)
    for figure in figures:
        shown = format_availability(figure.availability, outage=figure.outages > 0, language=language)
        coverage = "-" if figure.coverage is None else f"{int(figure.coverage * 10_000) / 100:.2f} %"
        met = {True: "met", False: "NOT MET", None: "-"}[figure.met]
        longest = figure.longest_outage_ms // 1000
        say(
            f"{figure.target:<{width}}  {shown:>10}  coverage {coverage:>9}  outages {figure.outages:>4}"
            f"  longest {longest:>7} s  objective {met}"
        )
