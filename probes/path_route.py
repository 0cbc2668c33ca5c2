"""Routes: the hops of each flow, what of them is remembered from run to run, and when one has changed.

A hop that is silent this time is no change: it may have been too busy to answer. A route has changed where the
addresses of a hop have none in common with those before, or where somebody answers beyond the end of a whole route.
What is remembered fills in silent hops, so that the route's hash stays while the route does.

Addresses are stored in a result's message and nowhere else, so the lines that tell of routes are written and read here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from ipaddress import ip_address
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


def told(routes: Sequence[Route]) -> str:
    """Return a line that names the routes of all flows, each once."""
    texts = list(dict.fromkeys(route.text for route in routes))
    return f"the route is {texts[0]}" if len(texts) == 1 else f"the routes are {'; '.join(texts)}"


def told_change(change: Change, before: Route, after: Route) -> str:
    """Return a line that names a change, the route that was and the one that is."""
    return f"the route changed {change.text} (was {before.text}; is {after.text})"


class Told(NamedTuple):
    """What a message tells of routes.

    Attributes:
        routes: hops of each route, nearest first; the last is shorter where the message was cut.
        before: of the first route where it has changed, hops of the one before.

    """

    routes: tuple[tuple[Hosts, ...], ...]
    before: tuple[Hosts, ...] = ()


_CHANGED = re.compile(r"the route changed at hop .*? \(was (?P<before>[^;]*)(?:; is (?P<after>[^);]*))?")
_NAMED = re.compile(r"^the routes? (?:is|are) (?P<routes>.*)|\(route: (?P<route>[^)]*)")


def read_told(message: str) -> Told | None:
    """Return the routes that a message of ours tells of; None where it tells of none, or not all of the first."""
    if found := _CHANGED.search(message):
        before, after = _hops(found["before"]), _hops(found["after"] or "")
        return Told((after,), before) if after else None
    found = _NAMED.search(message)
    if found is None:
        return None
    routes = [_hops(text) for text in (found["routes"] or found["route"] or "").split("; ")]
    return Told(tuple(route for route in routes if route)) if routes[0] else None


def _hops(text: str) -> tuple[Hosts, ...]:
    """Return the hops of a route's text; the one that a cut (…) has hit is left out, and so is what is no route."""
    words = text.split()
    if words and words[-1].endswith("…"):
        words.pop()
    hops = tuple(() if word == "*" else tuple(word.split("|")) for word in words)
    return hops if all(_is_address(host) for hosts in hops for host in hosts) else ()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _union(old: Hosts, new: Hosts) -> Hosts:
    return tuple(sorted({*old, *new})[:8])


def _named(hosts: Hosts) -> str:
    return " or ".join(hosts) or "(silent)"
