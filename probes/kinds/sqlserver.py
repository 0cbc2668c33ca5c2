"""SQL Server: connects, logs in, runs a query and asks how the database does ([MS-TDS] 7.4 and 8.0; 2014 and later).

    - probe: sqlserver
      dsn: sqlserver://thongsuot:${env:DB_PASSWORD}@10.0.0.5:1433/dancu?caFile=/etc/thongsuot/ca.pem
      query: "SELECT COUNT_BIG(*) AS waiting FROM dbo.sync_queue"
      role: primary
      replication: {max_lag: 30s, replicas: 1}
      freshness: {table: dbo.citizens, column: synced_at, max_age: 15m}
      in_step: {dsn: "sqlserver://…@10.0.1.5/dancu", table: dbo.citizens, column: id, max_gap: 100}
      degraded_when: ["row.waiting > 1000", "connections_ratio > 0.8", "backup_age_s > 93600.0"]

Each phase is measured apart: `resolve`, `connect`, `prelogin`, `tls`, `login`, `query`, `details`. A login that is not
taken (18456 and its like) is `auth_rejected`; a database that is not there or starts, and a statement that is not run,
are `query_failed` with the error's number and words; a lock that was not had in time is `timeout`.

**TLS.** `encrypt=yes` (the default) wants TLS inside of PRELOGIN, `strict` before it (TDS 8.0), `no` none: then the
password can be read on the way. `trustServerCertificate=yes` takes any certificate. SQL Server logins alone are spoken.

**Query.** One batch (`SELECT 1` by default); of its first result at most 1,000 rows and 1 MiB are taken. Conditions
look at its first row: `row.name`, and `value`, its first column. The session runs in implicit transactions that are
rolled back: nothing that it changes stays, unless the batch commits it itself; this server has no transaction that is
read only, so let the login's rights be. It waits for no lock longer than the time left (`LOCK_TIMEOUT`), and is the
victim of any deadlock. This server has no time limit for statements; one that is cut off is sent an attention.

**Role.** Of the availability group where there is one, else `primary` if the database takes writes and `replica` if it
is read only. A secondary that takes only readers needs `applicationIntent=ReadOnly`.

**Replication.** Lag is `secondary_lag_seconds` (2016 and later): of a primary its slowest replica's, of a replica its
own where the server tells it; a suspended replica is stopped. An idle primary has none.

**Freshness.** The first column is the time of the newest data or its age in seconds. A time without an offset is taken
to be in the server's own zone; the age is by the server's clock.

**Least privilege.**

    CREATE LOGIN thongsuot WITH PASSWORD = '…', DEFAULT_DATABASE = dancu;
    USE dancu; CREATE USER thongsuot FOR LOGIN thongsuot;
    GRANT SELECT ON dbo.citizens (id, synced_at) TO thongsuot;
    GRANT SELECT ON dbo.sync_queue TO thongsuot;
    -- for replication, connections, locks and transactions (2022: VIEW SERVER PERFORMANCE STATE is enough):
    USE master; GRANT VIEW SERVER STATE TO thongsuot;
    -- for the age of backups:
    USE msdb; CREATE USER thongsuot FOR LOGIN thongsuot; GRANT SELECT ON dbo.backupset TO thongsuot;

What the login may not see is absent, and the fact `unseen` names it.

**What it was tried against.** A listener that speaks the protocol as its specification has it; never a SQL Server.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from probes import sqlserver_figures as figures
from probes.database_findings import (
    FACTS,
    JUDGED_SAMPLES,
    ROW_FACTS,
    Findings,
    judge_age,
    judge_replica,
    judge_replicas,
    judge_role,
    measured,
    note_size,
)
from probes.database_memory import in_session, memory_of
from probes.database_params import Freshness, InStep, SessionUse, SqlParams, Statement, figure_sql
from probes.database_step import ask_in_session, judge_step
from probes.database_url import DatabaseUrl
from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure, Measurement, Probe
from probes.resolver import IpVersion, resolve
from probes.tcp_stream import connect
from probes.tds_session import FORM, NOT_ALLOWED, Session
from probes.tds_tokens import Answer
from probes.tls import CERT_FACTS, CERT_SAMPLES

Dsn = Annotated[DatabaseUrl, FORM]


class SqlserverInStep(InStep):
    """Another database that should hold the same."""

    dsn: Dsn = Field(description="Where it is.")


class SqlserverParams(SqlParams):
    """Parameters of the kind `sqlserver`."""

    dsn: Dsn = Field(
        description="`sqlserver://user:password@host:port/database`; options `encrypt`, `trustServerCertificate`, "
        "`hostNameInCertificate`, `caFile`, `applicationIntent`, `appName`."
    )
    query: Statement = Field("SELECT 1", description="One batch.")
    details: bool = Field(True, description="Whether to ask for the server's own figures.")
    in_step: SqlserverInStep | None = Field(None, description="Another database that should hold the same.")
    session: SessionUse = "new"


async def run(params: SqlserverParams, ctx: Context) -> Measurement:
    """Connect, log in, query, and say what was measured on the way."""
    findings = Findings()
    opening = partial(_open, params.dsn, params.ip_version, ctx, findings)
    work = in_session(ctx, ("sqlserver", params), params.session, opening, partial(_measure, params, findings))
    return await measured(ctx, findings, work)


async def _open(dsn: DatabaseUrl, ip_version: IpVersion | None, ctx: Context, findings: Findings) -> Session:
    """Return a session that is logged in. Raises TroubleError, OSError."""
    stream = await connect(await resolve(dsn.address.host, ctx, ip_version), dsn.address.port, ctx)
    session = Session(stream, dsn, ctx)
    try:
        await session.start_tls()
        await session.login()
    except BaseException:
        session.close()
        raise
    finally:
        findings.facts.add_certificate(stream.chain, findings.samples)
    return session


async def _measure(params: SqlserverParams, findings: Findings, session: Session) -> None:
    phases = session.ctx.phases
    findings.facts.add_certificate(session.stream.chain, findings.samples)
    phases.begin("query")
    await session.begin()
    _describe(await session.fetch(params.query), findings)
    if params.freshness is not None:
        judge_age(await _age_s(session, params.freshness), params.freshness, findings)
    phases.end()
    if params.details or params.role != "any":
        phases.begin("details")
        await _details(params, session, findings)
        phases.end()
    if params.in_step is not None:
        await _compare(params, params.in_step, session, findings)
    if params.session == "keep":
        await session.end()


def _describe(answer: Answer, findings: Findings) -> None:
    findings.samples["rows"] = answer.rows
    if answer.first is not None:
        names = (column.name for column in answer.columns)
        findings.facts["row"] = {name: _comparable(value) for name, value in zip(names, answer.first, strict=True)}
        findings.facts["value"] = _comparable(answer.first[0])


def _comparable(value: Any) -> Any:
    """Return a value as conditions compare it: times with an offset as they are, others as text."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


async def _details(params: SqlserverParams, session: Session, findings: Findings) -> None:
    """Ask what the server says of itself; that it does not say it is no failure of what is served."""
    identity = (await session.fetch(figures.IDENTITY)).first or (None,) * 4
    findings.facts["version"] = plain_line(str(identity[0] or ""), 40)
    findings.samples["read_only"] = float(identity[1] == "READ_ONLY")
    told: dict[str, Answer] = {}
    for name, sql in figures.DETAILS.items():
        answer = await session.ask(sql)
        if answer.error is None:
            told[name] = answer
        else:
            findings.unseen.append(f"{name} ({answer.error.number}; needs {figures.NEEDS[name]})")
            if answer.error.number not in NOT_ALLOWED:
                findings.unseen[-1] = f"{name} ({answer.error.number}: {answer.error.message[:80]})"
    memory = memory_of(session.ctx, "sqlserver", params.dsn)
    replicas = told["replication"].all_rows if "replication" in told else []
    judge_role(figures.role_of(replicas, identity[1]), params.role, memory, findings)
    if replicas:
        _judge_replicas(params, replicas, findings)
    if "activity" in told and told["activity"].first is not None:
        findings.samples.update(figures.activity_samples(told["activity"].first))
    if "backups" in told and told["backups"].first is not None:
        for name, value in zip(("backup_age_s", "log_backup_age_s"), told["backups"].first, strict=False):
            findings.sample(name, figures.number(value))
    size_bytes = figures.number(told["size"].first[0]) if "size" in told and told["size"].first else None
    if size_bytes is not None:
        note_size(size_bytes, memory, findings)


def _judge_replicas(params: SqlserverParams, replicas: list[tuple[Any, ...]], findings: Findings) -> None:
    findings.samples.update(figures.replica_samples(replicas))
    following = figures.followers(replicas)
    if findings.facts["role"] == "primary":
        judge_replicas(sum(row[3] not in (None, 0) for row in following), params.replication, findings)
    if following:
        judge_replica(figures.stopped(replicas), figures.lag_s(replicas), params.replication, findings)


async def _age_s(session: Session, rule: Freshness) -> float | None:
    """Return the age of the newest data in seconds, None when there is none. Raises TroubleError."""
    value = await _first(session, rule.query or _figure_sql(rule.table or "", rule.column or ""))
    number = figures.number(value)
    if value is None or number is not None:
        return number
    now = await _first(session, "SELECT SYSDATETIMEOFFSET()")
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise TroubleError(Failure.PROTOCOL, "the server does not tell its time")
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=now.tzinfo)
    if not isinstance(value, datetime):
        raise TroubleError(
            Failure.QUERY_FAILED, "the freshness query gives neither a time nor an age in its first column"
        )
    return (now - (value if value.tzinfo else value.replace(tzinfo=now.tzinfo))).total_seconds()


async def _compare(params: SqlserverParams, rule: SqlserverInStep, session: Session, findings: Findings) -> None:
    """Ask both databases the same, one right after the other."""
    sql = rule.query or _figure_sql(rule.table or "", rule.column)

    async def open_other(apart: Context) -> Session:
        return await _open(rule.dsn, params.ip_version, apart, Findings())

    async def ask_here() -> float | None:
        return _figure(await _first(session, sql))

    async def ask_there(there: Session) -> float | None:
        await there.begin()
        return _figure(await _first(there, sql))

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        return await ask_in_session(apart, None, "new", open_other, ask_here, ask_there)

    await judge_step(session.ctx, rule, rule.dsn.address, findings, ask_both)


async def _first(session: Session, sql: str) -> Any:
    answer = await session.fetch(sql)
    return answer.first[0] if answer.first else None


def _figure(value: Any) -> float | None:
    """Return what is compared: a number, or a time in seconds since year 1. Raises TroubleError for others."""
    if isinstance(value, datetime):
        value = value.timestamp() if value.tzinfo else (value - datetime(1, 1, 1)).total_seconds()  # noqa: DTZ001
    number = figures.number(value)
    if value is not None and number is None:
        raise TroubleError(Failure.QUERY_FAILED, "what should be compared is neither a number nor a time")
    return number


def _figure_sql(table: str, column: str | None) -> str:
    return figure_sql(table, column, "[", "]", "COUNT_BIG(*)")


PROBE = Probe(
    kind="sqlserver",
    params=SqlserverParams,
    address="dsn",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "prelogin_s": "time of settling encryption, in seconds",
        "tls_s": "time of the TLS handshake, in seconds",
        "login_s": "time of logging in, in seconds",
        "query_s": "time of the statements, in seconds",
        "details_s": "time of asking the server about itself, in seconds",
        "rows": "rows that the query gave",
        "read_only": "1 when the database takes no writes, else 0",
        "connections": "sessions of users on the whole server",
        "connections_max": "sessions that the server takes",
        "connections_ratio": "share of the sessions that are taken, 0 to 1",
        "longest_transaction_s": "age of the oldest open transaction, in seconds",
        "locks_waiting": "requests that another one blocks",
        "longest_lock_wait_s": "how long the longest of them has waited, in seconds",
        "replicas": "on a primary, replicas that synchronise",
        "send_queue_bytes": "log that has still to be sent to the replica that is furthest behind, in bytes",
        "redo_queue_bytes": "log that the slowest replica has still to redo, in bytes",
        "backup_age_s": "age of the newest full backup, in seconds; absent where there is none",
        "log_backup_age_s": "age of the newest backup of the log, in seconds; absent where there is none",
        **CERT_SAMPLES,
        **JUDGED_SAMPLES,
    },
    facts={**ROW_FACTS, "version": "string", **FACTS, **CERT_FACTS},
    latency="query_s",
)
