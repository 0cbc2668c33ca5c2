"""The inventory as the store keeps it: what pages need of it, and the numbers of checks, kept for ever.

What is no longer configured is marked with the time of its removal, never deleted: its history stays readable.
Parameters are not stored: they may hold secrets.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Check, Inventory, Target
from config.rules import rules_of
from monitor.store.classes import AgencyRow, SiteRow, TargetRow, metadata
from monitor.store.names import checks
from monitor.store.statements import put_meta, storable, to_json, upsert
from probes import registry

agencies = metadata.tables[AgencyRow.__tablename__]
sites = metadata.tables[SiteRow.__tablename__]
targets = metadata.tables[TargetRow.__tablename__]

_SECRET_PAIR = re.compile(r"(?i)\b(pass\w*|pwd|secret|token|key)(\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)")
_HIDDEN = "…"


async def sync(connection: AsyncConnection, inventory: Inventory, now_ms: int) -> None:
    """Write the inventory over the one that is there."""
    await _replace(connection, agencies, _agency_rows(inventory), now_ms)
    await _replace(connection, sites, _site_rows(inventory), now_ms)
    await _replace(connection, targets, _target_rows(inventory), now_ms)
    await _replace(connection, checks, _check_rows(inventory), now_ms)
    settings = inventory.settings
    await put_meta(
        connection,
        {
            "timezone": settings.timezone,
            "language": settings.language,
            "simulated": settings.simulated,
            "rules": rules_of(inventory),
            "service_hours": {
                hours.id: [hours.days, hours.hours, hours.holidays] for hours in inventory.service_hours.values()
            },
            "holidays": {
                calendar.id: [sorted(calendar.days_off), sorted(calendar.works_on)]
                for calendar in inventory.holidays.values()
            },
            "loss": [settings.loss_interval, settings.loss_threshold],
            "inventory": secrets.token_hex(8),  # another one each time, however little time lies between
        },
    )


async def _replace(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]], now_ms: int) -> None:
    there = set(await connection.scalars(select(table.c.id).where(table.c.removed_ms.is_(None))))
    await upsert(connection, table, rows, ("id",))
    gone = there - {row["id"] for row in rows}
    if gone:
        removed = update(table).where(table.c.id == bindparam("of")).values(removed_ms=now_ms)
        await connection.execute(removed, [{"of": name} for name in sorted(gone)])


def _agency_rows(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "id": agency.id,
            "name_vi": storable(agency.name.vi),
            "name_en": storable(agency.name.en),
            "position": position,
            "removed_ms": None,
        }
        for position, agency in enumerate(inventory.agencies.values())
    ]


def _site_rows(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "id": site.id,
            "name_vi": storable(site.name.vi),
            "name_en": storable(site.name.en),
            "province": storable(site.province),
            "lat": site.lat,
            "lon": site.lon,
            "position": position,
            "removed_ms": None,
        }
        for position, site in enumerate(inventory.sites.values())
    ]


def _target_rows(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "id": target.id,
            "type": target.type,
            "name_vi": storable(target.name.vi),
            "name_en": storable(target.name.en),
            "agency": target.agency,
            "site": target.site,
            "criticality": target.criticality,
            "policy": target.policy,
            "service_hours": target.service_hours,
            "members": to_json(target.members),
            "parents": to_json(_parents(target)),
            "objective": to_json(target.objective.model_dump(exclude_none=True)),
            "contract": to_json(target.contract.model_dump(exclude_none=True)),
            "labels": to_json(target.labels),
            "position": position,
            "removed_ms": None,
        }
        for position, target in enumerate(inventory.targets.values())
    ]


def _parents(target: Target) -> list[str]:
    parents: list[str] = []
    for entry in target.depends_on:
        parents += [entry] if isinstance(entry, str) else entry.any
    return list(dict.fromkeys(parents))


def _check_rows(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "id": check.id,
            "target": check.target,
            "name": check.name,
            "probe": check.probe,
            "address": storable(address_of(check)),
            "interval_s": check.interval_s,
            "critical": check.critical,
            "position": position,
            "removed_ms": None,
        }
        for position, check in enumerate(inventory.checks.values())
    ]


def address_of(check: Check) -> str:
    """Return the address of a check as it may be shown: without passwords and without values of a query."""
    value = getattr(check.params, registry.find(check.probe).address, "")
    return without_secrets(str(value))


def without_secrets(address: str) -> str:
    """Return an address without what may be secret in it.

    Of a URL the password and the values of its query go (a key may stand there); of `name=value` pairs, as
    PostgreSQL knows them, the values of those whose names speak of a secret.
    """
    if "://" not in address:
        return _SECRET_PAIR.sub(rf"\1\2{_HIDDEN}", address)
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.partition("://")[0] + "://" + _HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    login = f"{name}{colon}{_HIDDEN if colon else ''}{at}"
    query = "&".join(_pair_without_value(pair) for pair in parts.query.split("&")) if parts.query else ""
    return parts._replace(netloc=login + host, query=query, fragment="").geturl()


def _pair_without_value(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={_HIDDEN}" if equals else _HIDDEN
