"""What is older than it is to be kept is deleted; what is not, is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from alerts.model import IncidentPhase, State, Subject, Transition
from config.model import Retention
from config.retention import FOREVER_S, parse_kept
from monitor.records import Batch
from monitor.store import Store
from monitor.store.blocks import HOUR_MS
from tests.monitor.samples import START_MS, full_batch, http_results

DAY_MS = 86_400_000
NOW_MS = START_MS + 200 * DAY_MS


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("14d", 14 * 86400), ("12 months", 372 * 86400), ("3y", 1098 * 86400), ("1 year", 366 * 86400), ("36h", 129600)],
)
def test_how_long_something_is_kept(written: str, seconds: float) -> None:
    assert parse_kept(written) == seconds
    assert parse_kept(" Forever ") == FOREVER_S


def kept(**written: str) -> Retention:
    return Retention.model_validate(written)


async def count(store: Store, table: str) -> int:
    async with store._reader.connect() as connection:
        return await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


async def exported(store: Store) -> int:
    return len([r async for r in store.export_results(0, 1 << 44)])


async def test_results_are_kept_as_long_as_told_sealed_or_not(store: Store) -> None:
    days = [START_MS + day * DAY_MS for day in (0, 1, 2, 20)]
    for at_ms in days:
        await store.import_results(http_results(checks=7, turns=3, start_ms=at_ms))
    while await store.seal(days[2]):
        pass
    now_ms = days[1] + 14 * DAY_MS + 2 * HOUR_MS
    assert (await store.retain(Retention(), now_ms))["raw"] == 42
    assert await exported(store) == 42
    assert (await store.retain(Retention(), now_ms))["raw"] == 0
    while await store.seal(1 << 44):
        pass
    assert (await store.retain(kept(raw="190d"), NOW_MS))["raw"] == 21
    assert (await store.retain(kept(raw="forever"), 1 << 44)).get("raw") is None
    assert await exported(store) == 21


async def test_each_kind_has_its_own_time(store: Store) -> None:
    await store.save(full_batch())
    await store.save(full_batch(START_MS + 190 * DAY_MS, number=2))
    old = replace(full_batch().incidents[0], phase=IncidentPhase.RESOLVED, resolved_ms=START_MS + 60_000)
    await store.save(Batch(incidents=[old]))
    gone = await store.retain(Retention(), NOW_MS)
    assert gone["rollups_5m"] == 0, "its hour is yet to be made of it"
    assert gone["raw"] == 2
    await store.settle(NOW_MS)
    assert (await store.retain(Retention(), NOW_MS))["rollups_5m"] == 1
    assert (await count(store, "incidents"), await count(store, "transitions")) == (2, 4)
    gone = await store.retain(kept(incidents="30d", transitions="30d"), NOW_MS)
    assert gone["incidents"] == 1
    assert await count(store, "notifications") == 1
    assert await count(store, "incident_targets") == 2
    # One transition of each subject tells what the state was when the kept time begins.
    assert gone["transitions"] == 0


async def test_the_last_transition_before_the_limit_stays(store: Store) -> None:
    def change(day: int, after: State) -> Transition:
        at_ms = START_MS + day * DAY_MS
        return Transition(Subject.CHECK, "a/http", State.UP, after, at_ms, at_ms, "")

    await store.save(Batch(transitions=[change(0, State.DOWN), change(1, State.UP), change(2, State.DOWN)]))
    await store.save(Batch(transitions=[change(100, State.UP)]))
    gone = await store.retain(kept(transitions="150d"), NOW_MS)
    assert gone["transitions"] == 2
    assert await count(store, "transitions") == 2


async def test_an_open_incident_is_never_old(store: Store) -> None:
    await store.save(full_batch())
    assert (await store.retain(kept(incidents="30d"), NOW_MS))["incidents"] == 0


async def test_partitions_of_rollups_are_dropped_whole(store: Store, store_url: str) -> None:
    if not store_url.startswith("postgresql"):
        return
    async with store._session.transaction() as connection:
        await connection.exec_driver_sql("DROP TABLE IF EXISTS rollups_1h")
        await connection.exec_driver_sql(
            "CREATE TABLE rollups_1h (check_no int, start_ms bigint) PARTITION BY RANGE (start_ms)"
        )
        for day in (0, 1):
            low = START_MS + day * DAY_MS
            await connection.exec_driver_sql(
                f"CREATE TABLE rollups_1h_{day} PARTITION OF rollups_1h FOR VALUES FROM ({low}) TO ({low + DAY_MS})"
            )
            await connection.exec_driver_sql(f"INSERT INTO rollups_1h VALUES (1, {low + 5})")
    gone = await store.retain(kept(rollups_1h="30d"), START_MS + 31 * DAY_MS + 2 * HOUR_MS)
    assert gone["rollups_1h"] == 1
    assert await count(store, "rollups_1h") == 1


async def test_the_writer_goes_on_while_old_results_are_deleted(store: Store) -> None:
    await store.import_results(http_results(checks=50, turns=60))
    deleting = asyncio.create_task(store.retain(Retention(), NOW_MS))
    saved = 0
    while not deleting.done():
        await store.save(full_batch(NOW_MS + saved, number=saved + 1))
        saved += 1
    assert (await deleting)["raw"] == 3000
    assert saved > 1
    assert await exported(store) == 2 * saved
