"""PostgreSQL: connects, logs in, runs a query and looks at its rows (PostgreSQL documentation, chapter 55).

    - probe: postgresql
      dsn: postgresql://thongsuot:${env:DB_PASSWORD}@10.0.0.5:5432/dancu?sslmode=verify-full
      query: "SELECT count(*) AS waiting FROM sync_queue"
      role: primary
      replication: {replicas: 1, max_lag: 30s}
      freshness: {table: public.citizens, column: synced_at, max_age: 15m}
      in_step: {dsn: "postgresql://thongsuot:${env:DB2_PASSWORD}@10.1.0.5/dancu", table: citizens, max_gap: 100}
      session: keep
      degraded_when: ["row.waiting > 1000", "connections_ratio > 0.9", "cert.expires_in < duration('720h')"]

Each phase is measured apart: `resolve`, `connect`, `tls`, `login`, `query`, `details`, `in_step`. A password or user
that the server does not take is `auth_rejected`; a server that is starting, full or without the database, and a
statement that it does not run, are `query_failed` with the SQLSTATE and the server's words; a server without TLS where
the dsn insists is `tls_required`.

**Query.** Exactly one statement (`SELECT 1` by default), in a transaction that is read only and has a
`statement_timeout` just below the time left, so that the server stops by itself what nobody waits for any more.
Both are set for the transaction alone: a pooler such as PgBouncer may stand between. At most 1,000 rows and 1 MiB
are taken; more is `body_too_large`. Conditions look at the first row: `row.name`, and `value`, its first column.
SQL's NULL is null, numbers are numbers, `json` is a structure, `timestamptz` a timestamp, all else text.

**Freshness.** With `table` and `column`, the age of the column's greatest value (an index makes that quick). With
`query`, the first column of the first row is the time of the newest data (`timestamptz`, `timestamp` or `date`, the
last two in the server's time zone) or its age (`interval`, or a number of seconds). The age is worked out by the
server's own clock, so that clocks apart do no harm. Older than `max_age`, NULL or no row at all is `stale`.

**Details.** One statement over the server's own views: sessions against the maximum, longest transaction, locks
waited for, replication, archiving; `size` and growth only when they are named, because the server looks at every file
of the database for them. `details: false` asks nothing, a list asks for what it names. What the login may not see is
absent, and named in the fact `unseen`; a statement that fails (a service that is PostgreSQL only by its protocol)
makes the details absent, and nothing else.

**Role and replication.** Another role than `role` is down (`condition`); `role_changed` is 1 in the run that finds
another role than the run before. A standby without a WAL receiver, or with its replay paused, is stopped, which is
not a lag: degraded by default, as `replication.state` says where it is given (`down` unless written). One that has
replayed all that it got has a lag of 0, also when the primary has been at rest for hours; else the lag is the age of
the last transaction replayed. `heartbeat: {table, column}` measures the lag by a table that the primary writes the
time into, by the standby's clock.

**In step.** The same statement, or count of a table, or greatest value of its column, is asked here and of another
database, one right after the other; `gap` is by how much this one is behind. More than `max_gap` is `stale`, and says
which one is behind. That the other one cannot be asked is told in the same place, with its own failure.

**Session.** `new` measures what a client meets, the login included, each time. `keep` leaves one session open from
run to run: it costs both sides less, and has no phases `resolve`, `connect`, `tls` and `login` except in the run that
opens it. The transaction is ended after each run. It is closed at a reload, and opened anew when the server ended it.

**Logging in.** SCRAM-SHA-256 (RFC 7677), with channel binding where the server offers it (RFC 5929), or MD5. The
server has to prove that it knows the password too. A password in clear is given only to a server whose certificate
was verified (`sslmode=verify-ca` or `verify-full`). Keys derived for SCRAM are kept in memory, so `login_s` is some
milliseconds longer the first time.

**Least privilege.** A role of its own, which can read what its query names and nothing else:

    CREATE ROLE thongsuot LOGIN PASSWORD '…' CONNECTION LIMIT 5;
    ALTER ROLE thongsuot SET default_transaction_read_only = on;
    GRANT CONNECT ON DATABASE dancu TO thongsuot;
    GRANT USAGE ON SCHEMA public TO thongsuot;
    GRANT SELECT (synced_at) ON citizens TO thongsuot;
    GRANT SELECT ON sync_queue TO thongsuot;
    GRANT SELECT (id) ON citizens TO thongsuot;  -- in_step: count(*) and max(id) need a column, no more

That is enough for all but the longest transaction and the replicas' lag on a primary. For these:

    GRANT pg_monitor TO thongsuot;
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from probes import postgresql_details as details
from probes.database_findings import (
    FACTS,
    JUDGED_SAMPLES,
    ROW_FACTS,
    Findings,
    figure_of,
    judge_age,
    measured,
    seconds_of,
)
from probes.database_memory import in_session, memory_of
from probes.database_params import (
    STOPPED_DEGRADES_BY_TABLE,
    Freshness,
    InStep,
    ReplicationByTable,
    SessionUse,
    SqlParams,
    figure_sql,
    quoted,
    quoted_column,
)
from probes.database_step import ask_in_session, judge_step
from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Probe
from probes.postgresql_details import Detail
from probes.postgresql_dsn import Dsn, PostgresqlDsn
from probes.postgresql_session import Result, Session, version_number
from probes.postgresql_values import AGE_CASTS, NUMBERS, row_of, value_of
from probes.resolver import IpVersion, resolve
from probes.tcp_stream import connect
from probes.tls import CERT_FACTS, CERT_SAMPLES


class PostgresqlInStep(InStep):
    """Another database that should hold the same."""

    dsn: PostgresqlDsn = Field(description="Where it is.")


class PostgresqlParams(SqlParams):
    """Parameters of the kind `postgresql`."""

    dsn: PostgresqlDsn = Field(
        description="`postgresql://user:password@host:port/database`; options `sslmode` (disable, allow, prefer, "
        "require, verify-ca, verify-full; default prefer), `sslrootcert` (a PEM file), `application_name`."
    )
    details: bool | tuple[Detail, ...] = Field(
        True, description="true, false, or a list of connections, transactions, locks, replication, archive, size."
    )
    in_step: PostgresqlInStep | None = Field(None, description="Another database that should hold the same.")
    replication: ReplicationByTable = Field(STOPPED_DEGRADES_BY_TABLE, description="How replication should be.")
    session: SessionUse = "new"

    def wanted(self) -> frozenset[Detail]:
        """Return which details to ask for; role and replication need theirs."""
        needed = self.role != "any" or "replication" in self.model_fields_set
        return details.names_of(self.details, with_replication=needed)


async def run(params: PostgresqlParams, ctx: Context) -> Measurement:
    """Connect, log in, query, and say what was measured on the way."""
    findings = Findings()
    opening = partial(_open, params.dsn, params.ip_version, ctx, findings)
    work = in_session(ctx, ("postgresql", params), params.session, opening, partial(_work, params, findings))
    return await measured(ctx, findings, work)


async def _open(dsn: Dsn, ip_version: IpVersion | None, ctx: Context, findings: Findings) -> Session:
    stream = await connect(await resolve(dsn.address.host, ctx, ip_version), dsn.address.port, ctx)
    session = Session(stream, dsn, ctx)
    try:
        await session.start_tls()
        await session.login()
    except BaseException:
        session.close()
        _describe_server(session, findings)
        raise
    return session


async def _work(params: PostgresqlParams, findings: Findings, session: Session) -> None:
    try:
        await _measure(params, session, findings)
        if params.session == "keep":
            await session.end()
    finally:
        _describe_server(session, findings)


async def _measure(params: PostgresqlParams, session: Session, findings: Findings) -> None:
    phases = session.ctx.phases
    phases.begin("query")
    _describe(await session.fetch(params.query, opening=session.opening()), findings)
    if params.freshness is not None:
        judge_age(await _age_s(session, params.freshness), params.freshness, findings)
    phases.end()
    names = params.wanted()
    if names:
        phases.begin("details")
        await _details(params, names, session, findings)
        phases.end()
    if params.in_step is not None:
        await _compare(params, params.in_step, session, findings)


def _describe(result: Result, findings: Findings) -> None:
    findings.samples["rows"] = result.rows
    if result.first is not None:
        findings.facts["row"] = row_of(result.columns, result.first)
        if result.columns and result.first:
            findings.facts["value"] = value_of(result.columns[0], result.first[0])


def _describe_server(session: Session, findings: Findings) -> None:
    version = session.parameters.get("server_version", "")
    number = version_number(version)
    if number is not None:
        findings.samples["server_version_num"] = number
        findings.facts["server_version"] = version
    standby = session.parameters.get("in_hot_standby")
    if standby in ("on", "off"):
        findings.samples.setdefault("in_recovery", float(standby == "on"))
    findings.facts.add_certificate(session.stream.chain, findings.samples)


async def _details(params: PostgresqlParams, names: frozenset[Detail], session: Session, findings: Findings) -> None:
    """Ask what the server says of itself; that it does not say it is no failure of what is served."""
    version = version_number(session.parameters.get("server_version", "")) or details.LEAST_VERSION
    if version < details.LEAST_VERSION:
        findings.unseen.append("the details (they need PostgreSQL 10)")
        return
    try:
        result = await session.fetch(details.statement(names, version))
    except TroubleError as error:
        if not await session.recover():
            raise
        findings.unseen.append(f"the details ({error.message})")
        await session.fetch("SELECT 1", opening=session.opening(again=True))
        return
    row = row_of(result.columns, result.first or ())
    memory = memory_of(session.ctx, "postgresql", params.dsn)
    details.take(row, params.role, params.replication, memory, findings)
    heartbeat_s, heartbeat = None, params.replication.heartbeat
    if heartbeat is not None and row.get("in_recovery") is True:
        heartbeat_s = await _column_age_s(session, heartbeat.table, heartbeat.column)
    details.judge_standby(row, params.replication, heartbeat_s, findings)


async def _compare(params: PostgresqlParams, rule: PostgresqlInStep, session: Session, findings: Findings) -> None:
    """Ask both databases the same, one right after the other."""
    sql = rule.query or figure_sql(rule.table or "", rule.column)

    async def open_other(apart: Context) -> Session:
        return await _open(rule.dsn, params.ip_version, apart, Findings())

    async def ask_here() -> float | None:
        return figure_of(_first_text(await session.fetch(sql)))

    async def ask_there(there: Session) -> float | None:
        figure = figure_of(_first_text(await there.fetch(sql, opening=there.opening())))
        if params.session == "keep":
            await there.end()
        return figure

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        key = ("postgresql", params, "in_step")
        return await ask_in_session(apart, key, params.session, open_other, ask_here, ask_there)

    await judge_step(session.ctx, rule, rule.dsn.address, findings, ask_both)


def _first_text(result: Result) -> str | None:
    raw = result.first[0] if result.first else None
    return None if raw is None else raw.decode("utf-8", "replace")


async def _column_age_s(session: Session, table: str, column: str) -> float | None:
    newest = f"max({quoted_column(column)})"
    sql = f"SELECT extract(epoch FROM clock_timestamp() - {newest})::float8 FROM {quoted(table)}"  # noqa: S608
    return seconds_of(_first_text(await session.fetch(sql)))


async def _age_s(session: Session, freshness: Freshness) -> float | None:
    """Return the age of the newest data in seconds, None when there is none.

    Raises TroubleError.
    """
    if freshness.query is None:
        return await _column_age_s(session, freshness.table or "", freshness.column or "")
    result = await session.fetch(freshness.query)
    text = _first_text(result) if result.columns else None
    if text is None:
        return None
    column = result.columns[0]
    cast = AGE_CASTS.get(column.type)
    if cast is not None:
        # The server turns its own text back into a time: its clock, its time zone, its calendar.
        asked = await session.fetch(f"SELECT extract(epoch FROM {cast})::float8", (text,))  # noqa: S608 - a constant
        text = _first_text(asked) or ""
    elif column.type not in NUMBERS:
        message = f"the freshness query gives neither a time nor an age in its first column ({column.name})"
        raise TroubleError(Failure.QUERY_FAILED, message)
    return seconds_of(text)


PROBE = Probe(
    kind="postgresql",
    params=PostgresqlParams,
    address="dsn",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of asking for TLS and of its handshake, in seconds",
        "login_s": "time of logging in until the server is ready, in seconds",
        "query_s": "time of the statements, in seconds",
        "rows": "rows that the query gave",
        "details_s": "time of asking the server about itself, in seconds",
        "in_recovery": "1 on a standby, 0 on a primary; without details from PostgreSQL 14 on",
        "server_version_num": "version as a number: 150018 for 15.18",
        **CERT_SAMPLES,
        **details.SAMPLES,
        **JUDGED_SAMPLES,
    },
    facts={**ROW_FACTS, "server_version": "string", **FACTS, **CERT_FACTS},
    latency="query_s",
)
