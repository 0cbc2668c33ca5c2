"""Hops of a traced path: figures from the last run, addresses from the last message that names that very route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Result
from monitor.queries.known import KnownCheck
from monitor.store.names import Names
from monitor.store.results import read_check
from monitor.views import Hop, Path
from probes.path_route import Hosts, Told, read_told

KIND: Final = "path"
RUNS: Final = 100
"""How many runs are looked back for a message with the route, and for its last change."""
_LOOK_BACK_S: Final = 12 * 3600


async def read_path(connection: AsyncConnection, names: Names, check: KnownCheck, now_ms: int) -> Path | None:
    """Return the path that a check found last; None for another kind, and where it was not traced lately."""
    if check.probe != KIND:
        return None
    span_s = min(_LOOK_BACK_S, max(1.0, check.interval_s) * RUNS)
    return path_of(await read_check(connection, names, check.number, now_ms - round(span_s * 1000), now_ms))


def path_of(results: Sequence[Result]) -> Path | None:
    """Return the path that the last of these results found (oldest first), None where none traced one."""
    traced = [result for result in results if "last_hop" in result.samples]
    if not traced:
        return None
    last = traced[-1]
    told = _told(traced) or Told(())
    changed_ms, before = _change(traced, told)
    hops = max(int(last.samples["last_hop"]), *(len(route) for route in told.routes), 0)
    return Path(
        at_ms=last.at_ms,
        routes=max(len(told.routes), int(last.samples.get("routes", 1))),
        is_whole="hops" in last.samples,
        changed_ms=changed_ms,
        hops=tuple(_hop(ttl, last, told, before) for ttl in range(1, hops + 1)),
    )


def _told(traced: Sequence[Result]) -> Told | None:
    """Return what is known of the last route: from the last run, or from one before it that had the same route."""
    last = traced[-1]
    for result in reversed(traced):
        if result is not last and result.samples.get("route_hash") != last.samples.get("route_hash", -1):
            return None
        told = read_told(result.message)
        if told is not None:
            return told
    return None


def _change(traced: Iterable[Result], now: Told) -> tuple[int, tuple[Hosts, ...]]:
    """Return when the route changed last, and what it was before."""
    for result in reversed(list(traced)):
        if result.samples.get("route_changed") == 1:
            told = read_told(result.message)
            return result.at_ms, told.before if told is not None and now.routes else ()
    return 0, ()


def _hop(ttl: int, last: Result, told: Told, before: tuple[Hosts, ...]) -> Hop:
    hosts = tuple(_at(route, ttl) for route in told.routes)
    was, now = _at(before, ttl), hosts[0] if hosts else ()
    return Hop(
        ttl=ttl,
        hosts=hosts,
        before=was if was and now and not set(was) & set(now) else (),
        rtt_s=last.samples.get(f"hop_{ttl}_rtt_s"),
        loss_ratio=last.samples.get(f"hop_{ttl}_loss_ratio"),
    )


def _at(route: tuple[Hosts, ...], ttl: int) -> Hosts:
    return route[ttl - 1] if ttl <= len(route) else ()
