"""What database checks share: roles, replication, growth, being in step, and kept sessions."""

import asyncio

import pytest
from pydantic import ValidationError

from probes import registry
from probes.conditions import compile_condition
from probes.database_findings import (
    Findings,
    figure_of,
    judge_age,
    judge_gap,
    judge_replica,
    judge_replicas,
    judge_role,
    note_size,
)
from probes.database_memory import (
    DAY_S,
    GROWTH_POINTS,
    IDLE_LIMIT_S,
    SESSIONS_LIMIT,
    Growth,
    Memory,
    Sessions,
    in_session,
    memory_of,
)
from probes.database_params import Freshness, InStep, Replication, quoted, quoted_column
from probes.database_step import ask_in_session, judge_step
from probes.failures import TroubleError
from probes.kinds.postgresql import PROBE
from probes.model import Context, Failure, Resources


class FakeSession:
    """A session without a server."""

    def __init__(self, ctx, *, alive=True, gone=False):
        self.ctx, self.alive, self.gone, self.closed = ctx, alive, gone, 0

    def is_idle(self):
        return self.alive

    def close(self):
        self.closed += 1


def context(resources=None, check=""):
    return Context(5.0, asyncio.get_running_loop().time() + 5.0, resources or Resources(), check=check)


def test_names_are_quoted_whatever_is_in_them():
    assert quoted("public.citizens") == '"public"."citizens"'
    assert quoted('a"; DROP TABLE x; --') == '"a""; DROP TABLE x; --"'
    assert quoted("a`b.c", "`") == "`a``b`.`c`"
    assert quoted("dbo.a]b", "[", "]") == "[dbo].[a]]b]"
    assert quoted_column("at.utc") == '"at.utc"'


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"max_age": "1m"}, "either a query or a table"),
        ({"query": "SELECT 1", "table": "t", "column": "c", "max_age": "1m"}, "either a query or a table"),
        ({"query": "SELECT 1", "column": "c", "max_age": "1m"}, "a column belongs to a table"),
        ({"table": "t", "max_age": "1m"}, "which column"),
        ({"table": "a.b.c.d", "column": "c", "max_age": "1m"}, "a table is table or schema.table"),
        ({"table": "a..b", "column": "c", "max_age": "1m"}, "a table is table or schema.table"),
        ({"table": "a\nb", "column": "c", "max_age": "1m"}, "a name is printable"),
        ({"query": "SELECT '\0'", "max_age": "1m"}, "no NUL"),
        ({"table": "t", "column": "c", "max_age": "0s"}, "greater than 0"),
    ],
)
def test_a_source_is_a_query_or_a_table(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        Freshness(**parameters)


def test_a_gap_is_a_count_or_a_duration():
    assert InStep(table="t", max_gap=100).max_gap == 100
    assert InStep(table="t", max_gap="100").max_gap == 100
    assert InStep(table="t", column="at", max_gap="5m").max_gap == 300
    with pytest.raises(ValidationError):
        InStep(table="t", max_gap=-1)
    with pytest.raises(ValidationError, match="duration"):
        InStep(table="t", max_gap="soon")


async def test_a_change_of_role_is_told_once():
    memory, found = Memory(), [Findings() for _ in range(4)]
    for findings, role in zip(found, ("primary", "replica", "replica", "primary"), strict=True):
        judge_role(role, "primary", memory, findings)
    assert [findings.samples["role_changed"] for findings in found] == [0, 1, 0, 1]
    said = [findings.measurement(context()).message for findings in found]
    assert said == [
        "",
        "the server is a replica, and was a primary in the run before; expected is a primary",
        "the server is a replica; expected is a primary",
        "",
    ]
    assert found[1].facts["role_before"] == "primary"


@pytest.mark.parametrize(
    ("stopped", "lag_s", "samples", "message"),
    [
        ("", 0.0, {"replication_running": 1, "replication_lag_s": 0}, ""),
        ("", 9.0, {"replication_running": 1, "replication_lag_s": 9}, "the replica is 9.0 s behind, allowed are 5 s"),
        ("", None, {"replication_running": 1}, "the replication's lag cannot be told"),
        ("no receiver", 1.0, {"replication_running": 0}, "replication is stopped: no receiver"),
        (None, 1.0, {"replication_lag_s": 1}, ""),
        ("", float("nan"), {"replication_running": 1}, "the replica is nan s behind, allowed are 5 s"),
    ],
)
@pytest.mark.parametrize("state", ["down", "degraded"])
async def test_a_stopped_replica_has_no_lag(stopped, lag_s, samples, message, state):
    findings = Findings()
    judge_replica(stopped, lag_s, Replication(state=state, max_lag="5s"), findings)
    measurement = findings.measurement(context())
    assert (measurement.samples, measurement.message) == (samples, message)
    assert measurement.failure is (Failure.STALE if message else None)
    assert measurement.is_degraded is bool(message and state == "degraded")


async def test_the_worst_finding_stands():
    findings = Findings()
    judge_replicas(0, Replication(replicas=2, state="degraded"), findings)
    judge_age(100.0, Freshness(query="x", max_age="60s"), findings)
    judge_age(None, Freshness(query="x", max_age="60s"), findings)
    measurement = findings.measurement(context())
    assert (measurement.failure, measurement.is_degraded) == (Failure.STALE, False)
    assert measurement.message == "the newest row is 100 s old, allowed are 60 s"
    ended = findings.measurement(context(), (Failure.CONNECTION_CLOSED, "gone"))
    assert (ended.failure, ended.message, ended.samples["replicas"]) == (Failure.CONNECTION_CLOSED, "gone", 0)


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        (100.0, 100.0, ""),
        (100.0, 105.0, ""),
        (100.0, 106.0, "not in step: this database is behind by 6, allowed are 5"),
        (106.0, 100.0, "not in step: the copy is behind by 6, allowed are 5"),
        (None, None, ""),
        (None, 3.0, "not in step: this database has nothing, the other one has"),
        (3.0, None, "not in step: the copy has nothing, the other one has"),
    ],
)
async def test_which_of_two_databases_is_behind(here, there, message):
    findings = Findings()
    judge_gap(here, there, InStep(table="t", max_gap=5), "the copy", findings)
    assert findings.measurement(context()).message == message


def test_what_can_be_compared():
    assert figure_of("12") == 12
    assert figure_of("2026-11-26 07:00:00+07") == figure_of("2026-11-26T00:00:00+00:00") == figure_of("2026-11-26")
    assert figure_of(None) is None
    with pytest.raises(TroubleError, match="neither a number nor a time"):
        figure_of("Hà Nội")


def test_growth_is_of_a_day_and_bounded():
    growth = Growth()
    assert growth.add(0.0, 1000) == {}
    assert growth.add(60.0, 1100) == {"growth_bytes": 100}
    assert growth.add(DAY_S / 2, 6000) == {"growth_bytes": 4900, "daily_growth_bytes": 10_000}
    for minute in range(3 * 1440):
        found = growth.add(DAY_S + minute * 60, 6000)
    assert found == {"growth_bytes": 0, "daily_growth_bytes": 0}
    assert len(growth._points) <= GROWTH_POINTS


async def test_a_check_finds_what_it_remembers_and_no_other_check_does():
    ctx = context(check="db/a")
    memory_of(ctx, "kind", "a:1").role = "replica"
    assert memory_of(context(ctx.resources, "db/a"), "kind", "a:1").role == "replica"
    assert not memory_of(ctx, "kind", "b:1").role, "it was pointed elsewhere"
    assert not memory_of(ctx, "other", "a:1").role
    assert not memory_of(context(ctx.resources, "db/b"), "kind", "a:1").role


async def test_a_rule_about_growth_waits_for_a_second_run():
    """Not a number: neither more nor less; a size that was not seen at all fails the rule."""
    rule, memory = compile_condition("growth_bytes > 1.0 || daily_growth_bytes > 1.0", PROBE), Memory()
    first, second, unseen = Findings(), Findings(), Findings()
    note_size(1000, memory, first)
    note_size(1100, memory, second)
    held = [rule.holds(found.measurement(context()), 1.0)[0] for found in (first, second, unseen)]
    assert held == [False, True, True]
    assert not {"growth_bytes", "daily_growth_bytes"} & {*first.samples}


async def test_a_session_is_kept_and_closed_when_the_process_stops():
    ctx, opened = context(), []

    async def open_session():
        opened.append(FakeSession(ctx))
        return opened[-1]

    async def work(session):
        return session

    assert await in_session(ctx, "a", "keep", open_session, work) is opened[0]
    later = context(ctx.resources)
    assert await in_session(later, "a", "keep", open_session, work) is opened[0]
    assert opened[0].ctx is later
    assert await in_session(ctx, "b", "keep", open_session, work) is opened[1]
    assert await in_session(ctx, "a", "new", open_session, work) is opened[2]
    assert [session.closed for session in opened] == [0, 0, 1]
    await ctx.resources.aclose()
    assert [session.closed for session in opened] == [1, 1, 1]


@pytest.mark.parametrize("how", ["dead", "gone", "reset"])
async def test_a_broken_session_is_replaced_once(how):
    ctx, opened = context(), []

    async def open_session():
        opened.append(FakeSession(ctx))
        return opened[-1]

    async def work(session):
        if session.gone:
            raise ConnectionResetError if how == "reset" else TroubleError(Failure.CONNECTION_CLOSED, "closed")
        return session

    await in_session(ctx, "a", "keep", open_session, work)
    opened[0].alive, opened[0].gone = how != "dead", how != "dead"
    assert await in_session(ctx, "a", "keep", open_session, work) is opened[1]
    assert (opened[0].closed, opened[1].closed, len(opened)) == (1, 0, 2)


async def test_a_session_that_failed_is_never_kept():
    ctx, opened = context(), []

    async def open_session():
        opened.append(FakeSession(ctx))
        return opened[-1]

    async def refuse(session):
        raise TroubleError(Failure.QUERY_FAILED, "no")

    async def hang(session):
        await asyncio.Event().wait()

    with pytest.raises(TroubleError):
        await in_session(ctx, "a", "keep", open_session, refuse)
    task = asyncio.create_task(in_session(ctx, "a", "keep", open_session, hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [session.closed for session in opened] == [1, 1]
    assert not len(ctx.resources.get(Sessions, Sessions))


async def test_sessions_are_few_and_end_with_a_reload():
    ctx = context()
    sessions = ctx.resources.get(Sessions, Sessions)
    one, two, three = FakeSession(ctx), FakeSession(ctx), FakeSession(ctx)
    sessions.keep("a", one, 0)
    sessions.keep("a", two, 0)
    assert (one.closed, two.closed) == (0, 1)
    ctx.resources.refresh()
    assert one.closed == 1
    sessions.keep("a", three, 0)
    assert three.closed == 1
    many = [FakeSession(ctx) for _ in range(SESSIONS_LIMIT + 1)]
    for number, session in enumerate(many):
        sessions.keep(number, session, 1)
    assert (many[0].closed, len(sessions)) == (1, SESSIONS_LIMIT)
    for key, (since_s, session) in list(sessions._idle.items()):
        sessions._idle[key] = (since_s - IDLE_LIMIT_S - 1, session)
    sessions.keep("new", FakeSession(ctx), 1)
    assert len(sessions) == 1


@pytest.mark.parametrize("use", ["new", "keep"])
async def test_trouble_with_the_other_database_is_told_from_trouble_with_this_one(use):
    ctx, findings, rule = context(), Findings(), InStep(table="t", max_gap=5)

    async def open_other(apart):
        return FakeSession(apart)

    async def figure(*_):
        return 7.0

    async def reset(*_):
        raise ConnectionResetError

    async def step(here, there):
        def ask_both(apart):
            return ask_in_session(apart, "key", use, open_other, here, there)

        await judge_step(ctx, rule, "b:1", findings, ask_both)

    await step(figure, figure)
    assert findings.samples == {"gap": 0}
    await step(figure, reset)
    found = findings.measurement(ctx)
    assert (found.failure, found.is_degraded) == (Failure.CONNECTION_CLOSED, False)
    assert found.message == "the other one (b:1) cannot be asked: the peer closed the connection in query"
    with pytest.raises(ConnectionResetError):
        await step(reset, figure)


@pytest.mark.parametrize("kind", ["redis", "mongodb", "sqlserver", "oracle"])
def test_a_heartbeat_table_is_refused_where_it_would_mean_nothing(kind: str) -> None:
    fields = registry.find(kind).params.model_fields["replication"].annotation.model_fields
    assert "max_lag" in fields
    assert "heartbeat" not in fields
    assert "heartbeat" in registry.find("mysql").params.model_fields["replication"].annotation.model_fields
