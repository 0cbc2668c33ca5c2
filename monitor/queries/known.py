"""The inventory as the store tells it: read again only when it has been written again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Rules
from config.calendars import Holidays, ServiceHours
from config.model import Inventory, Objective, Settings, Target
from monitor.queries import statements
from monitor.store.rules import rules_from
from monitor.together import PROGRAMME
from monitor.views import Name


class KnownCheck(NamedTuple):
    """A check of the configuration."""

    number: int
    id: str
    name: str
    probe: str
    address: str
    interval_s: float


class KnownTarget(NamedTuple):
    """A target of the configuration; `below` are its checks and those of all that it is made of."""

    id: str
    name: Name
    type: str
    agency: str
    site: str
    criticality: int
    checks: tuple[KnownCheck, ...]
    below: tuple[KnownCheck, ...]
    members: tuple[str, ...]
    parents: tuple[str, ...]
    programme: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """The configuration, as far as readers need it.

    Attributes:
        version: what tells it from those written before and after; None of one that does not say so, "" of none read.
        inventory: settings, service hours, and the targets that have hours or an objective; nothing else is there.
        order: ids of targets by criticality, then by name.
        provinces: the province's code of each site.
        above: ids of the targets that a check counts for, by the check's id.

    """

    version: str | None = ""
    simulated: bool = False
    rules: Rules = field(default_factory=lambda: Rules({}, {}))
    inventory: Inventory = field(default_factory=Inventory)
    agencies: Mapping[str, Name] = field(default_factory=dict)
    sites: Mapping[str, Name] = field(default_factory=dict)
    provinces: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, KnownTarget] = field(default_factory=dict)
    checks: Mapping[int, KnownCheck] = field(default_factory=dict)
    order: Sequence[str] = ()
    above: Mapping[str, Sequence[str]] = field(default_factory=dict)


async def read_known(connection: AsyncConnection, version: str | None) -> Known:
    """Read the whole inventory."""
    found = {row.name: orjson.loads(row.value) for row in await connection.execute(statements.INVENTORY_META)}
    rules = rules_from(found["rules"]) if "rules" in found else Rules({}, {})
    rows = (await connection.execute(statements.TARGETS)).all()
    by_target: dict[str, list[KnownCheck]] = {}
    for row in await connection.execute(statements.CHECKS):
        check = KnownCheck(row.no, row.id, row.name, row.probe, row.address, row.interval_s)
        by_target.setdefault(row.target, []).append(check)
    targets = _targets(rows, by_target)
    sites = (await connection.execute(statements.SITES)).all()
    above: dict[str, list[str]] = {}
    for target in targets.values():
        for check in target.below:
            above.setdefault(check.id, []).append(target.id)
    return Known(
        version=version,
        simulated=bool(found.get("simulated")),
        rules=rules,
        inventory=_inventory(found, rows),
        agencies=_names(await connection.execute(statements.AGENCIES)),
        sites=_names(sites),
        provinces={row.id: row.province for row in sites},
        targets=targets,
        checks={check.number: check for checks in by_target.values() for check in checks},
        order=[target.id for target in sorted(targets.values(), key=_display_order)],
        above=above,
    )


def _display_order(target: KnownTarget) -> tuple[int, str, str]:
    return target.criticality, target.name.vi.casefold() or target.id, target.id


def _names(rows: Iterable[Any]) -> dict[str, Name]:
    return {row.id: Name(row.name_vi, row.name_en) for row in rows}


def _targets(rows: Iterable[Any], by_target: Mapping[str, list[KnownCheck]]) -> dict[str, KnownTarget]:
    members = {row.id: tuple(orjson.loads(row.members)) for row in rows}
    return {
        row.id: KnownTarget(
            id=row.id,
            name=Name(row.name_vi, row.name_en),
            type=row.type,
            agency=row.agency,
            site=row.site,
            criticality=row.criticality,
            checks=tuple(by_target.get(row.id, ())),
            below=tuple(check for part in _with_members(row.id, members) for check in by_target.get(part, ())),
            members=members[row.id],
            parents=tuple(orjson.loads(row.parents)),
            programme=orjson.loads(row.labels).get(PROGRAMME, ""),
        )
        for row in rows
    }


def _with_members(target: str, members: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """Return the target and all that it is made of, each once."""
    if not members[target]:
        return (target,)
    found, todo = {target: None}, [target]
    while todo:
        new = [member for member in members.get(todo.pop(), ()) if member not in found]
        found.update(dict.fromkeys(new))
        todo += new
    return found


def _inventory(found: Mapping[str, Any], rows: Iterable[Any]) -> Inventory:
    """Return an inventory of what figures need; its values were checked when the configuration was read."""
    hours, usual = found.get("service_hours", {}), Settings()
    loss_interval, loss_threshold = found.get("loss", (usual.loss_interval, usual.loss_threshold))
    return Inventory.model_construct(
        settings=Settings.model_construct(
            timezone=found.get("timezone", usual.timezone),
            language=found.get("language", "vi"),
            loss_interval=loss_interval,
            loss_threshold=loss_threshold,
        ),
        targets={
            row.id: Target(
                id=row.id,
                type=row.type,
                service_hours=row.service_hours,
                objective=Objective.model_construct(**orjson.loads(row.objective)),
            )
            for row in rows
            if row.service_hours or row.objective != "{}"
        },
        service_hours={
            id_: ServiceHours(id=id_, days=days, hours=times, holidays=calendars[0] if calendars else ())
            for id_, (days, times, *calendars) in hours.items()
        },
        holidays={
            id_: Holidays(id=id_, days=[{"day": day} for day in days_off], works_on=works_on)
            for id_, (days_off, works_on) in found.get("holidays", {}).items()
        },
    )
