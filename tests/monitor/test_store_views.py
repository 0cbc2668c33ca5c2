"""The views for BI tools say what the engine's own doors say; older schemas are carried over whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from alerts.periods import utc_text
from monitor.records import Batch
from monitor.store import Store, migrate
from monitor.store.engine import create_engine, parse_url
from monitor.store.names import Names
from monitor.store.results import pack
from tests.monitor.country import configured
from tests.monitor.samples import START_MS, full_batch, http_results

FAR_MS = 1 << 44


async def asked(store: Store, statement: str) -> list[tuple[Any, ...]]:
    async with store._reader.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


def instant(value: Any) -> str:
    """Return a time of either database as text to the second."""
    return str(value)[:19]


async def test_views_speak_plainly(store: Store, tmp_path: Path) -> None:
    await store.sync_inventory(configured(tmp_path / "conf"))
    await store.save(full_batch())
    await store.save(Batch(results=list(http_results(checks=2, turns=2))))
    at = utc_text(START_MS)[:19].replace("T", " ")
    rows = await asked(
        store,
        "SELECT check_id, agent, at, duration_s, state, failure, message FROM v_results "
        "WHERE failure IS NOT NULL ORDER BY agent",
    )
    assert [
        (check, agent, instant(when), float(s), state, failure, message)
        for check, agent, when, s, state, failure, message in rows
    ] == [("link-cao-bang/icmp", agent, at, 1.5, "down", "packet_loss", "loss 100 %") for agent in ("hn-1", "hn-2")]
    ups = await asked(store, "SELECT count(*), sum(duration_s) FROM v_results WHERE state = 'up' AND message = ''")
    expected = sum(result.duration_s for result in http_results(checks=2, turns=2))
    assert ups[0][0] == 4
    assert abs(float(ups[0][1]) - expected) < 1e-9
    (transition,) = await asked(
        store, "SELECT state_before, state_after, at, subject FROM v_transitions WHERE kind = 'check'"
    )
    assert (*transition[:2], instant(transition[2]), transition[3]) == ("unknown", "down", at, "link-cao-bang/icmp")
    (incident,) = await asked(store, "SELECT incident, started_at, resolved_at, lasted_s FROM v_incidents")
    assert (incident[0], instant(incident[1]), incident[2:]) == ("SC-2026-0001", at, (None, None))
    checks = await asked(store, "SELECT check_id, target, probe FROM v_checks WHERE probe = 'tcp'")
    assert checks == [("dan-cu/tcp", "dan-cu", "tcp")]
    assert len(await asked(store, "SELECT target, agency_name_vi FROM v_targets")) > 0
    assert await asked(store, "SELECT status FROM v_notifications") == [("pending",)]
    while await store.seal(FAR_MS):
        pass
    assert await asked(store, "SELECT sum(results) FROM v_sealed_hours") == [(6,)]
    assert await asked(store, "SELECT count(*) FROM v_results") == [(0,)]


async def test_results_of_the_first_schema_are_carried_over(empty_url: str) -> None:
    results = [*http_results(checks=30, turns=40), *full_batch().results]
    results += [result._replace(duration_s=9_999.5, at_ms=result.at_ms - 10**10) for result in results[:3]]
    engine = create_engine(parse_url(empty_url))

    def first_schema(connection: Connection) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    async with engine.connect() as connection, connection.begin():
        await connection.run_sync(first_schema)
        names = Names()
        packed = pack(results, names)
        while packed.lacks_names:
            await names.intern(connection, packed.checks, packed.agents, packed.shapes)
            await names.load(connection)
            packed = pack(results, names)
        statement = text(
            "INSERT INTO results (duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, "
            "message) VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i)"
        )
        await connection.execute(statement, [dict(zip("abcdefghi", row, strict=True)) for row in packed.rows])
    await engine.dispose()
    store = await Store.open(empty_url)
    found = [result async for result in store.export_results(0, FAR_MS)]
    assert found == sorted(results, key=lambda r: (r.at_ms, r.check, r.agent))
    assert await store.import_results(results) == 0
    while await store.seal(FAR_MS):
        pass
    assert [result async for result in store.export_results(0, FAR_MS)] == found
    await store.aclose()
