"""PostgreSQL: connects, logs in, runs a query and looks at its rows (PostgreSQL documentation, chapter 55).

    - probe: postgresql
      dsn: postgresql://thongsuot:${env:DB_PASSWORD}@10.0.0.5:5432/dancu?sslmode=verify-full
      query: "SELECT count(*) AS waiting FROM sync_queue"
      freshness: {query: "SELECT max(synced_at) FROM citizens", max_age: 15m}
      degraded_when: ["row.waiting > 1000", "login_s > 0.5", "cert.expires_in < duration('720h')"]

Each phase is measured apart: `resolve`, `connect`, `tls`, `login`, `query`. A password or user that the server does
not take is `auth_rejected`; a server that is starting, full or without the database, and a statement that it does
not run, are `query_failed` with the SQLSTATE and the server's words; a server without TLS where the dsn insists is
`tls_required`.

**Query.** Exactly one statement (`SELECT 1` by default), in a transaction that is read only and has a
`statement_timeout` just below the time left, so that the server stops by itself what nobody waits for any more.
Both are set for the transaction alone: a pooler such as PgBouncer may stand between. At most 1,000 rows and 1 MiB
are taken; more is `body_too_large`. Conditions look at the first row: `row.name`, and `value`, its first column.
SQL's NULL is null, numbers are numbers, `json` is a structure, `timestamptz` a timestamp, all else text.

**Freshness.** The first column of the first row is the time of the newest data (`timestamptz`, `timestamp` or
`date`, the last two in the server's time zone) or its age (`interval`, or a number of seconds). The age is worked
out by the server's own clock, so that clocks apart do no harm. Older than `max_age`, NULL or no row at all is
`stale`, with the age.

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
    -- for pg_stat_* and replication figures: GRANT pg_monitor TO thongsuot;

| parameter | meaning |
|---|---|
| `dsn` | `postgresql://user:password@host:port/database`; options `sslmode` (disable, allow, prefer, require, verify-ca, verify-full; default prefer), `sslrootcert` (a PEM file), `application_name` |
| `query` | one statement |
| `freshness` | `query` and `max_age` |
| `ip_version` | 4 or 6: only addresses of that version |
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.postgresql_dsn import DsnText
from probes.postgresql_session import Result, Session, version_number
from probes.postgresql_values import AGE_CASTS, NUMBERS, row_of, value_of
from probes.resolver import IpVersion, resolve
from probes.tcp_facts import StreamFacts
from probes.tcp_stream import connect
from probes.tls import CERT_FACTS
from probes.units import Duration

QUERY_LIMIT = 64 * 1024


def _statement(value: str) -> str:
    if "\0" in value:
        raise ValueError("a statement has no NUL in it")
    return value


Statement = Annotated[str, Field(min_length=1, max_length=QUERY_LIMIT), AfterValidator(_statement)]


class Freshness(Params):
    """How old the newest data may be.

    Attributes:
        query: gives the time of the newest data, or its age.
        max_age: beyond it the data is stale.

    """

    query: Statement
    max_age: Duration = Field(gt=0)


class PostgresqlParams(Params):
    """Parameters of the kind `postgresql`; the module's docstring says what they mean."""

    model_config = ConfigDict(hide_input_in_errors=True)  # there may be a secret in a dsn that is not one

    dsn: DsnText
    query: Statement = "SELECT 1"
    freshness: Freshness | None = None
    ip_version: IpVersion | None = None


async def run(params: PostgresqlParams, ctx: Context) -> Measurement:
    """Connect, log in, query, and say what was measured on the way."""
    found: dict[str, float] = {}
    facts = StreamFacts()
    failure, message = None, ""
    try:
        await _measure(params, ctx, found, facts)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


async def _measure(params: PostgresqlParams, ctx: Context, found: dict[str, float], facts: StreamFacts) -> None:
    address = params.dsn.address
    stream = await connect(await resolve(address.host, ctx, params.ip_version), address.port, ctx)
    session = Session(stream, params.dsn, ctx)
    try:
        await session.start_tls()
        await session.login()
        ctx.phases.begin("query")
        result = await session.fetch(params.query, opening=session.opening())
        _describe(result, found, facts)
        if params.freshness is not None:
            age_s = await _age_s(session, params.freshness.query)
            ctx.phases.end()
            _judge_age(age_s, params.freshness, found)
        ctx.phases.end()
    finally:
        session.close()
        _describe_server(session, found, facts)


def _describe(result: Result, found: dict[str, float], facts: StreamFacts) -> None:
    found["rows"] = result.rows
    if result.first is not None:
        facts["row"] = row_of(result.columns, result.first)
        if result.columns and result.first:
            facts["value"] = value_of(result.columns[0], result.first[0])


def _describe_server(session: Session, found: dict[str, float], facts: StreamFacts) -> None:
    version = session.parameters.get("server_version", "")
    number = version_number(version)
    if number is not None:
        found["server_version_num"] = number
        facts["server_version"] = version
    standby = session.parameters.get("in_hot_standby")
    if standby in ("on", "off"):
        found["in_recovery"] = float(standby == "on")
    facts.add_certificate(session.stream.chain, found)


async def _age_s(session: Session, query: str) -> float | None:
    """Return the age of the newest data in seconds, None when there is none.

    Raises TroubleError.
    """
    result = await session.fetch(query)
    raw = result.first[0] if result.first and result.columns else None
    if raw is None:
        return None
    column = result.columns[0]
    cast = AGE_CASTS.get(column.type)
    if cast is not None:
        # The server turns its own text back into a time: its clock, its time zone, its calendar.
        text = raw.decode("utf-8", "replace")
        asked = await session.fetch(f"SELECT extract(epoch FROM {cast})::float8", (text,))  # noqa: S608 - a constant
        raw = asked.first[0] if asked.first else None
    elif column.type not in NUMBERS:
        message = f"the freshness query gives neither a time nor an age in its first column ({column.name})"
        raise TroubleError(Failure.QUERY_FAILED, message)
    try:
        return float(raw or b"")
    except ValueError:
        raise TroubleError(Failure.PROTOCOL, "the server's number is not one") from None


def _judge_age(age_s: float | None, freshness: Freshness, found: dict[str, float]) -> None:
    """Raise TroubleError for data that is too old."""
    if age_s is None:
        raise TroubleError(Failure.STALE, "there is no newest row: the freshness query gives nothing")
    if math.isfinite(age_s):
        found["freshness_s"] = age_s
    if not age_s <= freshness.max_age:
        raise TroubleError(Failure.STALE, f"the newest row is {age_s:.0f} s old, allowed are {freshness.max_age:g} s")


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
        "freshness_s": "age of the newest data by the server's clock, in seconds",
        "in_recovery": "1 on a standby, 0 on a primary; from PostgreSQL 14 on",
        "server_version_num": "version as a number: 150018 for 15.18",
        "cert_expires_s": "time until the first certificate of the chain expires, in seconds; negative once it has",
    },
    facts={"row": "dyn", "value": "dyn", "server_version": "string", **CERT_FACTS},
    latency="query_s",
)
