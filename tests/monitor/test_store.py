"""The store, the same on SQLite and on PostgreSQL: what is saved is there, once, and exactly."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.model import CheckState, Incident, IncidentPhase, Notification, Result, State, TargetState
from config.model import Inventory
from monitor.records import Batch, CheckNow, TargetNow
from monitor.store import Store, StoreError, StoreInUseError
from monitor.store.inventory import without_secrets
from monitor.store.names import SHAPES_LIMIT
from monitor.store.outbox import LEASE_MS
from probes.model import Failure
from tests.monitor.country import CONFIGURATION, configured
from tests.monitor.samples import RESULTS, START_MS, full_batch, http_result, http_results

FAR_MS = 1 << 44
RESULT_LISTS = st.lists(RESULTS, max_size=30)


async def exported(store: Store, from_ms: int = 0, to_ms: int = FAR_MS) -> list[Result]:
    return [result async for result in store.export_results(from_ms, to_ms)]


async def claimed(store: Store, now_ms: int = FAR_MS, limit: int = 100) -> list[Notification]:
    return [pending.notification for pending in await store.claim_notifications(now_ms, limit)]


async def test_a_saved_batch_is_there(store: Store) -> None:
    batch = full_batch()
    await store.save(batch)
    assert sorted(await exported(store)) == sorted(batch.results)
    assert await store.incidents({"SC-2026-0001", "SC-2026-9999"}) == {"SC-2026-0001": batch.incidents[0]}
    assert await claimed(store) == batch.notifications


async def test_saving_twice_changes_nothing(store: Store) -> None:
    batch = full_batch()
    await store.save(batch)
    (first,) = await store.claim_notifications(FAR_MS, 10)
    await store.mark_delivered(first.id, FAR_MS)
    before = await exported(store)
    await store.save(batch)
    assert await exported(store) == before
    assert await store.claim_notifications(2 * FAR_MS, 10) == []


async def test_a_batch_with_old_and_new_results_adds_the_new_ones(store: Store) -> None:
    results = list(http_results(checks=20, turns=10))
    await store.save(Batch(results=results[:100]))
    await store.save(Batch(results=results[50:]))
    assert sorted(await exported(store)) == sorted(results)


async def test_a_result_that_is_there_is_left_as_it_is(store: Store) -> None:
    result = http_result("a/http", START_MS, random.Random(1))
    await store.save(Batch(results=[result]))
    other = result._replace(state=State.DOWN, failure=Failure.TIMEOUT, message="other")
    await store.save(Batch(results=[other, other, result._replace(agent="hn-2")]))
    assert await exported(store) == [result._replace(agent="hn-2"), result]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(results=RESULT_LISTS)
async def test_what_is_exported_is_what_was_imported(store: Store, results: list[Result]) -> None:
    await store.forget_results(FAR_MS)
    first_of_key = {(r.check, r.agent, r.at_ms): r for r in reversed(results)}
    assert await store.import_results(results) == len(first_of_key)
    assert await store.import_results(results) == 0
    found = await exported(store)
    assert {(r.check, r.agent, r.at_ms): r for r in found} == first_of_key
    assert [r.at_ms for r in found] == sorted(r.at_ms for r in found)
    for result in found:
        original = first_of_key[result.check, result.agent, result.at_ms]
        assert list(result.samples) == list(original.samples)
        assert list(map(type, result.samples.values())) == list(map(type, original.samples.values()))


async def test_exports_cut_exactly_and_run_in_time_order(store: Store) -> None:
    results = list(http_results(checks=30, turns=20))
    shuffled = random.Random(2).sample(results, len(results))
    assert await store.import_results(shuffled) == 600
    middle = results[300].at_ms
    assert await exported(store, to_ms=middle) + await exported(store, from_ms=middle) == await exported(store)
    assert await exported(store) == sorted(results, key=lambda r: (r.at_ms, r.check))


async def test_an_export_crosses_gaps_of_years(store: Store) -> None:
    results = [http_result("a/http", at_ms, random.Random(3)) for at_ms in (1, START_MS, START_MS + 10**11)]
    await store.import_results(results)
    assert await exported(store) == results


async def test_what_cannot_be_measured_is_left_out(store: Store) -> None:
    result = http_result("a/http", START_MS, random.Random(1))
    await store.save(Batch(results=[result._replace(samples={"a_s": float("nan"), "b_s": 1.5, "c": float("inf")})]))
    assert [r.samples for r in await exported(store)] == [{"b_s": 1.5}]


async def test_text_that_no_database_takes_is_made_storable(store: Store) -> None:
    result = http_result("a/http", START_MS, random.Random(1))._replace(message="a\0b \ud800 c")
    await store.save(Batch(results=[result]))
    assert [r.message for r in await exported(store)] == ["a\ufffdb ? c"]


async def test_a_result_from_the_far_future_is_refused(store: Store) -> None:
    result = http_result("a/http", ((1 << 31) - 1) * 10_000, random.Random(1))
    with pytest.raises(StoreError, match="not believed"):
        await store.import_results([result])
    await store.import_results([result._replace(at_ms=result.at_ms - 1)])
    assert len(await exported(store, to_ms=1 << 50)) == 1


async def test_any_number_of_shapes_is_stored(store: Store) -> None:
    one = http_result("a/http", START_MS, random.Random(1))
    results = [one._replace(at_ms=START_MS + n, samples={f"sample_{n}": n}) for n in range(SHAPES_LIMIT + 50)]
    long = one._replace(at_ms=START_MS - 1, samples={"x" * 300: 1.5, "y" * 300: 2, "z" * 300: 3, "ô" * 300: -4})
    assert await store.import_results([long, *results]) == len(results) + 1
    assert await exported(store) == [long, *results]


async def test_memory_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    inventory = configured(tmp_path / "conf")
    await store.sync_inventory(inventory)
    recent = ((START_MS, 2, "timeout"), (START_MS + 1, 0, ""))
    state = CheckState(State.DEGRADED, START_MS, "condition", "chậm", START_MS + 9, recent, (0, 1, 2), flapping=True)
    now = CheckNow("dan-cu/http", state, 0.25, 0.5, (0.5, None, 0.125))
    target = TargetState(State.DEGRADED, START_MS, "condition", flapping=True)
    closed = replace(full_batch(number=7).incidents[0], phase=IncidentPhase.RESOLVED, resolved_ms=START_MS + 60_000)
    await store.save(
        Batch(checks=[now], targets=[TargetNow("dan-cu", target)], incidents=[*full_batch().incidents, closed])
    )
    memory, checks = await store.load_memory()
    assert checks == {"dan-cu/http": now}
    assert memory.checks == {"dan-cu/http": state}
    assert memory.targets == {"dan-cu": target}
    assert memory.incidents == {"SC-2026-0001": full_batch().incidents[0]}
    assert memory.numbers == {2026: 7}


async def test_memory_leaves_out_what_is_no_longer_configured(store: Store, tmp_path: Path) -> None:
    await store.sync_inventory(configured(tmp_path / "conf"))
    await store.save(Batch(checks=[CheckNow("dan-cu/tcp", CheckState(), 0.25, None, ())]))
    await store.sync_inventory(configured(tmp_path / "conf", CONFIGURATION.split("      - {probe: tcp")[0]))
    assert (await store.load_memory())[1] == {}
    await store.sync_inventory(configured(tmp_path / "conf"))
    assert list((await store.load_memory())[1]) == ["dan-cu/tcp"]


async def test_an_empty_configuration_is_one(store: Store) -> None:
    await store.sync_inventory(Inventory())
    assert (await store.load_memory())[1] == {}


async def test_an_incident_is_replaced_by_what_became_of_it(store: Store) -> None:
    batch = full_batch()
    await store.save(batch)
    closed: Incident = replace(batch.incidents[0], phase=IncidentPhase.RESOLVED, resolved_ms=START_MS + 60_000)
    await store.save(Batch(incidents=[closed]))
    assert await store.incidents({closed.id}) == {closed.id: closed}
    assert (await store.load_memory())[0].incidents == {}


async def test_a_notification_is_claimed_once(store: Store) -> None:
    await store.save(full_batch())
    due_ms = START_MS + 20_000
    assert await claimed(store, due_ms - 1) == []
    assert await claimed(store, due_ms) == full_batch().notifications
    assert await claimed(store, due_ms + LEASE_MS - 1) == []


async def test_a_claim_whose_holder_died_is_free_after_its_lease(store: Store) -> None:
    await store.save(full_batch())
    assert len(await claimed(store, START_MS + 20_000)) == 1
    assert len(await claimed(store, START_MS + 20_000 + LEASE_MS)) == 1


async def test_a_new_monitor_takes_over_the_claims_of_a_dead_one(store_url: str) -> None:
    dead = await Store.open(store_url)
    await dead.take_lock("first")
    await dead.save(full_batch())
    assert len(await claimed(dead)) == 1
    await dead.aclose()
    heir = await Store.open(store_url)
    await heir.take_lock("second")
    assert len(await claimed(heir)) == 1
    await heir.aclose()


async def test_a_retry_waits_and_counts(store: Store) -> None:
    await store.save(full_batch())
    (first,) = await store.claim_notifications(FAR_MS, 10)
    assert first.attempts == 0
    await store.plan_retry(first.id, FAR_MS + 5_000, "connection refused")
    assert await claimed(store, FAR_MS + 4_999) == []
    (second,) = await store.claim_notifications(FAR_MS + 5_000, 10)
    assert (second.id, second.attempts) == (first.id, 1)
    await store.give_up(second.id, "no such receiver")
    assert await claimed(store, FAR_MS * 2) == []


async def test_what_was_delivered_stays_delivered(store: Store) -> None:
    await store.save(full_batch())
    (pending,) = await store.claim_notifications(FAR_MS, 10)
    await store.mark_delivered(pending.id, FAR_MS)
    await store.plan_retry(pending.id, FAR_MS, "came late")
    assert await claimed(store, FAR_MS * 2) == []


async def test_claims_are_bounded_and_oldest_first(store: Store) -> None:
    for number in (3, 1, 2):
        await store.save(full_batch(START_MS + number, number=number))
    assert [n.incident for n in await claimed(store, limit=2)] == ["SC-2026-0001", "SC-2026-0002"]
    assert [n.incident for n in await claimed(store, limit=2)] == ["SC-2026-0003"]


async def test_old_results_are_forgotten_and_new_ones_are_not(store: Store) -> None:
    results = list(http_results(checks=250, turns=4))
    await store.save(Batch(results=results))
    middle = results[500].at_ms
    assert await store.forget_results(middle) == 500
    assert await exported(store) == results[500:]
    assert await store.forget_results(middle) == 0


async def test_a_second_monitor_is_refused_with_the_name_of_the_first(store_url: str) -> None:
    first, second = await Store.open(store_url), await Store.open(store_url)
    await first.take_lock("hn-1 pid 4711")
    with pytest.raises(StoreInUseError, match="hn-1 pid 4711"):
        await second.take_lock("hn-2 pid 4712")
    # The refused one can still read and import, and takes over when the first is gone.
    await second.import_results([http_result("a/http", START_MS, random.Random(1))])
    await first.aclose()
    await second.take_lock("hn-2 pid 4712")
    await second.aclose()


async def test_two_processes_agree_on_numbers(store_url: str) -> None:
    first, second = await Store.open(store_url), await Store.open(store_url)
    results = list(http_results(checks=4, turns=3))
    await first.save(Batch(results=results[:4]))
    await second.save(Batch(results=[r._replace(agent="hn-2", samples={"new_s": 1.5}) for r in results[4:8]]))
    await first.save(Batch(results=results[8:]))
    assert await exported(first) == await exported(second)
    assert len(await exported(first)) == 12
    await first.aclose()
    await second.aclose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:mat-khau@h/d", "postgresql://h", "x"])
async def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreError, match="write sqlite:///") as refused:
        await Store.open(url)
    assert "mat-khau" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("https://a.example/x", "https://a.example/x"),
        ("https://u:p@a.example:1/x?key=1&b=2#f", "https://u:…@a.example:1/x?key=…&b=…"),
        ("https://u@[::1]/?token", "https://u@[::1]/?…"),
        ("postgresql://u:p%40@h/d?sslmode=require", "postgresql://u:…@h/d?sslmode=…"),
        ("host=h user=u password=p dbname=d", "host=h user=u password=… dbname=d"),
        ("host=h password='p \\' q' dbname=d", "host=h password=… dbname=d"),
        ("http://[broken", "http://…"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


async def test_a_batch_is_saved_whole_or_not_at_all(store: Store) -> None:
    batch = full_batch()
    batch.incidents = [replace(batch.incidents[0], severity=10**30)]  # no database takes this
    with pytest.raises(Exception, match=r"(?i)int|range"):
        await store.save(batch)
    assert await exported(store) == []
    assert await claimed(store) == []
    await store.save(full_batch())
    assert len(await exported(store)) == 2
