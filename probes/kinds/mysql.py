"""MySQL and MariaDB: connects, logs in, runs a query, and looks at role, replication and Galera.

    - probe: mysql
      dsn: mysql://thongsuot:${env:DB_PASSWORD}@10.0.0.6:3306/hotich?sslmode=verify-full
      query: "SELECT count(*) AS waiting FROM sync_queue"
      role: replica
      replication: {max_lag: 30s}
      freshness: {table: hotich.births, column: updated_at, max_age: 15m}
      in_step: {dsn: "mysql://thongsuot:${env:DB2_PASSWORD}@10.1.0.6/hotich", table: births, column: id, max_gap: 100}
      session: keep
      degraded_when: ["row.waiting > 1000", "connections_ratio > 0.9", "longest_transaction_s > 600.0"]

Each phase is measured apart: `resolve`, `connect`, `tls`, `login` (the server's greeting included), `query`,
`details`, `in_step` (MySQL Source Code Documentation, "Client/Server Protocol"). A password or user that the server
does not take is `auth_rejected`; a server that is full (1040) or without the database, and a statement that it does not
run, are `query_failed` with the error's number, SQLSTATE and words; a server without TLS where the dsn insists is
`tls_required`.

**Query.** Exactly one statement (`SELECT 1` by default), in a transaction that is read only, with the server's own
time limit (`max_statement_time` of MariaDB, `max_execution_time` of MySQL) just below the time left. At most 1,000
rows and 1 MiB are taken; more is `body_too_large`. Conditions look at the first row: `row.name`, and `value`, its first
column. NULL is null, numbers are numbers, times are text.

**Freshness.** With `table` and `column`, the age of the column's greatest value. With `query`, its first column is the
time of the newest data (in the session's time zone) or its age in seconds. By the server's clock. `stale` beyond
`max_age`, for NULL and for no row.

**Details.** `status` (sessions against the maximum, row locks waited for, Galera), `transactions`, `replication`;
`size` and growth only when named: the server may open every table for it, and only tables that the login may see are
counted. All in one round trip. What the login may not see is absent, and named in the fact `unseen`.

**Role and replication.** A server with a replication channel is a replica. A channel whose IO or SQL thread does not
run, or whose lag is NULL, is stopped, with the last error's words; that is degraded by default, as
`replication.state` says where it is given (`down` unless written). Of several channels the one that is furthest behind
counts. `heartbeat: {table, column}` measures the lag by a table that the primary writes the time into.

**Galera.** A node outside the primary component, or not ready, is down. `galera: {nodes: 3}` tells a cluster that has
lost nodes, and any node that is not synced (a donor) degrades the check.

**In step.** The same statement, or count of a table, or greatest value of its column, is asked here and of another
database, one right after the other; `gap` is by how much this one is behind. More than `max_gap` is `stale`.

**Session.** `new` logs in each time; `keep` leaves one session open from run to run, without phases before `query`. It
is closed at a reload, and opened anew when the server ended it (`wait_timeout`).

**Logging in.** `mysql_native_password`, `caching_sha2_password`. A password in clear, which the latter needs when the
server has not seen it since its start, is given only to a server whose certificate was verified (`sslmode=verify-ca` or
`verify-full`). MariaDB's `ed25519` is not spoken.

**Least privilege.** A user of its own, which can read what its query names and nothing else:

    CREATE USER thongsuot@'10.0.0.%' IDENTIFIED BY '…' WITH MAX_USER_CONNECTIONS 5;
    GRANT SELECT (id, updated_at) ON hotich.births TO thongsuot@'10.0.0.%';
    GRANT SELECT ON hotich.sync_queue TO thongsuot@'10.0.0.%';

That is enough for all but replication and transactions; the second of these shows other people's statements too, so
leave it out where that is too much:

    GRANT REPLICA MONITOR ON *.* TO thongsuot@'10.0.0.%';  -- MySQL, MariaDB before 10.5.9: REPLICATION CLIENT
    GRANT PROCESS ON *.* TO thongsuot@'10.0.0.%';
"""

from __future__ import annotations

import re
from functools import partial

from pydantic import Field

from probes import mysql_details as details
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
from probes.mysql_details import Detail, Galera
from probes.mysql_session import Session
from probes.mysql_wire import INTEGERS, REALS, TIMES, version_number
from probes.postgresql_dsn import Dsn, MysqlDsn
from probes.resolver import IpVersion, resolve
from probes.tcp_stream import connect
from probes.tls import CERT_FACTS, CERT_SAMPLES

_TIME = re.compile(r"[0-9][0-9 :.-]{0,30}\Z")


class MysqlInStep(InStep):
    """Another database that should hold the same."""

    dsn: MysqlDsn = Field(description="Where it is.")


class MysqlParams(SqlParams):
    """Parameters of the kind `mysql`."""

    dsn: MysqlDsn = Field(
        description="`mysql://user:password@host:port/database`; options `sslmode` (disable, allow, prefer, require, "
        "verify-ca, verify-full; default prefer), `sslrootcert` (a PEM file)."
    )
    details: bool | tuple[Detail, ...] = Field(
        True, description="true, false, or a list of status, transactions, replication, size."
    )
    galera: Galera = Field(Galera(state="degraded"), description="How the Galera cluster should be.")
    in_step: MysqlInStep | None = Field(None, description="Another database that should hold the same.")
    replication: ReplicationByTable = Field(STOPPED_DEGRADES_BY_TABLE, description="How replication should be.")
    session: SessionUse = "new"

    def wanted(self) -> frozenset[Detail]:
        """Return which details to ask for; role, replication and Galera need theirs."""
        names: set[Detail]
        names = set(details.CHEAP if self.details else ()) if isinstance(self.details, bool) else set(self.details)
        if self.role != "any" or "replication" in self.model_fields_set:
            names.add("replication")
        if "galera" in self.model_fields_set:
            names.add("status")
        return frozenset(names)


async def run(params: MysqlParams, ctx: Context) -> Measurement:
    """Connect, log in, query, and say what was measured on the way."""
    findings = Findings()
    opening = partial(_open, params.dsn, params.ip_version, ctx, findings)
    work = in_session(ctx, ("mysql", params), params.session, opening, partial(_work, params, findings))
    return await measured(ctx, findings, work)


async def _open(dsn: Dsn, ip_version: IpVersion | None, ctx: Context, findings: Findings) -> Session:
    stream = await connect(await resolve(dsn.address.host, ctx, ip_version), dsn.address.port, ctx)
    session = Session(stream, dsn, ctx)
    try:
        await session.login()
    except BaseException:
        session.close()
        _describe_server(session, findings)
        raise
    return session


async def _work(params: MysqlParams, findings: Findings, session: Session) -> None:
    try:
        await _measure(params, session, findings)
        if params.session == "keep":
            await session.end()
    finally:
        _describe_server(session, findings)


def _describe_server(session: Session, findings: Findings) -> None:
    number = version_number(session.version)
    if number is not None:
        findings.samples["server_version_num"] = number
        findings.facts["server_version"] = session.version
    findings.facts.add_certificate(session.stream.chain, findings.samples)


async def _measure(params: MysqlParams, session: Session, findings: Findings) -> None:
    phases = session.ctx.phases
    phases.begin("query")
    await session.begin()
    result = await session.fetch(params.query)
    findings.samples["rows"] = result.count
    if result.rows:
        findings.facts["row"] = row = result.row()
        findings.facts["value"] = row[result.columns[0].name]
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


async def _details(params: MysqlParams, names: frozenset[Detail], session: Session, findings: Findings) -> None:
    version = version_number(session.version) or 0
    asked = details.statements(names, mariadb=session.is_mariadb, version=version)
    answers = dict(zip(asked, await session.fetch_all(tuple(asked.values())), strict=True))
    memory = memory_of(session.ctx, "mysql", params.dsn)
    status = details.take(answers, memory, findings)
    details.judge_galera(status, params.galera, findings)
    if "replication" not in names:
        return
    channels = details.judge(answers, status, params.role, params.replication, memory, findings)
    if not channels:
        return
    heartbeat_s, heartbeat = None, params.replication.heartbeat
    if heartbeat is not None:
        heartbeat_s = await _column_age_s(session, heartbeat.table, heartbeat.column)
    details.judge_channels(channels, params.replication, heartbeat_s, findings)


async def _compare(params: MysqlParams, rule: MysqlInStep, session: Session, findings: Findings) -> None:
    """Ask both databases the same, one right after the other."""
    sql = rule.query or figure_sql(rule.table or "", rule.column, "`")

    async def open_other(apart: Context) -> Session:
        return await _open(rule.dsn, params.ip_version, apart, Findings())

    async def ask_here() -> float | None:
        return figure_of((await session.fetch(sql)).text())

    async def ask_there(there: Session) -> float | None:
        await there.begin()
        figure = figure_of((await there.fetch(sql)).text())
        if params.session == "keep":
            await there.end()
        return figure

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        key = ("mysql", params, "in_step")
        return await ask_in_session(apart, key, params.session, open_other, ask_here, ask_there)

    await judge_step(session.ctx, rule, rule.dsn.address, findings, ask_both)


async def _column_age_s(session: Session, table: str, column: str) -> float | None:
    newest = f"max({quoted_column(column, '`')})"
    sql = f"SELECT timestampdiff(MICROSECOND, {newest}, now(6)) / 1e6 FROM {quoted(table, '`')}"  # noqa: S608
    return seconds_of((await session.fetch(sql)).text())


async def _age_s(session: Session, freshness: Freshness) -> float | None:
    """Return the age of the newest data in seconds, None when there is none.

    Raises TroubleError.
    """
    if freshness.query is None:
        return await _column_age_s(session, freshness.table or "", freshness.column or "")
    result = await session.fetch(freshness.query)
    text = result.text()
    if text is None:
        return None
    column = result.columns[0]
    if column.type in TIMES and _TIME.match(text):
        asked = f"SELECT timestampdiff(MICROSECOND, '{text}', now(6)) / 1e6"
        return seconds_of((await session.fetch(asked)).text())
    if column.type not in INTEGERS | REALS:
        message = f"the freshness query gives neither a time nor an age in its first column ({column.name})"
        raise TroubleError(Failure.QUERY_FAILED, message)
    return seconds_of(text)


PROBE = Probe(
    kind="mysql",
    params=MysqlParams,
    address="dsn",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of asking for TLS and of its handshake, in seconds",
        "login_s": "time of the greeting and of logging in, in seconds",
        "query_s": "time of the statements, in seconds",
        "rows": "rows that the query gave",
        "details_s": "time of asking the server about itself, in seconds",
        "server_version_num": "version as a number: 101119 for 10.11.19",
        **CERT_SAMPLES,
        **details.SAMPLES,
        **JUDGED_SAMPLES,
    },
    facts={**ROW_FACTS, "server_version": "string", **FACTS, **CERT_FACTS},
    latency="query_s",
)
