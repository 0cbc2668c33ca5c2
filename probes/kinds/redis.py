"""Redis and what speaks its protocol (Valkey, KeyDB): connects, logs in, PING, and looks at INFO.

    - probe: redis
      address: 10.0.0.7:6379
      user: thongsuot
      password: ${env:REDIS_PASSWORD}
      tls: true
      role: primary
      replication: {replicas: 1}
      freshness: {key: "sync:last_success", max_age: 15m}
      session: keep
      degraded_when: ["memory_ratio > 0.9", "backup_failing == 1.0", "backup_age_s > 86400.0"]

Each phase is measured apart: `resolve`, `connect`, `tls`, `login`, `query` (PING, and the key of the freshness) and
`details` (INFO). A password or user that the server does not take is `auth_rejected`; a server that is full, loads its
data or lacks a right is `query_failed` with its own words (redis.io, "Redis serialization protocol specification").

**Role and replication.** INFO says whether the server is a primary or a replica. A replica whose link to the primary is
down is stopped, with the time since: degraded by default, as `replication.state` says where it is given (`down` unless
written). `replication_lag_s` is the time since the primary was last heard of; a primary at rest says something every
ten seconds, so let `max_lag` be longer than that. On a primary, `replicas` counts those that are in order, and
`replicas_lag_bytes` and `replicas_lag_s` tell of the one that is furthest behind.

**Freshness.** A key that holds a time (seconds or milliseconds since 1970, or ISO 8601, in UTC where it names no zone),
compared with the server's own clock. At most 64 characters of it are read (GETRANGE). No such key is `stale` too.

**Details.** `details: false` asks no INFO: then there is neither role nor replication. What the login may not see is
absent, and named in the fact `unseen`.

**Session.** `new` logs in each time; `keep` leaves one session open from run to run, and opens it anew when the server
ended it (`timeout`). It is closed at a reload.

**Least privilege.** A user that may ask these commands, and read the one key:

    ACL SETUSER thongsuot on >… resetkeys ~sync:last_success -@all +ping +time +info +select +getrange
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from probes import redis_info
from probes.database_findings import (
    FACTS,
    FRESHNESS_SAMPLES,
    GROWTH_SAMPLES,
    REPLICATION_SAMPLES,
    ROLE_SAMPLES,
    Findings,
    figure_of,
    measured,
)
from probes.database_memory import in_session, memory_of
from probes.database_params import STOPPED_DEGRADES, DatabaseParams, Replication, Rule, SessionUse
from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Probe
from probes.redis_session import Session, failure_of
from probes.redis_wire import ServerError, printable, read_info
from probes.resolver import ascii_name, resolve
from probes.tcp_address import HostPort, ServerName, parse_address
from probes.tcp_stream import connect
from probes.tls import CERT_FACTS, CERT_SAMPLES, Trust, context_for
from probes.units import Duration

PORT = 6379
MILLISECONDS_FROM = 1e11
"""A number beyond is milliseconds since 1970: in seconds it would be the year 5138."""


def _address(value: Any) -> Any:
    return parse_address(value, PORT) if isinstance(value, str) else value


class KeyFreshness(Rule):
    """How old the time in a key may be."""

    key: str = Field(min_length=1, max_length=512, description="Holds the time.")
    max_age: Duration = Field(gt=0, description="Beyond it the data is stale.")


class RedisParams(DatabaseParams):
    """Parameters of the kind `redis`."""

    address: Annotated[
        HostPort,
        BeforeValidator(_address),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "examples": ["10.0.0.7:6379"]}),
    ] = Field(description="host:port; port 6379 unless written.")
    user: str = Field(default="", max_length=256, description="User of the ACL.")
    password: SecretStr | None = Field(None, description="Its password; without a user that of `requirepass`.")
    database: int = Field(default=0, ge=0, le=10_000, description="Number of the database that has the key.")
    tls: bool = Field(False, description="Whether to speak TLS.")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: str = Field("", description="PEM file of the only authorities to trust, instead of the system's.")
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    details: bool = Field(True, description="Whether to ask for INFO.")
    replication: Replication = Field(STOPPED_DEGRADES, description="How replication should be.")
    freshness: KeyFreshness | None = Field(None, description="How old the time in a key may be.")
    session: SessionUse = "new"


async def run(params: RedisParams, ctx: Context) -> Measurement:
    """Connect, log in, ask, and say what was measured on the way."""
    findings = Findings()
    opening = partial(_open, params, ctx, findings)
    work = in_session(ctx, ("redis", params), params.session, opening, partial(_work, params, findings))
    return await measured(ctx, findings, work)


async def _open(params: RedisParams, ctx: Context, findings: Findings) -> Session:
    stream = await connect(await resolve(params.address.host, ctx, params.ip_version), params.address.port, ctx)
    try:
        if params.tls:
            ctx.phases.begin("tls")
            context = context_for(Trust(params.verify, params.ca_file), ctx)
            await stream.start_tls(context, ascii_name(params.server_name or params.address.host))
        session = Session(stream, ctx)
        await session.login(params.user, params.password, params.database)
    except BaseException:
        stream.close()
        findings.facts.add_certificate(stream.chain, findings.samples)
        raise
    return session


async def _work(params: RedisParams, findings: Findings, session: Session) -> None:
    findings.facts.add_certificate(session.stream.chain, findings.samples)
    ctx = session.ctx
    ctx.phases.begin("query")
    commands: list[tuple[str, ...]] = [("PING",)]
    if params.freshness is not None:
        commands += [("TIME",), ("GETRANGE", params.freshness.key, "0", "63")]
    answers = await session.ask(commands)
    ctx.phases.end()
    _refuse(answers)
    if answers[0] != b"PONG":
        raise TroubleError(Failure.PROTOCOL, "the server's answer to PING is not PONG")
    if params.freshness is not None:
        _judge_key(answers[1], answers[2], params.freshness, findings)
    if not params.details:
        return
    ctx.phases.begin("details")
    (info,) = await session.ask((("INFO",),))
    ctx.phases.end()
    if isinstance(info, ServerError):
        findings.unseen.append(f"the details ({info})")
        if params.role != "any":
            findings.find("down", Failure.PERMISSION, f"the role cannot be told: {info}")
    elif isinstance(info, bytes):
        memory = memory_of(ctx, "redis", params.address)
        redis_info.take(read_info(info), params.role, params.replication, memory, findings)
    else:
        raise TroubleError(Failure.PROTOCOL, "the server's answer to INFO is not one")


def _refuse(answers: list[Any]) -> None:
    for answer in answers:
        if isinstance(answer, ServerError):
            raise failure_of(answer)


def _judge_key(now: Any, value: Any, rule: KeyFreshness, findings: Findings) -> None:
    if not isinstance(value, bytes) or not isinstance(now, list) or not now or not isinstance(now[0], bytes):
        raise TroubleError(Failure.PROTOCOL, "the server's answers to TIME and GETRANGE are not such")
    if not value:
        findings.find(rule.state, Failure.STALE, f"there is no key {rule.key[:80]!r}, or it is empty")
        return
    at_s, now_s = figure_of(printable(value, 64)), figure_of(printable(now[0], 20))
    if at_s is None or now_s is None:
        return
    age_s = now_s - (at_s / 1000 if at_s > MILLISECONDS_FROM else at_s)
    findings.sample("freshness_s", age_s)
    if not age_s <= rule.max_age:
        message = f"the key's time is {age_s:.0f} s old, allowed are {rule.max_age:g} s"
        findings.find(rule.state, Failure.STALE, message)


PROBE = Probe(
    kind="redis",
    params=RedisParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of the TLS handshake, in seconds",
        "login_s": "time of logging in, in seconds",
        "query_s": "time of PING, and of reading the key, in seconds",
        "details_s": "time of INFO, in seconds",
        **CERT_SAMPLES,
        **redis_info.SAMPLES,
        **ROLE_SAMPLES,
        **REPLICATION_SAMPLES,
        **GROWTH_SAMPLES,
        **FRESHNESS_SAMPLES,
    },
    facts={"server_version": "string", **FACTS, **CERT_FACTS},
    latency="query_s",
)
