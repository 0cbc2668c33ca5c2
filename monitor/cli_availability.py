"""`thongsuot availability`: how available targets were, from the store or from a file of results."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import orjson

from alerts.availability import Availability
from config.model import Inventory
from monitor.availability import UnknownTargetError, availability_from_results
from monitor.availability_lines import compared_lines, figure_lines, outage_lines, signed_line, together_lines
from monitor.cli_base import FINE, NOT_FINE, NOT_MEASURED, WRONG_USE, fail, load_inventory, say
from monitor.result_json import ResultError, read_results
from monitor.times import parse_span_ms, parse_time_ms
from monitor.together import PROGRAMME, By, Facts, of_agency, together

OF_THE_STORE = ("signed", "compare", "outages", "loss")
"""What a file of results cannot tell."""


class Request(NamedTuple):
    """What was asked on the command line, as typed."""

    from_: str | None
    to: str | None
    month: str | None
    config: Path | None
    target: str | None
    agency: str | None
    by: str
    results: Path | None
    now: str | None
    signed: bool
    compare: bool
    outages: bool
    loss: bool
    as_json: bool


class Answer(NamedTuple):
    """What was found.

    Attributes:
        figures: of each target, in the configuration's order; facts: what each of them belongs to.
        beside: by target, what stands beside its figures: of outages, of loss, of what is counted now.
        signed: who signed the figures off, or "".

    """

    figures: Sequence[Availability]
    facts: Mapping[str, Facts]
    beside: Mapping[str, Mapping[str, Any]]
    signed: str = ""


async def show_availability(request: Request) -> int:
    """Print the figures; return 1 when an objective was missed, 3 when nothing is known of any target."""
    inventory = _inventory(request)
    settings = (inventory or Inventory()).settings
    try:
        _refuse_what_does_not_fit(request)
        from_ms, to_ms = parse_span_ms(request.from_, request.to, request.month, settings.timezone)
        now_ms = None if request.now is None else parse_time_ms(request.now, settings.timezone)
        if request.results is not None:
            answer = _from_file(request, inventory, from_ms, to_ms, now_ms)
        else:
            answer = await _from_store(request, inventory, from_ms, to_ms)
    except (ValueError, UnknownTargetError) as error:
        fail(WRONG_USE, str(error))
    if request.agency is not None:
        answer = answer._replace(figures=of_agency(answer.figures, answer.facts, request.agency))
    _print(answer, request, settings.language)
    if all(figure.availability is None for figure in answer.figures):
        return NOT_MEASURED
    return NOT_FINE if any(figure.met is False for figure in answer.figures) else FINE


def _refuse_what_does_not_fit(request: Request) -> None:
    if request.by not in get_args(By):
        message = f"--by {request.by} is none of {', '.join(get_args(By))}"
        raise ValueError(message)
    beside = [name for name in OF_THE_STORE if getattr(request, name)]
    if request.results is not None and beside:
        message = f"--{beside[0]} needs the store: a file of results does not tell"
        raise ValueError(message)
    if request.outages and request.target is None:
        raise ValueError("--outages needs --target: outages are listed of one target")
    if request.by != "target" and (request.target is not None or beside[1:] or set(beside) - {"signed"}):
        raise ValueError("--by adds targets up: it goes with --agency and --signed only")


def _inventory(request: Request) -> Inventory | None:
    """Return the configuration: the one named, else the usual one; a file of results can do without."""
    if request.config is not None:
        return load_inventory(request.config)
    usual = Path(os.environ.get("THONGSUOT_CONFIG", "thongsuot.d"))
    if request.results is not None and "THONGSUOT_CONFIG" not in os.environ:
        return None
    return load_inventory(usual)


def _from_file(request: Request, inventory: Inventory | None, from_ms: int, to_ms: int, now_ms: int | None) -> Answer:
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
    figures = availability_from_results(inventory, results, from_ms, to_ms, now_ms, request.target)
    known = _facts(inventory or Inventory())
    return Answer(figures, {figure.target: known.get(figure.target, Facts()) for figure in figures}, {})


def _facts(inventory: Inventory) -> dict[str, Facts]:
    sites = inventory.sites
    return {
        id_: Facts(
            target.agency,
            sites[target.site].province if target.site in sites else "",
            target.labels.get(PROGRAMME, ""),
            target.members,
        )
        for id_, target in inventory.targets.items()
    }


async def _from_store(request: Request, inventory: Inventory | None, from_ms: int, to_ms: int) -> Answer:
    from monitor.queries import Queries
    from monitor.store import StoreError

    if inventory is None:
        raise ValueError("there is no configuration that says where the store is")
    try:
        queries = await Queries.open(inventory.settings.store)
        try:
            return await _asked(queries, request, from_ms, to_ms, time.time_ns() // 1_000_000)
        finally:
            await queries.aclose()
    except StoreError as error:
        fail(NOT_MEASURED, str(error))


async def _asked(queries: Any, request: Request, from_ms: int, to_ms: int, now_ms: int) -> Answer:
    period = await queries.signed_availability(from_ms, to_ms)
    if period is None and (request.signed or request.compare):
        fail(NOT_MEASURED, "that period was not signed off")
    figures = await queries.availability(from_ms, to_ms, now_ms, request.target)
    beside: dict[str, dict[str, Any]] = {figure.target: {} for figure in figures}
    if request.compare:
        for now in await queries.counted_availability(from_ms, to_ms, now_ms):
            beside.get(now.target, {})["counted_now"] = now
    if request.outages:
        beside[figures[0].target]["outages"] = await queries.outages(figures[0].target, from_ms, to_ms, now_ms)
    if request.loss:
        for target, by_loss in (await queries.loss(list(beside), from_ms, to_ms, now_ms)).items():
            beside[target]["by_loss"] = by_loss
    facts = await queries.facts() if period is None else period.facts
    return Answer(figures, facts, beside, "" if period is None else signed_line(period))


def _print(answer: Answer, request: Request, language: str) -> None:
    if request.by != "target":
        parts = together(request.by, answer.figures, answer.facts)  # type: ignore[arg-type]  # checked before
        if request.as_json:
            say(orjson.dumps([part.as_json() for part in parts]).decode())
            return
        lines = list(together_lines(parts, language))
    elif request.as_json:
        found = [_with_what_is_beside(figure, answer.beside.get(figure.target, {})) for figure in answer.figures]
        say(orjson.dumps(found[0] if request.target is not None and found else found).decode())
        return
    else:
        lines = list(figure_lines(answer.figures, language))
        for figure in answer.figures:
            beside = answer.beside.get(figure.target, {})
            lines += outage_lines(figure, beside.get("outages", ()))
            if request.compare:
                lines += compared_lines(figure, beside.get("counted_now"), language)
            lines += [f"  {one.line(language)}" for one in beside.get("by_loss", ())]
    for line in ([answer.signed] if answer.signed else []) + lines:
        say(line)


def _with_what_is_beside(figure: Availability, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object of DESIGN section 6.5, with what was asked for beyond it behind."""
    shown = figure.as_json()
    if "counted_now" in beside:
        shown["counted_now"] = beside["counted_now"].as_json()
    if "outages" in beside:
        shown["outage_list"] = [figure.outage_as_json(outage) for outage in beside["outages"]]
    if "by_loss" in beside:
        shown["by_loss"] = [one.as_json() for one in beside["by_loss"]]
    return shown
