"""Availability by loss, from rollups of 5 minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.loss_availability import Judged, LossAvailability, Lost, by_loss, judge, needed, worst
from alerts.timeline import members_of, parts_first
from monitor.counting import Counting
from monitor.queries import statements
from monitor.queries.known import Known
from monitor.store.codec import MILLION

CHECKS_AT_ONCE = 16
"""So many are read in one go: three months of each are 26,000 intervals."""


async def read_loss(
    connection: AsyncConnection, known: Known, counting: Counting, targets: Iterable[str], from_ms: int, to_ms: int
) -> dict[str, list[LossAvailability]]:
    """Return the availability by loss of those targets that are links: of each check that tells one, and of members."""
    settings = known.inventory.settings
    links = [target for target in targets if target in known.targets and known.targets[target].type == "link"]
    found: dict[str, list[LossAvailability]] = {}
    for some in counting.few_checks_each(links, CHECKS_AT_ONCE):
        numbers = sorted({check.number for target in some for check in known.targets[target].below})
        window = {"span": round(settings.loss_interval * 1000), "start": from_ms, "end": to_ms}
        lost: dict[str, list[Lost]] = {}
        for place in range(0, len(numbers), CHECKS_AT_ONCE):
            asked = {**window, "numbers": numbers[place : place + CHECKS_AT_ONCE]}
            for number, at_ms, loss_ppm, count in await connection.execute(statements.LOSS_OF_CHECKS, asked):
                lost.setdefault(known.checks[number].id, []).append(Lost(at_ms, int(loss_ppm) / MILLION, count))
        found |= await asyncio.to_thread(_of_links, known, counting, some, lost, from_ms, to_ms)
    return found


def _of_links(
    known: Known,
    counting: Counting,
    links: Sequence[str],
    lost: Mapping[str, Sequence[Lost]],
    from_ms: int,
    to_ms: int,
) -> dict[str, list[LossAvailability]]:
    settings, found = known.inventory.settings, dict[str, list[LossAvailability]]()
    rule = (settings.loss_interval, settings.loss_threshold)
    by_check = {check: judge(intervals, settings.loss_threshold) for check, intervals in lost.items()}
    for link in links:
        measured = counting.measured(link, from_ms, to_ms)
        checks = [check.id for check in known.targets[link].checks if check.id in by_check]
        judged = [by_loss(check, by_check[check], measured, *rule) for check in checks]
        members = tuple(members_of(known.rules, known.rules.targets[link]))
        if members:
            need = known.rules.targets[link].need or len(members)
            together = _of_members(known, link, by_check)
            judged.append(by_loss("", together, measured, *rule, members=members, need=need))
        found[link] = [one for one in judged if one.intervals]
    return found


def _of_members(known: Known, link: str, by_check: Mapping[str, Judged]) -> Judged:
    """Judge the intervals of a link by its members, these by their own critical checks and members, and so on."""
    whole: dict[str, Judged] = {}
    for part in parts_first(known.rules, link):
        rule = known.rules.targets[part]
        checks = [by_check[id_] for id_ in rule.checks if id_ in by_check and known.rules.checks[id_].critical]
        members = [whole[member] for member in members_of(known.rules, rule)]
        if members:
            together = needed(rule.need or len(members), members)
            if part == link:
                return together
            checks.append(together)
        whole[part] = worst(checks)
    return {}
