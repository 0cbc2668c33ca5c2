"""Routes: the hops of each flow, what of them is remembered from run to run, and when one has changed.

A hop that is silent this time is no change: it may have been too busy to answer. A route has changed where the
addresses of a hop have none in common with those before, or where somebody answers beyond the end of a whole route.
What is remembered fills in silent hops, so that the route's hash stays while the route does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 6
"""48 bits: a number that a float holds exactly."""

Hosts = tuple[str, ...]
"""Addresses of one hop, sorted; () for a silent one."""


class Route(NamedTuple):
    """One flow's route.

    Attributes:
        hops: addresses of each hop, nearest first.
        is_whole: whether the last one is the destination.

    """

    hops: tuple[Hosts, ...]
    is_whole: bool

    @property
    def text(self) -> str:
        """The addresses in order; `*` for a silent hop, `|` between those of one hop."""
        return " ".join("|".join(hosts) or "*" for hosts in self.hops)


class Change(NamedTuple):
    """Where two routes part: the hop, and who was and is there."""

    ttl: int
    before: Hosts
    after: Hosts

    @property
    def text(self) -> str:
        """The change in one line."""
        return f"at hop {self.ttl}: {_named(self.before)} → {_named(self.after)}"


def change_between(before: Route, after: Route) -> Change | None:
    """Return where the routes part first, None where they do not."""
    for ttl, (old, new) in enumerate(zip(before.hops, after.hops, strict=False), 1):
        if old and new and not set(old) & set(new):
            return Change(ttl, old, new)
    shared = min(len(before.hops), len(after.hops))
    shorter, longer = sorted((before, after), key=lambda route: len(route.hops))
    if shared and shorter.is_whole and len(longer.hops) > shared:
        return Change(shared, before.hops[shared - 1], after.hops[shared - 1])
    return None


def merged(before: Route, after: Route) -> Route:
    """Return the route as it is now known: silent hops as they were, unless the route has changed before them."""
    change = change_between(before, after)
    if change is not None:
        kept = tuple(new or old for old, new in zip(before.hops[: change.ttl - 1], after.hops, strict=False))
        return Route(kept + after.hops[len(kept) :], after.is_whole)
    hops = [_union(old, new) for old, new in zip(before.hops, after.hops, strict=False)]
    tail = max(before.hops, after.hops, key=len)[len(hops) :]
    return Route((*hops, *tail), before.is_whole or after.is_whole)


def hash_of(routes: Sequence[Route]) -> int:
    """Return a number that stands for the routes of all flows, the same after every start."""
    text = "\n".join(route.text for route in routes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:HASH_BYTES], "big")


def circle_in(route: Route) -> Hosts:
    """Return the routers between which packets go round in circles at the end of a route, () where they do not."""
    last = route.hops[-1] if route.hops else ()
    if not last:
        return ()
    for back in range(2, 9):
        if len(route.hops) > back and route.hops[-1 - back] == last:
            return tuple(hosts[0] if hosts else "*" for hosts in route.hops[-back:])
    return ()


def _union(old: Hosts, new: Hosts) -> Hosts:
    return tuple(sorted({*old, *new})[:8])


def _named(hosts: Hosts) -> str:
    return " or ".join(hosts) or "(silent)"
