"""What the kind `postgresql` says beyond its query, against a real primary with a streaming standby."""

import asyncio
import re
import time
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from alerts.model import State
from monitor.oneshot import prepare
from monitor.runner import measure as run_job
from probes import registry
from probes.database_memory import Sessions
from probes.kinds import postgresql
from probes.model import Context, Failure, Resources
from tests.postgres import PostgresServer
from tests.probes.tcp_servers import awaited, checked, measure, refusing_port

result_of = partial(checked, "postgresql")
until = partial(awaited, "postgresql")

WAIT_S = 20.0
REPLICATES = ["replication_running", "replication_lag_s"]


@pytest.fixture(scope="module")
def pair():
    """A primary and its standby."""
    primary = PostgresServer({"wal_level": "replica", "max_wal_senders": "4", "max_prepared_transactions": "2"})
    standby = None
    try:
        primary.start()
        with (primary.data / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
        standby = PostgresServer({"max_prepared_transactions": "2"}, primary)
        standby.start()
        yield primary, standby
    finally:
        for server in (standby, primary):
            if server is not None:
                server.close()


@asynccontextmanager
async def connected(dsn):
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def test_the_statement_runs_as_documented():
    assert set(postgresql.PROBE.samples) >= set(REPLICATES)
    assert postgresql.PostgresqlParams(dsn="postgresql://u@h/d").wanted() == postgresql.details.CHEAP
    assert postgresql.PostgresqlParams(dsn="postgresql://u@h/d", details=False).wanted() == frozenset()
    alone = postgresql.PostgresqlParams(dsn="postgresql://u@h/d", details=False, role="primary")
    assert alone.wanted() == {"replication"}


async def test_a_primary_with_its_standby(pair):
    primary, standby = pair
    found = await until(lambda m: "replicas_lag_bytes" in m.samples, primary.dsn(), role="primary")
    assert (found.failure, found.facts["role"], found.facts["unseen"]) == (None, "primary", "")
    samples = found.samples
    assert (samples["in_recovery"], samples["role_changed"], samples["replicas"]) == (0, 0, 1)
    assert (samples["connections_max"], samples["locks_waiting"], samples["slots_inactive"]) == (60, 0, 0)
    assert 0 < samples["connections_ratio"] < 1
    assert samples["replicas_lag_bytes"] >= 0
    assert "details_s" in samples
    assert not {"size_bytes", "archive_age_s", *REPLICATES} & set(samples)
    sized = await measure("postgresql", standby.dsn(), timeout_s=10.0, details=["size"])
    assert sized.samples["size_bytes"] > 1_000_000
    assert "connections" not in sized.samples
    few = await result_of(primary.dsn(), replication={"replicas": 2})
    assert (few.state, few.failure) == (State.DOWN, Failure.CONDITION)
    assert few.message == "the primary has 1 replicas, expected are at least 2"


async def test_a_standby_whose_primary_rests_has_no_lag(pair):
    _, standby = pair
    found = await until(
        lambda m: m.samples.get("replication_running") == 1, standby.dsn(), replication={"max_lag": "5s"}
    )
    assert (found.failure, found.message) == (None, "")
    assert (found.samples["replication_running"], found.samples["replication_lag_s"]) == (1, 0)
    assert found.facts["role"] == "replica"
    wrong = await result_of(standby.dsn(), role="primary")
    assert (wrong.state, wrong.failure) == (State.DOWN, Failure.CONDITION)
    assert wrong.message == "the server is a replica; expected is a primary"


async def test_a_paused_standby_is_stopped_and_behind(pair):
    primary, standby = pair
    dsn = primary.dsn(await primary.create_database())
    there = dsn.replace(str(primary.port), str(standby.port))
    rule = {"dsn": there, "table": 'odd "table"', "column": "id", "max_gap": 5}
    async with connected(dsn) as writer, connected(standby.dsn()) as reader:
        await writer.execute('CREATE TABLE "odd ""table""" (id int, at timestamptz)')
        await writer.execute('INSERT INTO "odd ""table""" VALUES (1, now())')
        empty = await until(lambda m: m.failure is None, there, query='SELECT * FROM "odd ""table"""')
        assert empty.samples["rows"] == 1
        even = await measure("postgresql", dsn, in_step=rule)
        assert (even.failure, even.samples["gap"]) == (None, 0)
        assert even.samples["in_step_s"] > 0
        await reader.execute("SELECT pg_wal_replay_pause()")
        try:
            await writer.execute('INSERT INTO "odd ""table""" VALUES (10, now())')
            stopped = await until(lambda m: m.failure is not None, there)
            assert (stopped.is_degraded, stopped.message) == (True, "replication is stopped: the replay is paused")
            assert stopped.samples["replication_running"] == 0
            assert "replication_lag_s" not in stopped.samples
            down = await result_of(there, replication={})
            assert (down.state, down.failure) == (State.DOWN, Failure.STALE)
            apart = await result_of(dsn, in_step=rule)
            assert apart.failure is Failure.STALE
            place = f"127.0.0.1:{standby.port}"
            assert apart.message == f"not in step: the other one ({place}) is behind by 9, allowed are 5"
            back = await result_of(there, in_step={**rule, "dsn": dsn, "state": "degraded"}, details=False)
            assert (back.state, back.samples["gap"]) == (State.DEGRADED, 9)
            assert back.message == "not in step: this database is behind by 9, allowed are 5"
            counted = await measure("postgresql", dsn, in_step={"dsn": there, "table": rule["table"], "max_gap": 1})
            assert (counted.failure, counted.samples["gap"]) == (None, -1)
        finally:
            await reader.execute("SELECT pg_wal_replay_resume()")
        beating = {"heartbeat": {"table": 'odd "table"', "column": "at"}, "max_lag": "1h"}
        caught_up = await until(lambda m: m.failure is None, there, replication=beating)
        assert 0 < caught_up.samples["replication_lag_s"] < 600
        late = await result_of(there, replication={**beating, "max_lag": "1ms"})
        assert "behind, allowed are 0.001 s" in late.message


async def test_another_database_that_cannot_be_asked(pair):
    primary, _ = pair
    port = refusing_port()
    rule = {"dsn": f"postgresql://u:hunter2@127.0.0.1:{port}/x", "query": "SELECT 1", "max_gap": 0}
    result = await result_of(primary.dsn(), in_step=rule)
    assert (result.state, result.failure) == (State.DOWN, Failure.CONNECT_REFUSED)
    assert result.message.startswith(f"the other one (127.0.0.1:{port}) cannot be asked: ")
    wordy = {"dsn": primary.dsn(), "query": "SELECT 'x'", "max_gap": 0}
    assert (await result_of(primary.dsn(), in_step=wordy)).failure is Failure.QUERY_FAILED


async def test_freshness_by_a_column(pair):
    primary, _ = pair
    dsn = primary.dsn(await primary.create_database())
    async with connected(dsn) as connection:
        await connection.execute('CREATE TABLE public.t ("at the time" timestamptz, d date)')
        rule = {"table": "public.t", "column": "at the time", "max_age": "60s"}
        empty = await result_of(dsn, freshness=rule)
        assert (empty.failure, empty.message[:24]) == (Failure.STALE, "there is no newest row: ")
        await connection.execute("INSERT INTO t VALUES (now() - interval '100 s', current_date - 3)")
        old = await result_of(dsn, freshness={**rule, "state": "degraded"})
        assert (old.state, old.failure) == (State.DEGRADED, Failure.STALE)
        assert 100 <= old.samples["freshness_s"] < 160
        assert "connections" in old.samples
        dated = await measure("postgresql", dsn, freshness={"table": "t", "column": "d", "max_age": "5d"})
        assert 3 * 86400 <= dated.samples["freshness_s"] < 4 * 86400
        missing = await result_of(dsn, freshness={"table": "t; DROP TABLE t", "column": "d", "max_age": "1m"})
        assert missing.message == '42P01: relation "t; DROP TABLE t" does not exist'


async def test_a_lock_that_is_held(pair):
    primary, _ = pair
    dsn = primary.dsn(await primary.create_database())
    async with connected(dsn) as holder, connected(dsn) as waiter:
        await holder.execute("CREATE TABLE t (x int)")
        await holder.execute("BEGIN; LOCK TABLE t")
        waiting = asyncio.ensure_future(waiter.execute("SELECT * FROM t"))
        try:
            found = await until(lambda m: m.samples.get("locks_waiting"), dsn)
            assert found.samples["locks_waiting"] == 1
            assert found.samples["longest_lock_wait_s"] > 0
            assert found.samples["longest_transaction_s"] > 0
            stuck = await result_of(dsn, timeout_s=1.2, freshness={"table": "t", "column": "x", "max_age": "1m"})
            assert stuck.failure is Failure.TIMEOUT
        finally:
            await holder.execute("ROLLBACK")
            await waiting


async def test_the_documented_grants_are_enough(pair):
    """The statements of the docstring, as they stand there."""
    primary, _ = pair
    database = await primary.create_database()
    dsn = primary.dsn(database)
    block = re.search(r"(?s)\n    CREATE ROLE.*?GRANT SELECT ON sync_queue TO thongsuot;\n.*?\n", postgresql.__doc__)
    grants = block[0].replace("thongsuot", "watcher").replace("'…'", "'x'").replace("dancu", f'"{database}"')
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE citizens (id int, name text, synced_at timestamptz)")
        await connection.execute("CREATE TABLE sync_queue (x int); INSERT INTO citizens VALUES (7, 'secret', now())")
        await connection.execute(grants)
        try:
            as_watcher = f"postgresql://watcher:x@{primary.host}:{primary.port}/{database}"
            rules = {
                "query": "SELECT count(*) AS waiting FROM sync_queue",
                "freshness": {"table": "public.citizens", "column": "synced_at", "max_age": "15m"},
                "in_step": {"dsn": as_watcher, "table": "citizens", "max_gap": 0},
                "details": ["connections", "transactions", "locks", "replication", "archive", "size"],
            }
            found = await measure("postgresql", as_watcher, timeout_s=10.0, **rules)
            assert (found.failure, found.message) == (None, "")
            assert {"connections", "locks_waiting", "replicas", "size_bytes", "gap"} <= set(found.samples)
            assert not {"longest_transaction_s", "replicas_lag_bytes"} & set(found.samples)
            assert found.facts["unseen"] == "the longest transaction and the replicas' lag (GRANT pg_monitor)"
            beyond = await result_of(as_watcher, query="SELECT name FROM citizens")
            assert beyond.message == "42501: permission denied for table citizens"
            await connection.execute("GRANT pg_monitor TO watcher")
            more = await measure("postgresql", as_watcher, timeout_s=10.0, **rules)
            assert {"longest_transaction_s", "replicas_lag_bytes"} <= set(more.samples)
            assert not more.facts["unseen"]
        finally:
            await connection.execute("DROP OWNED BY watcher; DROP ROLE watcher")


async def test_archiving_that_fails():
    server = PostgresServer({"archive_mode": "on", "archive_command": "false", "wal_level": "replica"})
    try:
        server.start()
        async with connected(server.dsn()) as connection:
            await connection.execute("SELECT pg_switch_wal()")
        found = await until(lambda m: m.samples["archive_failing"] == 1, server.dsn(), details=["archive"])
        assert found.samples["archive_failing"] == 1
        assert "archive_age_s" not in found.samples
        async with connected(server.dsn()) as connection:
            await connection.execute("ALTER SYSTEM SET archive_command = 'true'")
    finally:
        server.close()


async def test_details_that_fail_are_absent_and_told(pair, monkeypatch):
    primary, _ = pair
    monkeypatch.setitem(postgresql.details._COLUMNS["locks"], "locks_waiting", "no_such_function()")
    found = await measure(
        "postgresql", primary.dsn(), in_step={"dsn": primary.dsn(), "query": "SELECT 5", "max_gap": 0}
    )
    assert (found.failure, found.samples["gap"]) == (None, 0)
    assert found.facts["unseen"].startswith("the details (42883: function no_such_function() does not exist")
    assert "connections" not in found.samples


async def backends(server):
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kept'"
    return (await measure("postgresql", server.dsn(), query=query)).facts["value"]


async def test_a_kept_session_is_one_and_is_opened_again_when_it_is_broken(pair):
    primary, _ = pair
    dsn = f"{primary.dsn()}?application_name=kept"
    job = prepare("postgresql", dsn, {"session": "keep", "query": "SELECT pg_backend_pid()"}, 10.0)
    resources, probe = Resources(), registry.find("postgresql")

    async def once():
        context = Context(10.0, asyncio.get_running_loop().time() + 10.0, resources)
        return await probe.run(job.params, context)

    try:
        first, second = await once(), await once()
        assert first.facts["value"] == second.facts["value"]
        assert {"connect_s", "login_s"} <= set(first.samples)
        assert set(second.samples) & {"resolve_s", "connect_s", "tls_s", "login_s"} == set()
        assert second.samples["query_s"] > 0
        assert await backends(primary) == 1
        idle = "SELECT state FROM pg_stat_activity WHERE application_name = 'kept'"
        assert (await measure("postgresql", primary.dsn(), query=idle)).facts["value"] == "idle"
        async with connected(primary.dsn()) as killer:
            await killer.execute("SELECT pg_terminate_backend($1)", first.facts["value"])
        third = await once()
        assert (third.failure, third.facts["value"] != first.facts["value"]) == (None, True)
        assert "login_s" in third.samples
        resources.refresh()
        assert not len(resources.get(Sessions, Sessions))
        fourth = await once()
        assert fourth.facts["value"] != third.facts["value"]
        results = await asyncio.gather(*(run_job(job, resources, "test") for _ in range(3)))
        assert {result.state for result in results} == {State.UP}
        assert len(resources.get(Sessions, Sessions)) == 1
    finally:
        await resources.aclose()
    deadline = time.monotonic() + WAIT_S
    while await backends(primary) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert await backends(primary) == 0


async def test_a_session_that_failed_is_not_kept(pair):
    primary, _ = pair
    job = prepare("postgresql", primary.dsn(), {"session": "keep", "query": "SELECT 1/0"}, 10.0)
    resources = Resources()
    try:
        assert (await run_job(job, resources, "test")).failure is Failure.QUERY_FAILED
        assert not len(resources.get(Sessions, Sessions))
    finally:
        await resources.aclose()


async def test_a_server_that_is_killed_in_the_middle_of_a_statement():
    server = PostgresServer()
    try:
        server.start()
        running = asyncio.ensure_future(result_of(server.dsn(), query="SELECT pg_sleep(60)", timeout_s=30.0))
        async with connected(server.dsn()) as watcher:
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
            while not await watcher.fetchval(asleep):
                await asyncio.sleep(0.02)
        await asyncio.to_thread(server.close)
        result = await running
    finally:
        server.close()
    assert result.state is State.DOWN
    assert result.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET, Failure.QUERY_FAILED)
    assert result.duration_s < 20


async def test_promotion_and_a_lost_primary_are_told():
    """Last: it takes a pair of its own apart."""
    primary = PostgresServer()
    standby = None
    resources = Resources()
    try:
        primary.start()
        standby = PostgresServer(None, primary)
        standby.start()
        probe = registry.find("postgresql")
        job = prepare("postgresql", standby.dsn(), {"session": "keep", "role": "replica"}, 10.0)

        async def once():
            return await probe.run(job.params, Context(10.0, asyncio.get_running_loop().time() + 10.0, resources))

        while (await once()).samples.get("replication_running") != 1:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(primary.stop)
        while (lost := await once()).failure is None:
            await asyncio.sleep(0.05)
        assert (lost.failure, lost.is_degraded) == (Failure.STALE, True)
        assert lost.message == "replication is stopped: no WAL receiver is running"
        async with connected(standby.dsn()) as connection:
            await connection.execute("SELECT pg_promote()")
        found = await once()
        assert (found.failure, found.samples["role_changed"]) == (Failure.CONDITION, 1)
        assert found.message == "the server is a primary, and was a replica in the run before; expected is a replica"
        assert (found.facts["role_before"], found.samples["in_recovery"]) == ("replica", 0)
        assert (await once()).samples["role_changed"] == 0
    finally:
        await resources.aclose()
        for server in (standby, primary):
            if server is not None:
                server.close()
