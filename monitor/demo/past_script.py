"""What went wrong in the country's past: the scenes of the script, rarer and longer, over months and years.

Times are seconds since the Unix epoch. What happens on a day is drawn from the seed and that day's date alone, so that
the same day has the same faults however long a history is built, and whenever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from alerts.intervals import Interval
from alerts.periods import days, local_day, start_of_day_ms
from monitor.demo import census
from monitor.demo.plan import Link, Plan, Service
from monitor.demo.scenes import CUT, SCENES
from monitor.demo.script import Effect, Fault

HOUR_S, HOUR_MS = 3600.0, 3_600_000
_SATURDAY, _SUNDAY = 5, 6


class Rarity(NamedTuple):
    """How often a scene is played in the whole country, and how long it takes, in hours; `hours` are when it begins."""

    a_year: float
    shortest_h: float
    longest_h: float
    hours: tuple[int, int] = (0, 23)


RARITIES = (
    Rarity(70, 0.8, 9.0),  # one channel cut
    Rarity(3, 2.0, 10.0, (0, 9)),  # certificate ran out
    Rarity(40, 0.3, 3.0, (8, 16)),  # slow gateway
    Rarity(14, 0.5, 4.5),  # both channels cut
    Rarity(60, 0.4, 6.0, (0, 6)),  # a database's replica falls behind, mostly while it is loaded at night
    Rarity(25, 0.2, 2.5),  # SOAP fault
    Rarity(60, 0.5, 6.0),  # packet loss
    Rarity(25, 0.3, 1.5),  # flapping
    Rarity(10, 0.3, 3.0),  # gateway outage
    Rarity(6, 0.4, 2.0),  # name server
    Rarity(20, 0.3, 3.0, (7, 19)),  # unwell, and says so
    Rarity(20, 1.0, 12.0),  # detour
    Rarity(8, 0.3, 8.0, (8, 17)),  # password changed
    Rarity(20, 0.8, 9.0),  # one channel cut
    Rarity(30, 0.2, 4.0),  # nobody listens
)
"""In the order of the scenes."""
BAD_MONTHS = (9, 10, 11)
"""In one of these a province has its bad month: storms, and cables that are mended and break again."""
BAD_DAY_SHARE = 0.6


def faults(plan: Plan, seed: int, from_ms: int, to_ms: int, zone: ZoneInfo) -> tuple[Fault, ...]:
    """Return the faults that began in [from_ms, to_ms) and were over at its end, in the order of their beginning."""
    found: list[Fault] = []
    for day, midnight_ms in _midnights(from_ms, to_ms, zone):
        found += _of_day(plan, seed, day, midnight_ms / 1000)
    for window in windows(plan, from_ms, to_ms, zone):
        found += _planned(plan, window)
    inside = (fault for fault in found if from_ms <= fault.from_s * 1000 and fault.to_s * 1000 <= to_ms)
    return tuple(sorted(inside, key=lambda fault: (fault.from_s, fault.where)))


def _midnights(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[tuple[date, int]]:
    dates = [local_day(start_ms, zone) for start_ms, _ in days(from_ms, to_ms, zone)]
    return [(day, start_of_day_ms(day, zone)) for day in dates]


def _of_day(plan: Plan, seed: int, day: date, midnight_s: float) -> Iterator[Fault]:
    random = Random(f"{seed}/past/{day}")  # noqa: S311 - a play, not a secret
    for scene, rarity in zip(SCENES, RARITIES, strict=True):
        choice = scene.others(plan)
        if random.random() >= rarity.a_year / 365 or not choice:
            continue
        from_s = midnight_s + (random.randint(*rarity.hours) + random.random()) * HOUR_S
        # Most are short: the logarithm of their length is even.
        length_h = rarity.shortest_h * (rarity.longest_h / rarity.shortest_h) ** random.random()
        yield from scene.play(plan, random.choice(choice), from_s, from_s + length_h * HOUR_S)
    yield from _storms(plan, seed, day, midnight_s)


def _storms(plan: Plan, seed: int, day: date, midnight_s: float) -> Iterator[Fault]:
    """Yield what the province in its bad month suffers that day: one channel cut, now and then both, and loss."""
    of_year = Random(f"{seed}/bad/{day.year}")  # noqa: S311 - a play, not a secret
    link, month = of_year.choice(_far(plan)), of_year.choice(BAD_MONTHS)
    random = Random(f"{seed}/storm/{day}")  # noqa: S311 - a play, not a secret
    if day.month != month or random.random() >= BAD_DAY_SHARE:
        return
    a, b = link.channels[0].id, link.channels[1].id
    from_s = midnight_s + random.uniform(0, 18) * HOUR_S
    to_s = from_s + random.uniform(0.5, 5.0) * HOUR_S
    yield Fault("fibre_cut", a, from_s, to_s, CUT)
    yield Fault("packet_loss", b, from_s, to_s + HOUR_S, Effect(loss_ratio=random.uniform(0.1, 0.5)))
    if random.random() < BAD_DAY_SHARE / 2:
        yield Fault("fibre_cut", b, from_s + 0.2 * HOUR_S, from_s + random.uniform(0.4, 1.8) * HOUR_S, CUT)


def _far(plan: Plan) -> tuple[Link, ...]:
    links = (link for link in plan.links.values() if len(link.channels) > 1 and link.agency.startswith("UBND-"))
    return tuple(link for link in links if link.channels[0].length_km > 100)


class Planned(NamedTuple):
    """A planned window at a gateway: it and what is behind it may be away."""

    gateway: str
    from_ms: int
    to_ms: int


def windows(plan: Plan, from_ms: int, to_ms: int, zone: ZoneInfo) -> list[Planned]:
    """Return the windows in [from_ms, to_ms): the night after the second Saturday of a month, a gateway in turn."""
    gateways = [gateway.id for gateway in census.GATEWAYS if gateway.id in plan.services]
    found = []
    for day, midnight_ms in _midnights(from_ms, to_ms, zone):
        if day.weekday() == _SATURDAY and 8 <= day.day <= 14:
            gateway = gateways[(day.year * 12 + day.month) % len(gateways)]
            found.append(Planned(gateway, midnight_ms + 23 * HOUR_MS, midnight_ms + 26 * HOUR_MS))
    return [window for window in found if from_ms <= window.from_ms and window.to_ms <= to_ms]


def behind(plan: Plan, gateway: str) -> tuple[Service, ...]:
    """Return the connectors that are reached through a gateway."""
    return tuple(s for s in plan.services.values() if s.type == "connector" and gateway in s.depends_on)


def _planned(plan: Plan, window: Planned) -> Iterator[Fault]:
    """Yield what is away in a window: for the better part of it."""
    from_s, to_s = window.from_ms / 1000 + 600, window.to_ms / 1000 - 1800
    yield Fault("maintenance", plan.services[window.gateway].host, from_s, to_s, Effect(refuse=True))


def away(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[Interval]:
    """Return when the monitor itself was away, for an upgrade: an hour of the first Sunday of a quarter."""
    found = []
    for day, midnight_ms in _midnights(from_ms, to_ms, zone):
        if day.weekday() == _SUNDAY and day.day <= 7 and day.month % 3 == 1:
            found.append((midnight_ms + HOUR_MS, midnight_ms + 2 * HOUR_MS))
    return [span for span in found if from_ms <= span[0] and span[1] <= to_ms]


def by_place(all_faults: Iterable[Fault]) -> Mapping[str, tuple[Fault, ...]]:
    """Return the faults of each place, in the order of their beginning."""
    found: dict[str, list[Fault]] = {}
    for fault in all_faults:
        found.setdefault(fault.where, []).append(fault)
    return {where: tuple(of_place) for where, of_place in found.items()}
