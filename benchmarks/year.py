"""A year of 10,000 checks for benchmarks: their days, some checks' hours, and what happened to all of them.

Hours of all would be 88 million rows, and no page reads those of more than one check; the rows go in through the
store's own door, in as few transactions as checks allow.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from alerts.model import Result, State, Subject, Transition
from alerts.periods import days, local_day, start_of_day_ms
from monitor.records import Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally
from monitor.store import Store
from monitor.store.history import History
from monitor.store.rollups import add_up, hours_in

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
DAY_MS = 24 * HOUR_MS
OUTAGES = 12
"""Of each check in a year, an hour each."""
AT_ONCE = 50
SHAPES = 16
"""So many different rollups are made and repeated: making each would measure the making."""


async def build(store: Store, checks: Sequence[str], with_hours: frozenset[str], now_ms: int) -> None:
    """Save the year before the hour of `now_ms`."""
    to_ms = now_ms - now_ms % HOUR_MS
    from_ms = start_of_day_ms(local_day(to_ms - 365 * DAY_MS, ZONE), ZONE)
    rng = random.Random(7)
    made = [_made(rng) for _ in range(SHAPES)]
    whole = [start for start, end in days(from_ms, to_ms, ZONE) if end <= to_ms]
    for first in range(0, len(checks), AT_ONCE):
        some = checks[first : first + AT_ONCE]
        await store.import_history([_history(c, c in with_hours, made, whole, from_ms, to_ms, rng) for c in some])


def _made(rng: random.Random) -> Rollup:
    tally = Tally()
    for _ in range(60):
        tally.add(Result("", "", 0, 0.0, State.UP, None, "", {}), rng.lognormvariate(-3.5, 0.2), None)
    return tally.rollup("", 0)


def _history(
    check: str,
    has_hours: bool,
    made: Sequence[Rollup],
    whole: Sequence[int],
    from_ms: int,
    to_ms: int,
    rng: random.Random,
) -> History:
    def rows(starts: Sequence[int] | range) -> tuple[Rollup, ...]:
        return tuple(made[place % SHAPES]._replace(start_ms=start_ms) for place, start_ms in enumerate(starts))

    events = tuple(_outages(check, from_ms, to_ms, rng))
    if not has_hours:
        return History(check, from_ms, to_ms, from_ms, events, (), (), rows(whole))
    fine_ms = to_ms - 3 * DAY_MS
    fine = rows(range(fine_ms, to_ms, INTERVAL_MS))
    hours = (*rows(range(from_ms, fine_ms, HOUR_MS)), *add_up(fine, hours_in(fine_ms, to_ms)))
    spans = [(start_ms, start_ms + DAY_MS) for start_ms in whole]
    of_days = add_up([hour for hour in hours if hour.start_ms < spans[-1][1]], spans)
    return History(check, from_ms, to_ms, from_ms, events, fine, hours, tuple(of_days))


def _outages(check: str, from_ms: int, to_ms: int, rng: random.Random) -> Iterator[Transition]:
    yield Transition(Subject.CHECK, check, State.UNKNOWN, State.UP, from_ms, from_ms + 30)
    # None in the last four days: what happens there is another part of the benchmark.
    for place in range(OUTAGES):
        share = (to_ms - 4 * DAY_MS - from_ms) // OUTAGES
        at_ms = from_ms + place * share + rng.randrange(HOUR_MS, share - 2 * HOUR_MS)
        yield Transition(Subject.CHECK, check, State.UP, State.DOWN, at_ms, at_ms + 20_000, "connect_timeout")
        yield Transition(Subject.CHECK, check, State.DOWN, State.UP, at_ms + HOUR_MS, at_ms + HOUR_MS + 20_000)
