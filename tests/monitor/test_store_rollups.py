"""Rollups in the store: hours and days are what their results are, and a reader is told so at any time."""

from __future__ import annotations

import random
from itertools import groupby
from math import ceil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from alerts.model import Result, State
from alerts.periods import local_day, start_of_day_ms
from config.model import Inventory
from monitor.jobs import latency_of
from monitor.queries import Queries, UnknownTargetError
from monitor.records import Batch, Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally
from monitor.store import Store, care, migrate
from monitor.store.engine import create_engine, parse_url
from monitor.store.tables import outdated
from probes.model import Failure
from tests.monitor.country import configured
from tests.monitor.engine import ROLLUPS, rows, rows_of
from tests.monitor.samples import rollups_of

MIDNIGHT_MS = 1_790_010_000_000
DAY_MS = 24 * HOUR_MS
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
CHECK = "dan-cu/http"


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return configured(tmp_path / "conf")


def result(at_ms: int, rng: random.Random, check: str = CHECK) -> Result:
    """Return a result that is down now and then, and of a link also loses packets."""
    is_down = rng.random() < 0.1
    failure = rng.choice((Failure.CONNECT_REFUSED, Failure.HTTP_STATUS)) if is_down else None
    duration_s = round(rng.lognormvariate(-3.5, 0.5), 6)
    samples: dict[str, float] = {}
    if check.endswith("icmp"):
        received = rng.randrange(3, 6)
        samples = {"sent": 5, "received": received, "loss_ratio": 1 - received / 5, "rtt_mean_s": duration_s}
    return Result(check, "local", at_ms, duration_s, State.DOWN if is_down else State.UP, failure, "", samples)


def days_of(count: int, spacing_ms: int = 150_000) -> list[Result]:
    rng = random.Random(1)
    moments = range(MIDNIGHT_MS + 7 * HOUR_MS + 12_345, MIDNIGHT_MS + count * DAY_MS, spacing_ms)
    return [result(at_ms, rng, check) for at_ms in moments for check in (CHECK, "link-a/icmp")]


def added_up(results: list[Result], start_of) -> list[Rollup]:
    tallies: dict[tuple[str, int], Tally] = {}
    for one in results:
        sample = "rtt_mean_s" if one.check.endswith("icmp") else ""
        tally = tallies.setdefault((one.check, start_of(one.at_ms)), Tally())
        tally.add(one, latency_of(one, sample), one.samples.get("loss_ratio"))
    return [tally.rollup(*key) for key, tally in sorted(tallies.items())]


def start_of_day(at_ms: int) -> int:
    return start_of_day_ms(local_day(at_ms, HANOI), HANOI)


STARTS = (lambda at_ms: at_ms - at_ms % INTERVAL_MS, lambda at_ms: at_ms - at_ms % HOUR_MS, start_of_day)


async def test_hours_and_days_are_what_their_results_are(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    told = days_of(3)
    await store.import_results(told)
    for table, start_of in zip(ROLLUPS, STARTS, strict=True):
        assert await rows_of(store_url, table) == added_up(told, start_of)
    assert await rows(store_url, outdated.select()) == []
    assert await care.check(store_url) == []


async def test_an_hour_is_made_again_when_its_five_minutes_change(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    told = [one for one in days_of(1) if one.check == CHECK]
    hour_ms = told[0].at_ms - told[0].at_ms % HOUR_MS
    for until in (5, 9, len(told)):
        # Saved again and again while results come, as the engine does; each save is of the whole 5 minutes.
        await store.save(Batch(rollups=rollups_of(told[:until])))
        await store.settle(hour_ms + 2 * HOUR_MS)
        await store.settle(hour_ms + 2 * HOUR_MS)
        expected = [one for one in added_up(told[:until], STARTS[1]) if one.start_ms < hour_ms + 2 * HOUR_MS]
        assert await rows_of(store_url, ROLLUPS[1]) == expected
    other = await Store.open(store_url)  # knows nothing of what was noted
    await other.save(Batch(rollups=rollups_of(told)))
    await other.settle(hour_ms + 2 * DAY_MS)
    assert await rows_of(store_url, ROLLUPS[2]) == added_up(told, start_of_day)
    await other.aclose()


async def test_a_reader_needs_no_hours_that_are_made(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    told = [one for one in days_of(33, 12 * HOUR_MS) if one.check == CHECK]
    await store.save(Batch(results=told, rollups=rollups_of(told)))
    now_ms, queries = MIDNIGHT_MS + 33 * DAY_MS, await Queries.open(store_url)
    expected = None
    for until_ms in (0, MIDNIGHT_MS + 3 * DAY_MS, 1 << 44):
        await store.settle(until_ms)
        latency = await queries.latency(told[0].at_ms, now_ms, "dan-cu", CHECK)
        page = await queries.target_page("dan-cu", now_ms, 30 * 86_400)
        assert page is not None
        expected = expected or (latency, page.checks[0].points)
        assert (latency, page.checks[0].points) == expected
    await queries.aclose()


@pytest.mark.parametrize("cut_ms", [(0, 0), (17 * INTERVAL_MS, 31 * INTERVAL_MS)])
async def test_percentiles_of_a_period_are_those_of_its_results(
    store: Store, store_url: str, inventory: Inventory, cut_ms: tuple[int, int]
) -> None:
    await store.sync_inventory(inventory)
    told = days_of(4)
    await store.import_results(told)
    from_ms, to_ms = MIDNIGHT_MS + cut_ms[0], MIDNIGHT_MS + 4 * DAY_MS - cut_ms[1]
    queries = await Queries.open(store_url)
    found = await queries.latency(from_ms, to_ms, "dan-cu", CHECK)
    link = await queries.latency(from_ms, to_ms, "link-a")
    with pytest.raises(UnknownTargetError):
        await queries.latency(from_ms, to_ms, "dan-cu", "dan-cu/none")
    await queries.aclose()
    period = [one for one in told if from_ms <= one.at_ms < to_ms]
    raw_s = sorted(s for one in period if one.check == CHECK and (s := latency_of(one, "")) is not None)
    assert (found.results, found.min_s, found.max_s) == (len(raw_s), raw_s[0], raw_s[-1])
    assert found.mean_s == pytest.approx(sum(raw_s) / len(raw_s))
    for value_s, q in ((found.p50_s, 0.5), (found.p95_s, 0.95), (found.p99_s, 0.99)):
        assert value_s == pytest.approx(raw_s[ceil(q * len(raw_s)) - 1], rel=0.02)
    packets = [one.samples for one in period if "sent" in one.samples]
    received = sum(one["received"] for one in packets)
    assert link.loss_ratio == pytest.approx(1 - received / sum(one["sent"] for one in packets))


async def execute(url: str, *statements: str) -> None:
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection, connection.begin():
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def test_wrong_rollups_are_named_and_counted_again(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    told = days_of(2)
    await store.import_results(told)
    before = [await rows_of(store_url, table) for table in ROLLUPS]
    second_ms = sorted({one.start_ms for one in before[0]})[1]
    await execute(
        store_url,
        f"UPDATE rollups_5m SET up = up + 1 WHERE start_ms = {second_ms}",
        f"DELETE FROM rollups_5m WHERE start_ms = {second_ms + 3 * INTERVAL_MS}",
        "INSERT INTO rollups_5m (check_no, start_ms, up, degraded, down, unknown, latency_count, loss_count) "
        f"SELECT min(check_no), {MIDNIGHT_MS + 3 * DAY_MS}, 1, 0, 0, 0, 0, 0 FROM rollups_5m",
        f"UPDATE rollups_1h SET latency = NULL WHERE start_ms = {MIDNIGHT_MS + 30 * HOUR_MS}",
        "DELETE FROM rollups_1d",
    )
    problems = await care.check(store_url)
    assert any(f"of {CHECK} at" in line and " ≠ " in line for line in problems)
    assert any(line.endswith("is missing") for line in problems)
    assert any(line.endswith("is of nothing") for line in problems)
    assert problems[-1].startswith("run thongsuot db rebuild")
    wrong, _, _ = await store.rebuild()
    assert wrong == 5
    assert [await rows_of(store_url, table) for table in ROLLUPS] == before
    assert await care.check(store_url) == []


async def test_a_damaged_histogram_is_found(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    await store.import_results(days_of(1))
    body = "x'0500ff'" if store_url.startswith("sqlite") else "'\\x0500ff'"
    await execute(store_url, f"UPDATE rollups_5m SET latency = {body} WHERE start_ms < {MIDNIGHT_MS + 10 * HOUR_MS}")
    assert any("latency of 3 bytes ≠" in line for line in await care.check(store_url))
    await store.rebuild()
    assert await care.check(store_url) == []


def _to_first(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


async def test_rollups_from_before_histograms_are_carried_over(empty_url: str, inventory: Inventory) -> None:
    engine = create_engine(parse_url(empty_url))
    async with engine.connect() as connection, connection.begin():
        await connection.run_sync(_to_first)
    await engine.dispose()
    start_ms = MIDNIGHT_MS + 5 * HOUR_MS
    old = (
        "INSERT INTO rollups_5m (check_no, start_ms, up, degraded, down, unknown, latency_count, latency_sum_s, "
        "latency_min_s, latency_max_s, loss_count, loss_sum) VALUES "
    )
    await execute(
        empty_url,
        "INSERT INTO checks (no, id, target, name, probe, address, interval_s, critical, position) "
        f"VALUES (1000, '{CHECK}', 'dan-cu', 'http', 'http', '', 10.0, true, 0)",
        f"{old} (1000, {start_ms}, 28, 0, 2, 0, 30, 0.9, 0.01, 0.1, 0, 0.0)",
        f"{old} (1000, {start_ms + INTERVAL_MS}, 0, 0, 30, 0, 0, 0.0, NULL, NULL, 30, 30.0)",
    )
    store = await Store.open(empty_url)
    await store.sync_inventory(inventory)
    await store.settle(1 << 44)
    for table in ROLLUPS[1:]:
        (row,) = await rows_of(empty_url, table)
        assert (row.up, row.down, row.loss_count, row.loss_sum_ppm) == (28, 32, 30, 30_000_000)
        figures = row.latency_count, row.latency_sum_us, row.latency_min_us, row.latency_max_us
        assert figures == (30, 900_000, 10_000, 100_000)
    queries = await Queries.open(empty_url)
    latency = await queries.latency(MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, "dan-cu", CHECK)
    assert latency.mean_s == pytest.approx(0.03)
    assert latency.p50_s == pytest.approx(0.79 / 28, rel=0.011)
    await queries.aclose()
    await store.aclose()


def test_a_tally_of_parts_is_the_tally_of_the_whole() -> None:
    told = days_of(1)
    whole = added_up(told, lambda _: 0)
    for check, group in groupby(sorted(added_up(told, STARTS[0])), key=lambda one: one.check):
        parts = list(group)
        random.Random(3).shuffle(parts)
        tally = Tally()
        for part in parts:
            tally.merge(part)
        assert tally.rollup(check, 0) in whole


@pytest.mark.parametrize("latency_s", [-1.0, float("nan"), float("inf"), 1e300])
def test_what_no_clock_has_measured_is_not_counted(latency_s: float) -> None:
    tally = Tally()
    tally.add(result(MIDNIGHT_MS, random.Random(1)), latency_s, latency_s)
    rollup = tally.rollup(CHECK, 0)
    assert (rollup.up + rollup.down, rollup.latency_count, rollup.loss_count) == (1, 0, 0)
