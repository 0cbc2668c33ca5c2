"""Oracle Database: connects, logs in, runs a query and asks how the database does (12.1 and later).

    - probe: oracle
      dsn: oracle://thongsuot:${env:DB_PASSWORD}@10.0.0.5:1521/dancu?tls=yes&caFile=/etc/thongsuot/ca.pem
      query: "SELECT COUNT(*) AS waiting FROM sync_queue"
      role: primary
      replication: {max_lag: 30s}
      freshness: {table: APP.THONGSUOT_CITIZENS, column: SYNCED_AT, max_age: 15m}
      in_step: {dsn: "oracle://…@10.0.1.5/dancu", table: APP.THONGSUOT_CITIZENS, column: ID, max_gap: 100}
      degraded_when: ["row.WAITING > 1000", "connections_ratio > 0.8", "backup_age_s > 93600.0"]

It needs python-oracledb (`pip install thongsuot[oracle]`), in thin mode. Each phase is measured apart: `resolve`,
`connect`, `tls`, `login`, `query`, `details`. A login that is not taken (ORA-01017 and its like) is `auth_rejected`. A
listener that does not know the service (ORA-12514) or the SID (ORA-12505), a database that starts, and a statement that
is not run, are `query_failed` with code and words: it is reached and speaks, but does not serve. So is a listener that
redirects (a SCAN listener of RAC): write a check for the listener of each node.

**Query.** One statement (`SELECT 1 FROM DUAL` by default), in a transaction that is read only (`SET TRANSACTION READ
ONLY`). It begins with `SELECT` or `WITH`: what defines (`DROP`, `TRUNCATE`, …) would end that transaction and be run.
Each round trip has a `call_timeout` just below the time left, after which the driver tells the server to stop. At most
1,000 rows are taken. Conditions look at the first row: `row.NAME`, in capitals as Oracle has it, and `value`.

**Role.** `primary`, `replica` (any standby) or `other`, with no privilege at all (`SYS_CONTEXT`); the fact `open_mode`
and `read_only` need V$DATABASE.

**Replication.** On a standby, the apply lag of V$DATAGUARD_STATS; none there means that apply is stopped or its lag is
not known, which is `stale`. A primary knows no lag.

**Freshness.** By a column of type DATE or TIMESTAMP, in the server's zone and by its clock; for another, write a query
that gives the age in seconds: `SELECT (CAST(SYS_EXTRACT_UTC(SYSTIMESTAMP) AS DATE) - MAX(t)) * 86400 FROM …`.

**Least privilege.**

    CREATE USER thongsuot IDENTIFIED BY "…" PROFILE default;
    GRANT CREATE SESSION TO thongsuot;
    GRANT READ ON app.sync_queue TO thongsuot;
    CREATE VIEW app.thongsuot_citizens AS SELECT id, synced_at FROM app.citizens;
    GRANT READ ON app.thongsuot_citizens TO thongsuot;
    -- for the details, each as far as wanted; what is not granted is absent, and the fact `unseen` names it:
    GRANT READ ON v_$database TO thongsuot;
    GRANT READ ON v_$dataguard_stats TO thongsuot;
    GRANT READ ON v_$resource_limit TO thongsuot;
    GRANT READ ON v_$session TO thongsuot;
    GRANT READ ON v_$transaction TO thongsuot;
    GRANT READ ON v_$datafile TO thongsuot;
    GRANT READ ON v_$rman_backup_job_details TO thongsuot;

**What it was tried against.** A listener that refuses, closes, resets, falls silent or speaks TLS, with the real driver
up to the login. Oracle's protocol beyond that is not published: **what comes after the login was tried against a
stand-in for the driver's connection, never against a database.** Each run logs in anew.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from probes import oracle_figures as figures
from probes.database_findings import (
    FACTS,
    JUDGED_SAMPLES,
    ROW_FACTS,
    Findings,
    judge_age,
    judge_replica,
    judge_role,
    measured,
    note_size,
)
from probes.database_memory import memory_of
from probes.database_params import InStep, SqlParams, Statement, figure_sql, quoted, quoted_column
from probes.database_step import asking_other, judge_step
from probes.database_url import DatabaseUrl
from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure, Measurement, Probe
from probes.oracle_session import FORM, NOT_ALLOWED, Answer, Session, driver, open_session
from probes.resolver import IpVersion, resolve

Dsn = Annotated[DatabaseUrl, FORM]

_QUESTION = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH)\b", re.IGNORECASE | re.DOTALL)
"""What CREATE, DROP and the like are not: these commit first (SQL Language Reference, COMMIT), and are then run."""


class OracleInStep(InStep):
    """Another database that should hold the same."""

    dsn: Dsn = Field(description="Where it is.")


class OracleParams(SqlParams):
    """Parameters of the kind `oracle`."""

    dsn: Dsn = Field(
        description="`oracle://user:password@host:port/service`; options `tls`, `caFile`, `verify`, `sid`, `appName`."
    )
    query: Statement = Field("SELECT 1 FROM DUAL", description="One statement.")
    details: bool = Field(True, description="Whether to ask for the database's own figures.")
    in_step: OracleInStep | None = Field(None, description="Another database that should hold the same.")

    @model_validator(mode="after")
    def _only_asks(self) -> OracleParams:
        rules = (self, self.freshness, self.in_step)
        for sql in (rule.query for rule in rules if rule is not None and rule.query is not None):
            if not _QUESTION.match(sql):
                raise ValueError(
                    "a query begins with SELECT or WITH: Oracle ends the read-only transaction before anything else"
                )
        return self

    @model_validator(mode="after")
    def _names_a_database(self) -> OracleParams:
        for dsn in (self.dsn, self.in_step.dsn if self.in_step is not None else self.dsn):
            if bool(dsn.database) == bool(dsn.option("sid")):
                raise ValueError("the dsn names either a service, as its path, or a sid")
        return self


async def run(params: OracleParams, ctx: Context) -> Measurement:
    """Connect, log in, query, and say what was measured on the way."""
    findings = Findings()
    return await measured(ctx, findings, _run(params, ctx, findings))


async def _run(params: OracleParams, ctx: Context, findings: Findings) -> None:
    driver()
    session = await _open(params.dsn, params.ip_version, ctx)
    try:
        await measure(params, session, ctx, findings)
    finally:
        await session.close()


async def _open(dsn: DatabaseUrl, ip_version: IpVersion | None, ctx: Context) -> Session:
    """Return a session with the first address that takes one. Raises TroubleError, OSError."""
    return await open_session(dsn, await resolve(dsn.address.host, ctx, ip_version), ctx)


async def measure(params: OracleParams, session: Session, ctx: Context, findings: Findings) -> None:
    """Ask all there is to ask in a session that is logged in. Raises TroubleError."""
    ctx.phases.begin("query")
    await session.begin()
    _describe(await session.fetch(params.query), findings)
    if params.freshness is not None:
        rule = params.freshness
        sql = rule.query or _age_sql(rule.table or "", rule.column or "")
        judge_age(_number(await session.fetch(sql), "the freshness query gives no age in seconds"), rule, findings)
    ctx.phases.end()
    if params.details or params.role != "any":
        ctx.phases.begin("details")
        await _details(params, session, ctx, findings)
        ctx.phases.end()
    if params.in_step is not None:
        await _compare(params, params.in_step, session, ctx, findings)


def _describe(answer: Answer, findings: Findings) -> None:
    findings.samples["rows"] = len(answer.rows)
    if answer.first:
        values = [_comparable(value) for value in answer.first]
        findings.facts["row"] = dict(zip(answer.names, values, strict=False))
        findings.facts["value"] = values[0]


def _comparable(value: Any) -> Any:
    """Return a value as conditions compare it: what is neither text nor a number, as text."""
    return value if value is None or isinstance(value, bool | int | float | str) else plain_line(str(value))


async def _details(params: OracleParams, session: Session, ctx: Context, findings: Findings) -> None:
    """Ask what the database says of itself; that it does not say it is no failure of what is served."""
    findings.facts["version"] = session.version
    memory = memory_of(ctx, "oracle", params.dsn)
    answer = await session.fetch(figures.ROLE)
    judge_role(figures.role_of(answer.first[0] if answer.first else None), params.role, memory, findings)
    for name, sql in figures.DETAILS.items():
        try:
            answer = await session.fetch(sql)
        except TroubleError as error:
            if error.message[:9] not in NOT_ALLOWED:
                raise
            findings.unseen.append(f"{name} ({error.message[:9]})")
            continue
        if name == "mode" and answer.first:
            mode = plain_line(str(answer.first[0]), 40)
            findings.facts["open_mode"] = mode
            findings.samples["read_only"] = float(mode != "READ WRITE")
        elif name == "replication" and findings.facts["role"] == "replica":
            told = figures.lags(answer.rows)
            findings.sample("transport_lag_s", told.get("transport lag"))
            lag_s = told.get("apply lag")
            judge_replica("" if lag_s is not None else "apply has no lag to tell", lag_s, params.replication, findings)
        elif name == "size" and answer.first and (size_bytes := figures.number(answer.first[0])) is not None:
            note_size(size_bytes, memory, findings)
        else:
            findings.samples.update(figures.samples(name, answer.first))


async def _compare(
    params: OracleParams, rule: OracleInStep, session: Session, ctx: Context, findings: Findings
) -> None:
    """Ask both databases the same, one right after the other."""
    sql = rule.query or figure_sql(rule.table or "", rule.column)
    unfit = "what should be compared is not a number"

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        here = _number(await session.fetch(sql), unfit)
        with asking_other(apart):
            there = await _open(rule.dsn, params.ip_version, apart)
            try:
                apart.phases.begin("query")
                await there.begin()
                return here, _number(await there.fetch(sql), unfit)
            finally:
                await there.close()

    await judge_step(ctx, rule, rule.dsn.address, findings, ask_both)


def _number(answer: Answer, unfit: str) -> float | None:
    """Return the first column of the first row, None where there is none. Raises TroubleError for no number."""
    value = answer.first[0] if answer.first else None
    number = figures.number(value)
    if value is not None and number is None:
        raise TroubleError(Failure.QUERY_FAILED, unfit)
    return number


def _age_sql(table: str, column: str) -> str:
    newest = f"CAST(MAX({quoted_column(column)}) AS DATE)"
    return f"SELECT (CAST(SYSTIMESTAMP AS DATE) - {newest}) * 86400 FROM {quoted(table)}"  # noqa: S608 - names are quoted


PROBE = Probe(
    kind="oracle",
    params=OracleParams,
    address="dsn",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of the TLS handshake, in seconds",
        "login_s": "time of asking the listener and of logging in, in seconds",
        "query_s": "time of the statements, in seconds",
        "details_s": "time of asking the database about itself, in seconds",
        "rows": "rows that the query gave",
        "read_only": "1 when the database takes no writes, else 0",
        "transport_lag_s": "on a standby, how late redo arrives, in seconds",
        "connections": "sessions",
        "connections_max": "sessions that the instance takes",
        "connections_ratio": "share of the sessions that are taken, 0 to 1",
        "longest_transaction_s": "age of the oldest open transaction, in seconds",
        "locks_waiting": "sessions that another one blocks",
        "longest_lock_wait_s": "how long the longest of them has waited, in seconds",
        "backup_age_s": "age of the newest full or incremental RMAN backup, in seconds; absent where there is none",
        **JUDGED_SAMPLES,
    },
    facts={**ROW_FACTS, "version": "string", "open_mode": "string", **FACTS},
    latency="query_s",
)
