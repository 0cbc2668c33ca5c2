"""The inventory as the store tells it: read again only when it has been written again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import CheckRule, Confirm, Route, Rules, TargetRule, Window
from config.model import Inventory, Objective, ServiceHours, Settings, Target
from monitor.queries import statements
from monitor.views import Name


@dataclass(frozen=True, slots=True)
class KnownTarget:
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


@dataclass(frozen=True, slots=True)
class KnownCheck:
    """A check of the configuration."""

    number: int
    id: str
    name: str
    probe: str
    address: str
    interval_s: float


@dataclass(frozen=True, slots=True)
class Known:
    """The configuration, as far as readers need it.

    Attributes:
        version_ms: when it was written.
        inventory: settings, service hours and objectives; nothing else is filled in.

    """

    version_ms: int = -1
    simulated: bool = False
    rules: Rules = field(default_factory=lambda: Rules({}, {}))
    inventory: Inventory = field(default_factory=Inventory)
    agencies: Mapping[str, Name] = field(default_factory=dict)
    sites: Mapping[str, Name] = field(default_factory=dict)
    targets: Mapping[str, KnownTarget] = field(default_factory=dict)
    checks: Mapping[int, KnownCheck] = field(default_factory=dict)


async def read_known(connection: AsyncConnection, version_ms: int) -> Known:
    """Read the whole inventory."""
    found = {row.name: orjson.loads(row.value) for row in await connection.execute(statements.INVENTORY_META)}
    rules = rules_from(found.get("rules", {"checks": {}, "targets": {}}))
    rows = (await connection.execute(statements.TARGETS)).all()
    by_target: dict[str, list[KnownCheck]] = {}
    for row in await connection.execute(statements.CHECKS):
        check = KnownCheck(row.no, row.id, row.name, row.probe, row.address, row.interval_s)
        by_target.setdefault(row.target, []).append(check)
    return Known(
        version_ms=version_ms,
        simulated=bool(found.get("simulated")),
        rules=rules,
        inventory=_inventory(found, rows),
        agencies=_names(await connection.execute(statements.AGENCIES)),
        sites=_names(await connection.execute(statements.SITES)),
        targets=_targets(rows, by_target),
        checks={check.number: check for checks in by_target.values() for check in checks},
    )


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
        )
        for row in rows
    }


def _with_members(target: str, members: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """Return the target and all that it is made of, each once."""
    found, todo = {target: None}, [target]
    while todo:
        new = [member for member in members.get(todo.pop(), ()) if member not in found]
        found.update(dict.fromkeys(new))
        todo += new
    return found


def _inventory(found: Mapping[str, Any], rows: Iterable[Any]) -> Inventory:
    """Return an inventory of what figures need; its values were checked when the configuration was read."""
    hours = found.get("service_hours", {})
    return Inventory.model_construct(
        settings=Settings.model_construct(
            timezone=found.get("timezone", Settings().timezone), language=found.get("language", "vi")
        ),
        targets={
            row.id: Target.model_construct(
                id=row.id,
                type=row.type,
                service_hours=row.service_hours,
                objective=Objective.model_construct(**orjson.loads(row.objective)),
            )
            for row in rows
        },
        service_hours={id_: ServiceHours(id=id_, days=days, hours=times) for id_, (days, times) in hours.items()},
    )


def rules_from(found: Mapping[str, Any]) -> Rules:
    """Return the rules that `Store.sync_inventory` has written as JSON."""
    return Rules(
        checks={id_: CheckRule(**{**rule, "down": Confirm(*rule["down"])}) for id_, rule in found["checks"].items()},
        targets={id_: _target_rule(rule) for id_, rule in found["targets"].items()},
        maintenance=tuple(map(_window, found.get("maintenance", ()))),
        silences=tuple(map(_window, found.get("silences", ()))),
        routes=tuple(map(_route, found.get("routes", ()))),
        timezone=found.get("timezone", Settings().timezone),
    )


def _target_rule(rule: Mapping[str, Any]) -> TargetRule:
    tuples = {name: tuple(rule[name]) for name in ("checks", "members")}
    return TargetRule(**{**rule, **tuples, "depends_on": tuple(map(tuple, rule["depends_on"]))})


def _window(window: Mapping[str, Any]) -> Window:
    return Window(**{**window, "targets": frozenset(window["targets"])})


def _route(route: Mapping[str, Any]) -> Route:
    sets = {name: frozenset(route[name]) for name in ("agencies", "types", "targets")}
    return Route(**{**route, **sets, "receivers": tuple(route["receivers"])})
