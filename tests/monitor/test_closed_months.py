"""Closed months: never another figure than counting from scratch, whatever happens to the past or to the rules."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from alerts.availability import Availability
from alerts.model import Result, State, Subject, Transition
from alerts.periods import months, start_of_month_ms
from config.model import Inventory
from monitor.availability import check_timelines, measure_targets
from monitor.closing import NotClosedError, close_months, close_months_apart
from monitor.queries import Queries, figures, periods
from monitor.queries.known import read_known
from monitor.records import Batch
from monitor.store import Store
from monitor.store.engine import create_engine, parse_url
from monitor.store.periods import FOREVER_MS, Note, alike
from tests.monitor.country import configured, result, steady

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
STARTS = [start_of_month_ms(2026, month, HANOI) for month in range(1, 8)]
NOW_MS = STARTS[5] + 9 * 86_400_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
CHECKS = ("a1/tcp", "a2/tcp", "b/tcp", "b/slow")
TARGETS = ("a1", "a2", "b", "pair")

COUNTRY = """
settings: {{timezone: {zone}}}
service_hours:
  - {{id: office, days: mon-fri, hours: "{hours}", holidays: [vn]}}
holidays:
  - {{id: vn, days: [{{day: {holiday}}}], works_on: [2026-03-07]}}
targets:
  - {{id: a1, type: link, checks: [{{probe: tcp, address: "127.0.0.1:9", interval: 10s}}]}}
  - {{id: a2, type: link, checks: [{{probe: tcp, address: "127.0.0.1:9", interval: 10s}}]}}
  - id: b
    type: endpoint
    service_hours: office
    objective: {{availability: 0.9}}
    checks:
      - {{probe: tcp, address: "127.0.0.1:9", interval: 10s}}
      - {{probe: tcp, name: slow, address: "127.0.0.1:9", interval: 10s, critical: {critical}}}
  - {{id: pair, type: link, members: [{members}], policy: {policy}}}
maintenance:
  - {{targets: [a1], from: "2026-03-31T20:00", to: "2026-04-01T04:00"}}
{window}
"""
RULES = {
    "zone": "Asia/Ho_Chi_Minh",
    "hours": "08:00-17:00",
    "holiday": "2026-02-17",
    "critical": "true",
    "members": "a1, a2",
    "policy": "any",
    "window": "",
}
OTHER_RULES = {
    "hours": "07:30-11:30",
    "holiday": "2026-04-30",
    "critical": "false",
    "members": "a1, b",
    "policy": "all",
    "window": '  - {targets: [b], from: "2026-02-10T00:00", to: "2026-02-12T00:00"}',
    "zone": "Europe/Riga",
}


def country(tmp_path: Path, **changed: str) -> Inventory:
    return configured(tmp_path / "conf", COUNTRY.format(**(RULES | changed)))


@pytest.fixture
async def queries(store: Store, store_url: str) -> AsyncIterator[Queries]:
    opened = await Queries.open(store_url)
    yield opened
    await opened.aclose()


def eventful(rng: random.Random, check: str, from_ms: int, to_ms: int, number: int) -> list[Transition]:
    """Return changes at random moments, many of them near the edges of months."""
    moments = {rng.randrange(from_ms, to_ms) for _ in range(number)}
    moments |= {edge + rng.choice((-1, 0, 1, -90_000)) for edge in STARTS if from_ms < edge < to_ms}
    state, found = State.UNKNOWN, []
    for at_ms in sorted(moments):
        after = rng.choice([other for other in State if other is not state])
        found.append(Transition(Subject.CHECK, check, state, after, at_ms, at_ms + 20_000, f"why {rng.random():.1f}"))
        state = after
    return found


async def lived(store: Store, seed: int) -> None:
    """Save half a year of changes."""
    rng = random.Random(seed)
    batch = Batch()
    for check in CHECKS:
        first_ms = STARTS[0] + rng.randrange(40 * DAY_MS)
        batch.results.append(result(check, first_ms))
        batch.transitions += eventful(rng, check, first_ms, NOW_MS, 40)
    await store.save(batch)
    await store.beat(NOW_MS)


async def from_scratch(url: str, from_ms: int, to_ms: int, now_ms: int) -> list[Availability]:
    """Count from all transitions there are, without what is kept."""
    engine = create_engine(parse_url(url), read_only=True)
    async with engine.connect() as connection:
        known = await read_known(connection, 0)
        transitions = await figures.read_transitions(connection, 0, FOREVER_MS)
        first_ms = await figures.first_results(connection)
    await engine.dispose()
    by_check = check_timelines(transitions)
    wanted = list(known.targets)
    return measure_targets(known.inventory, known.rules, by_check, first_ms, from_ms, to_ms, now_ms, wanted)


async def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection, connection.begin():
        found = await connection.execute(text(statement))
        rows = [tuple(row) for row in found] if found.returns_rows else []
    await engine.dispose()
    return rows


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_kept_never_gives_another_figure(
    store: Store, store_url: str, queries: Queries, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    await store.sync_inventory(country(tmp_path))
    await lived(store, seed)
    assert await close_months(queries, store, NOW_MS) == 5 * len(TARGETS)
    for _ in range(8):
        action = rng.randrange(4)
        if action == 0:  # a late result has changed the past from some moment on
            check = rng.choice(CHECKS)
            at_ms = rng.choice(STARTS[1:5]) + rng.choice((-1, 0, rng.randrange(-DAY_MS, DAY_MS)))
            late = Transition(Subject.CHECK, check, State.UP, rng.choice(list(State)), at_ms, at_ms + 1, "late")
            await store.save(Batch(transitions=[late]))
        elif action == 1:
            name = rng.choice(list(OTHER_RULES))
            await store.sync_inventory(country(tmp_path, **{name: rng.choice((RULES, OTHER_RULES))[name]}))
        elif action == 2:
            await close_months(queries, store, rng.choice((NOW_MS, STARTS[3] + 3 * HOUR_MS)))
        else:  # history from before the first result
            check = rng.choice(CHECKS)
            await store.save(Batch(results=[result(check, STARTS[0] + rng.randrange(DAY_MS))]))
        for _ in range(3):
            from_ms, to_ms = sorted(
                rng.choice((start, start + rng.randrange(DAY_MS))) for start in rng.sample(STARTS, 2)
            )
            now_ms = rng.choice((NOW_MS, to_ms - 1, STARTS[4] + rng.randrange(DAY_MS)))
            counted = await queries.availability(from_ms, to_ms, now_ms)
            assert counted == await from_scratch(store_url, from_ms, to_ms, now_ms), (action, from_ms, to_ms, now_ms)


@pytest.mark.parametrize("few", [1, 2, 3])
async def test_it_does_not_matter_how_many_checks_are_read_at_a_time(
    store: Store, store_url: str, queries: Queries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(periods, "FEW_CHECKS", few)
    await store.sync_inventory(country(tmp_path))
    await lived(store, 7)
    for from_ms, to_ms in itertools.pairwise((STARTS[0], STARTS[1] + DAY_MS, STARTS[3] - HOUR_MS, NOW_MS)):
        counted = await queries.availability(from_ms, to_ms, NOW_MS)
        assert counted == await from_scratch(store_url, from_ms, to_ms, NOW_MS)


async def test_what_is_kept_is_used(store: Store, store_url: str, queries: Queries, tmp_path: Path) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 1)
    await close_months(queries, store, NOW_MS)
    expected = await queries.availability(STARTS[0], STARTS[5], NOW_MS)
    await execute(store_url, "DELETE FROM transitions")
    assert await queries.availability(STARTS[0], STARTS[5], NOW_MS) == expected
    (one,) = await queries.availability(STARTS[1], STARTS[3], NOW_MS, "pair")
    assert one.known_ms > 0


@pytest.mark.parametrize(
    ("check", "from_ms", "to_ms", "counted"),
    [
        ("a1/tcp", STARTS[1], STARTS[1] + 1, 2),  # a1 and pair, in one month
        ("a1/tcp", STARTS[1] - 1, STARTS[1] + 1, 4),  # over the edge of two
        ("b/slow", STARTS[2], FOREVER_MS, 3),
        ("b/slow", NOW_MS, FOREVER_MS, 0),  # the month is not over
        ("elsewhere/tcp", 0, FOREVER_MS, 0),
    ],
)
async def test_just_the_months_that_a_change_touches_are_counted_anew(
    store: Store, queries: Queries, tmp_path: Path, check: str, from_ms: int, to_ms: int, counted: int
) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 2)
    await close_months(queries, store, NOW_MS)
    await store.invalidate(check, from_ms, to_ms)
    assert await close_months(queries, store, NOW_MS) == counted
    assert await close_months(queries, store, NOW_MS) == 0


@pytest.mark.parametrize(
    ("name", "counted"),
    [("window", 1), ("holiday", 2), ("hours", 5), ("critical", 5), ("members", 5), ("policy", 5), ("zone", 20)],
)
async def test_a_change_of_rules_counts_anew_just_what_it_decides(
    store: Store, queries: Queries, tmp_path: Path, name: str, counted: int
) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 3)
    await store.save(Batch(results=[result(check, STARTS[0] + 6 * HOUR_MS) for check in CHECKS]))
    await close_months(queries, store, NOW_MS)
    await store.sync_inventory(country(tmp_path, **{name: OTHER_RULES[name]}))
    assert await close_months(queries, store, NOW_MS) == counted
    await store.sync_inventory(country(tmp_path))
    # Months of another zone begin elsewhere: those of this one are still there.
    assert await close_months(queries, store, NOW_MS) == (0 if name == "zone" else counted)


async def test_a_month_is_not_closed_before_it_has_been_over_for_two_hours(
    store: Store, queries: Queries, tmp_path: Path
) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 4)
    assert await close_months(queries, store, STARTS[1] + 2 * HOUR_MS - 1) == 0
    assert await close_months(queries, store, STARTS[1] + 2 * HOUR_MS) == len(TARGETS)


async def test_the_silence_of_a_dead_monitor_is_not_kept_away_by_what_was_counted_before(
    store: Store, store_url: str, queries: Queries, tmp_path: Path
) -> None:
    """It died before the month's end: what followed is unknown, though transitions say up."""
    from tests.monitor.country import live_through

    inventory = country(tmp_path)
    died_ms = STARTS[2] - 10 * DAY_MS
    await live_through(store, inventory, steady(CHECKS, died_ms - HOUR_MS, died_ms), died_ms)
    await close_months(queries, store, NOW_MS)
    (figure,) = await queries.availability(STARTS[1], STARTS[2], NOW_MS, "a1")
    assert (figure.up_ms, figure.unknown_ms) == (HOUR_MS, 10 * DAY_MS)
    await store.beat(NOW_MS)  # it lives again, and has not yet said what it missed


async def test_an_import_of_old_history_is_counted(
    store: Store, queries: Queries, store_url: str, tmp_path: Path
) -> None:
    await store.sync_inventory(country(tmp_path))
    later = steady(("a1/tcp",), STARTS[2], STARTS[2] + HOUR_MS)
    await store.import_results(later)
    await store.beat(NOW_MS)
    await close_months(queries, store, NOW_MS)
    earlier: list[Result] = steady(("a1/tcp",), STARTS[1], STARTS[1] + HOUR_MS, State.DOWN)
    await store.import_results(earlier)
    counted = await queries.availability(STARTS[1], STARTS[3], NOW_MS)
    assert counted == await from_scratch(store_url, STARTS[1], STARTS[3], NOW_MS)
    assert {figure.target: figure.down_ms for figure in counted}["a1"] == HOUR_MS


async def test_a_process_of_its_own_closes_the_months(store: Store, store_url: str, tmp_path: Path) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 5)
    assert await close_months_apart(store_url) >= 5 * len(TARGETS)
    assert await close_months_apart(store_url) == 0


async def test_a_store_that_is_away_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotClosedError, match="status 1"):
        await close_months_apart(f"sqlite:///{tmp_path}/none.db")
    assert "there is no store yet" in capfd.readouterr().err


MOMENTS = st.sampled_from(STARTS).flatmap(lambda start: st.integers(start - 2, start + 2)) | st.integers(
    STARTS[0], STARTS[6]
)
NOTES = st.lists(
    st.tuples(
        st.sampled_from(CHECKS),
        st.just(0) | MOMENTS,
        st.just(FOREVER_MS) | MOMENTS,
    ).filter(lambda note: note[1] < note[2]),
    unique=True,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(NOTES, st.tuples(MOMENTS, MOMENTS).map(sorted))
def test_folded_notes_touch_each_month_as_often_as_before_and_nothing_less_often(
    notes: list[Note], other: list[int]
) -> None:
    folded = dict.fromkeys(notes, 1)
    for several in alike(notes, HANOI):
        times = sum(folded.pop(note) for note in several)
        widest = (several[0][0], min(note[1] for note in several), max(note[2] for note in several))
        folded[widest] = folded.get(widest, 0) + times

    def touched(counted: dict[Note, int], check: str, from_ms: int, to_ms: int) -> int:
        return sum(
            times for (of, start, end), times in counted.items() if of == check and start < to_ms and end > from_ms
        )

    before = dict.fromkeys(notes, 1)
    for check in CHECKS:
        for month in months(STARTS[0], STARTS[6], HANOI):
            assert touched(folded, check, *month) == touched(before, check, *month)
        assert touched(folded, check, *other) >= touched(before, check, *other)
    assert not alike(folded, HANOI)


async def test_notes_grow_with_months_and_not_with_changes(
    store: Store, store_url: str, queries: Queries, tmp_path: Path
) -> None:
    await store.sync_inventory(country(tmp_path))
    await lived(store, 6)
    await close_months(queries, store, NOW_MS)
    for place in range(60):
        at_ms = STARTS[1] + place * DAY_MS
        late = Transition(Subject.CHECK, "a1/tcp", State.UP, State.DOWN, at_ms, at_ms + 1, "late")
        await store.save(Batch(transitions=[late]))
    before = await execute(store_url, "SELECT sum(times) FROM late_changes WHERE check_id = 'a1/tcp'")
    assert await close_months(queries, store, NOW_MS) > 0
    assert await close_months(queries, store, NOW_MS) == 0
    notes = await execute(store_url, "SELECT from_ms FROM late_changes WHERE check_id = 'a1/tcp'")
    assert len(notes) <= len(STARTS)
    assert await execute(store_url, "SELECT sum(times) FROM late_changes WHERE check_id = 'a1/tcp'") == before
    # Changes that come after folding are seen as well.
    late = Transition(Subject.CHECK, "a1/tcp", State.DOWN, State.UP, STARTS[1] + HOUR_MS, STARTS[1] + DAY_MS, "late")
    await store.save(Batch(transitions=[late]))
    counted = await queries.availability(STARTS[0], STARTS[5], NOW_MS)
    assert counted == await from_scratch(store_url, STARTS[0], STARTS[5], NOW_MS)
