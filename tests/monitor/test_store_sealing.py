"""Sealed or not: the same results, each once, in the same order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.model import Result, State
from monitor.queries import Queries
from monitor.records import Batch
from monitor.store import Store, block_reader, blocks
from monitor.store.blocks import HOUR_MS, Entry
from monitor.store.codec import CorruptError, decode_samples, encode_samples, numbers_of
from monitor.store.results import read_check, snapshot
from probes.model import Failure
from tests.monitor.samples import NAMES, NUMBERS, RESULTS, START_MS, http_result, http_results

FAR_MS = 1 << 44
HOUR_START_MS = START_MS - START_MS % HOUR_MS

SHAPES_AND_BODIES = st.dictionaries(NAMES, NUMBERS, max_size=4).map(encode_samples)
LINES = st.tuples(
    st.integers(0, HOUR_MS - 1),
    st.integers(1, 3),
    st.integers(0, 10**11),
    st.sampled_from([0, 0, 0, 6, 130]),
    st.sampled_from(["", "", "timeout", "hết giờ"]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    SHAPES_AND_BODIES,
)
IN_THREE_HOURS = RESULTS.map(lambda r: r._replace(at_ms=START_MS + (r.at_ms - START_MS) // 5))


async def exported(store: Store, from_ms: int = 0, to_ms: int = FAR_MS) -> list[Result]:
    return [result async for result in store.export_results(from_ms, to_ms)]


async def seal_all(store: Store, before_ms: int = FAR_MS) -> int:
    total = 0
    while count := await store.seal(before_ms):
        total += count
    return total


def in_order(results: Sequence[Result]) -> list[Result]:
    return sorted(results, key=lambda r: (r.at_ms, r.check, r.agent))


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=40), cut_ms=st.integers(0, HOUR_MS))
def test_a_block_gives_back_what_was_put_in(lines: list[tuple], cut_ms: int) -> None:  # type: ignore[type-arg]
    numbers: dict[object, int] = {}
    entries = [
        Entry(at, agent, us, outcome, message, numbers.setdefault(shape, len(numbers) + 1), numbers_of(shape, body))
        for at, agent, us, outcome, message, (shape, body) in lines
    ]
    entries.sort(key=lambda entry: entry[:2])
    shapes = {number: shape for shape, number in numbers.items()}
    block = blocks.encode(entries, shapes)  # type: ignore[arg-type]
    assert block_reader.decode(block, shapes) == entries  # type: ignore[arg-type]
    assert block_reader.decode_keys(block) == [entry[:2] for entry in entries]
    early = block_reader.decode_values(block, shapes, 0, cut_ms)  # type: ignore[arg-type]
    late = block_reader.decode_values(block, shapes, cut_ms)  # type: ignore[arg-type]
    bodies = {(shape, body) for *_, (shape, body) in lines}
    assert [line[:2] for line in early + late] == [entry[:2] for entry in entries]
    assert all(line[0] < cut_ms for line in early)
    known = [decode_samples(shape, body) for shape, body in bodies]
    assert all(line[5] in known for line in early + late)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_block_is_refused_or_read_but_never_a_bug(data: st.DataObject) -> None:
    shape, body = encode_samples({"a_s": 0.25, "n": 7})
    entries = [Entry(n * 10_000, 1, 250 + n * n, 0, "x" * (n % 3), 1, numbers_of(shape, body)) for n in range(50)]
    block = bytearray(blocks.encode(entries, {1: shape}))
    for _ in range(data.draw(st.integers(1, 3))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(block)))
    with contextlib.suppress(CorruptError):
        block_reader.decode(bytes(block[:cut]), {1: shape})


def test_an_hour_of_one_check_takes_twelve_bytes_a_result() -> None:
    rng = random.Random(5)
    lines = [http_result("a/http", n * 10_000 + rng.randint(0, 3), rng) for n in range(360)]
    shape = encode_samples(lines[0].samples)[0]
    entries = [
        Entry(r.at_ms, 1, round(r.duration_s * 1e6), 0, "", 1, numbers_of(shape, encode_samples(r.samples)[1]))
        for r in lines
    ]
    assert {encode_samples(r.samples)[0] for r in lines} == {shape}
    assert len(blocks.encode(entries, {1: shape})) / 360 < 12


@pytest.mark.parametrize("part", [1, 3])
async def test_what_is_sealed_is_exported_as_it_was(store: Store, part: int) -> None:
    results = [*http_results(checks=20, turns=400), *http_results(checks=3, turns=5, start_ms=HOUR_START_MS - 10**8)]
    failed = results[7]._replace(state=State.DOWN, failure=Failure.CONNECT_REFUSED, message="từ chối", samples={})
    results[7] = failed
    odd = http_result("odd/http", START_MS + 5, random.Random(9))._replace(samples={"x" * 500: 1.25, "n": -3})
    results.append(odd)
    await store.import_results(results[::part])
    sealed = await seal_all(store, HOUR_START_MS + HOUR_MS)
    assert 0 < sealed < len(results)
    assert await exported(store) == in_order(results[::part])
    # The rest comes late for sealed hours, and what is there comes again.
    assert await store.import_results(results) == len(results) - len(results[::part])
    assert await exported(store) == in_order(results)
    assert await seal_all(store) > 0
    assert await exported(store) == in_order(results)
    assert await store.import_results(results) == 0
    assert await seal_all(store) == 0
    middle = START_MS + 1_234_567
    assert await exported(store, to_ms=middle) + await exported(store, from_ms=middle) == in_order(results)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data(), results=st.lists(IN_THREE_HOURS, min_size=1, max_size=20))
async def test_any_order_in_any_parts_sealed_or_not_is_exported_once(
    store: Store, data: st.DataObject, results: list[Result]
) -> None:
    await store.forget_results(FAR_MS)
    unique = list({(r.check, r.agent, r.at_ms): r for r in reversed(results)}.values())
    arriving = data.draw(st.permutations(unique + unique))
    while arriving:
        count = data.draw(st.integers(1, len(arriving)))
        part, arriving = arriving[:count], arriving[count:]
        if data.draw(st.booleans()):
            await store.save(Batch(results=part))
        else:
            await store.import_results(part)
        if data.draw(st.booleans()):
            await seal_all(store, START_MS + data.draw(st.integers(0, 15_000_000)))
    assert await exported(store) == in_order(unique)
    await seal_all(store)
    found = await exported(store)
    assert found == in_order(unique)
    for result, original in zip(found, in_order(unique), strict=True):
        assert list(result.samples) == list(original.samples)
        assert list(map(type, result.samples.values())) == list(map(type, original.samples.values()))
        assert list(map(str, result.samples.values())) == list(map(str, original.samples.values()))


async def test_one_check_is_read_from_both(store: Store) -> None:
    results = list(http_results(checks=40, turns=500))
    await store.save(Batch(results=results))
    await seal_all(store, HOUR_START_MS + HOUR_MS)
    of_one = [result for result in results if result.check == "target-00007/http"]
    number = store._names.checks["target-00007/http"]
    async with snapshot(store._reader) as connection:
        found = await read_check(connection, store._names, number, START_MS - HOUR_MS, START_MS + 10**7)
        assert found == of_one
        middle = of_one[100].at_ms
        early = await read_check(connection, store._names, number, START_MS, middle)
        assert early + await read_check(connection, store._names, number, middle, START_MS + 10**7) == of_one
        assert await read_check(connection, store._names, number, middle, middle) == []


async def test_what_is_sealed_is_forgotten_to_the_millisecond(store: Store) -> None:
    results = list(http_results(checks=5, turns=800))
    await store.save(Batch(results=results))
    await seal_all(store, HOUR_START_MS + HOUR_MS)
    middle = results[1111].at_ms
    assert await store.forget_results(middle) == 1111
    assert await exported(store) == results[1111:]
    later = results[3333].at_ms
    assert await store.forget_results(later) == 2222
    assert await exported(store) == results[3333:]
    assert await store.forget_results(later) == 0


@pytest.mark.parametrize(("checks", "turns"), [(10, 30), (60, 5)])
async def test_two_writers_that_take_turns_store_nothing_twice(store_url: str, checks: int, turns: int) -> None:
    first, second = await Store.open(store_url), await Store.open(store_url)
    results = list(http_results(checks=checks, turns=turns))
    for at in range(0, 300, 50):
        await first.save(Batch(results=results[at : at + 60]))
        await second.save(Batch(results=results[max(0, at - 40) : at + 80]))
    await first.save(Batch(results=results))
    assert await exported(first) == results
    assert await seal_all(second) == 300
    await first.save(Batch(results=results))
    assert await exported(first) == results
    await first.aclose()
    await second.aclose()


async def test_results_that_come_while_their_hour_is_packed_are_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.store import sealing

    results = list(http_results(checks=4, turns=20))
    await store.save(Batch(results=results[:40]))
    find = sealing._find

    async def find_and_be_late(*arguments: object) -> object:
        part = await find(*arguments)  # type: ignore[arg-type]
        await store.save(Batch(results=results))
        return part

    monkeypatch.setattr(sealing, "_find", find_and_be_late)
    await store.seal(FAR_MS)
    monkeypatch.undo()
    assert await exported(store) == results
    await seal_all(store)
    assert await exported(store) == results


async def test_a_reader_in_another_process_learns_new_names_from_blocks(store: Store, store_url: str) -> None:
    other = await Store.open(store_url)
    queries = await Queries.open(store_url)
    results = [http_result("new/http", START_MS + n, random.Random(n), agent=f"hn-{n}") for n in range(5)]
    await store.save(Batch(results=results))
    await seal_all(store)
    assert await exported(other) == results
    await queries.aclose()
    await other.aclose()
