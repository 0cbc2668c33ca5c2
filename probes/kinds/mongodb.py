"""MongoDB: greets, logs in, and asks the server how it does and how fresh its data is (manual, 4.4.2 and later).

    - probe: mongodb
      uri: mongodb://thongsuot:${env:DB_PASSWORD}@10.0.0.5:27017/dancu?tls=true&authSource=admin
      role: primary
      replica_set: rs0
      replication: {max_lag: 30s, replicas: 1}
      freshness: {collection: citizens, field: synced_at, max_age: 15m}
      in_step: {uri: "mongodb://…@10.0.1.5:27017/dancu", collection: citizens, max_gap: 100}
      degraded_when: ["connections_ratio > 0.8", "longest_operation_s > 60.0", "members_unavailable > 0"]

A check watches one server: for a replica set, write one for each member. Each phase is measured apart: `resolve`,
`connect`, `tls`, `hello`, `login`, `query`. It is down when the server cannot be reached or does not speak the
protocol, when it does not take the login (`auth_rejected`) or a command (`query_failed`, with its code and words), when
it is not in the `replica_set` or the `role` that it should be (`condition`), and when its data is too old, too late or
out of step (`stale`).

**Role.** `primary`, `replica` (a secondary), `arbiter`, `standalone`, `mongos`, or `other` (starting, recovering,
rolling back). `role_changed` is 1 in the first run that finds another than before.

**Replication.** The lag is the difference of the times of the last writes that two members have, as the server knows
them (`replSetGetStatus`): a secondary's own behind its primary; of a primary, that of its slowest secondary. An idle
set has none. What a server knows of the others is up to two seconds old, and so is the lag. A secondary that knows no
primary, or does not serve, has no lag: replication is stopped.

**Freshness.** The newest value of `field` in `collection`: a date, a timestamp or an object id, which begins with a
time. One document is looked at, and of it that field alone. The server sorts: **let there be an index on the field**.
The age is worked out by the server's own clock.

**In step.** The number of documents in `collection` (from its metadata, nothing is read), or with `field` its greatest
value (a number, a date or an object id), compared with that of another server. `max_gap` is a count, or a duration.

**Load on the server.** One session per check, commands only, none that writes. Each carries `maxTimeMS` just below the
time left, so that the server stops by itself what nobody waits for any more. At most 1 MiB is taken of an answer.
`details: false` asks for none of the server's figures.

**Logging in.** SCRAM-SHA-256 or SCRAM-SHA-1 (RFC 7677, RFC 5802), as the server has keys for the user; it has to prove
that it knows the password too. X.509, Kerberos and LDAP logins are not spoken.

**Least privilege.** A user of its own. Without `clusterMonitor` the figures of the server stay away, and the fact
`unseen` says so:

    use admin
    db.createUser({user: "thongsuot", pwd: passwordPrompt(), roles: [{role: "clusterMonitor", db: "admin"}]})
    db.createRole({role: "thongsuot", privileges: [
      {resource: {db: "dancu", collection: "citizens"}, actions: ["find", "collStats"]},
      {resource: {db: "dancu", collection: ""}, actions: ["dbStats"]}], roles: []})
    db.grantRolesToUser("thongsuot", ["thongsuot"])

**What it was tried against.** A listener that speaks OP_MSG, SCRAM and these commands as the specifications have them,
and that MongoDB's own driver accepts; never a server of MongoDB's. Backups are not visible through this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from probes import mongodb_figures as figures
from probes.database_findings import (
    FACTS,
    JUDGED_SAMPLES,
    Findings,
    judge_age,
    judge_replica,
    judge_replicas,
    judge_role,
    measured,
    note_size,
)
from probes.database_memory import in_session, memory_of
from probes.database_params import DatabaseParams, Gap, Name, Rule, SessionUse
from probes.database_step import ask_in_session, judge_step
from probes.database_url import DatabaseUrl
from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure, Measurement, Probe
from probes.mongodb_session import FORM, HELLO, Document, Session
from probes.mongodb_wire import bson
from probes.resolver import IpVersion, resolve
from probes.tcp_stream import connect
from probes.tls import CERT_FACTS, CERT_SAMPLES
from probes.units import Duration

Uri = Annotated[DatabaseUrl, FORM]
"""A connection string with one host."""


class NewestDocument(Rule):
    """How old the newest document may be."""

    collection: Name = Field(description="Where it is.")
    field: Name = Field(description="What tells its age; dots lead into a document within.")
    max_age: Duration = Field(gt=0, description="Beyond it the data is stale.")


class InStepWith(Rule):
    """Another server that should hold the same."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: Uri = Field(description="Where it is, and its database.")
    collection: Name = Field(description="Which is compared.")
    field: Name | None = Field(None, description="Compare its greatest value instead of counting documents.")
    max_gap: Gap = Field(description="How far one may be behind the other: a number, or a duration for times.")


class MongodbParams(DatabaseParams):
    """Parameters of the kind `mongodb`."""

    uri: Uri = Field(
        description="`mongodb://user:password@host:port/database`; options `tls`, `tlsCAFile`, "
        "`tlsAllowInvalidCertificates`, `tlsAllowInvalidHostnames`, `authSource`, `authMechanism`, `appName`."
    )
    replica_set: Name | None = Field(None, description="Name of the replica set that it should be in.")
    freshness: NewestDocument | None = Field(None, description="How old the newest document may be.")
    in_step: InStepWith | None = Field(None, description="Another server that should hold the same.")
    details: bool = Field(True, description="Whether to ask for the server's own figures.")
    session: SessionUse = "new"


async def run(params: MongodbParams, ctx: Context) -> Measurement:
    """Connect, log in, ask, and say what was measured on the way."""
    findings = Findings()
    return await measured(ctx, findings, _run(params, ctx, findings))


async def _run(params: MongodbParams, ctx: Context, findings: Findings) -> None:
    bson()

    async def work(session: Session) -> None:
        await _measure(params, session, findings)

    await in_session(ctx, ("mongodb", params), params.session, lambda: _open(params.uri, params.ip_version, ctx), work)


async def _open(uri: DatabaseUrl, ip_version: IpVersion | None, ctx: Context) -> Session:
    """Return a session that is logged in. Raises TroubleError, OSError."""
    stream = await connect(await resolve(uri.address.host, ctx, ip_version), uri.address.port, ctx)
    session = Session(stream, uri, ctx)
    try:
        await session.start_tls()
        await session.greet()
        await session.login()
    except BaseException:
        session.close()
        raise
    return session


async def _measure(params: MongodbParams, session: Session, findings: Findings) -> None:
    """Ask all there is to ask in one round trip, and judge the answers."""
    ctx, database = session.ctx, params.uri.database or "admin"
    findings.facts.add_certificate(session.stream.chain, findings.samples)
    asked = [HELLO]
    if params.freshness is not None:
        asked.append(_newest(params.freshness.collection, params.freshness.field, database))
    if params.in_step is not None:
        asked.append(_step(params.in_step, database))
    own = [*figures.STATUS, {"dbStats": 1, "$db": database}] if params.details else []
    ctx.phases.begin("query")
    hello, *answers = await session.ask(asked, own, figures.NOT_TOLD)
    ctx.phases.end()
    memory = memory_of(ctx, "mongodb", params.uri)
    _judge_member(params, hello, findings)
    judge_role(figures.role_of(hello), params.role, memory, findings)
    if params.freshness is not None:
        _judge_freshness(params.freshness, answers.pop(0), hello, findings)
    here = _figure(params.in_step, answers.pop(0)) if params.in_step is not None else None
    if params.details:
        size_bytes = _describe(params, dict(zip(figures.STATUS_NAMES, answers, strict=True)), findings)
        if size_bytes is not None:
            note_size(size_bytes, memory, findings)
    if params.in_step is not None:
        await _compare(params.in_step, here, params.ip_version, ctx, findings)


def _judge_member(params: MongodbParams, hello: Document, findings: Findings) -> None:
    """Say which set the server is in, and whether it takes writes."""
    findings.samples["writable"] = float(figures.is_writable(hello))
    for fact, name in (("replica_set", "setName"), ("primary", "primary")):
        findings.facts[fact] = plain_line(str(hello.get(name, "")), 128)
    if params.replica_set not in (None, hello.get("setName")):
        actual = findings.facts["replica_set"] or "none"
        message = f"the server is in the replica set {actual}; expected is {params.replica_set}"
        findings.find("down", Failure.CONDITION, message)


def _judge_freshness(rule: NewestDocument, answer: Document, hello: Document, findings: Findings) -> None:
    value, now = figures.newest(answer, rule.field), hello.get("localTime")
    since_s = figures.seconds_of(value)
    if value is not None and since_s is None:
        message = f"{rule.field} is neither a date, nor a timestamp, nor an object id"
        raise TroubleError(Failure.QUERY_FAILED, message)
    if not isinstance(now, datetime):
        raise TroubleError(Failure.PROTOCOL, "the server does not tell its time")
    age_s = None if since_s is None else now.timestamp() - since_s
    judge_age(age_s, rule, findings)


def _describe(params: MongodbParams, answers: Mapping[str, Document], findings: Findings) -> float | None:
    """Take the server's own figures in and judge its replication; return the size of the data, in bytes."""
    findings.unseen += [name for name, answer in answers.items() if answer.get("code") in figures.REFUSED]
    told = {name: answer for name, answer in answers.items() if answer.get("ok") == 1}
    if "serverStatus" in told:
        findings.samples.update(figures.server_samples(told["serverStatus"]))
        findings.facts["version"] = plain_line(str(told["serverStatus"].get("version", "")), 40)
    if "$currentOp" in told:
        findings.samples.update(figures.operation_samples(told["$currentOp"]))
    if "replSetGetStatus" in told:
        found = figures.replication_samples(told["replSetGetStatus"])
        replicas = found.pop("replicas", None)
        lag_s = found.pop("replication_lag_s", None)
        findings.samples.update(found)
        role = findings.facts["role"]
        if role == "primary" and replicas is not None:
            judge_replicas(int(replicas), params.replication, findings)
        if role == "replica" or (role == "primary" and replicas):
            judge_replica("" if lag_s is not None else "no primary is known", lag_s, params.replication, findings)
        elif role == "other":
            judge_replica("the member does not serve", None, params.replication, findings)
    return figures.size_bytes(told["dbStats"]) if "dbStats" in told else None


def _newest(collection: str, field: str, database: str) -> Document:
    """Return the command for the greatest value of one field: of one document, that field alone."""
    return {
        "find": collection,
        "projection": {field: 1} if field == "_id" else {field: 1, "_id": 0},
        "sort": {field: -1},
        "limit": 1,
        "singleBatch": True,
        "$db": database,
    }


def _step(rule: InStepWith, database: str) -> Document:
    if rule.field is None:
        return {"count": rule.collection, "$db": database}
    return _newest(rule.collection, rule.field, database)


def _figure(rule: InStepWith, answer: Document) -> float | None:
    """Return what is compared: a count, a number, or a time in seconds since 1970; None where there is nothing."""
    value = answer.get("n") if rule.field is None else figures.newest(answer, rule.field)
    if value is None:
        return None
    number = figures.number(value)
    if number is None:
        number = figures.seconds_of(value)
    if number is None:
        raise TroubleError(Failure.QUERY_FAILED, f"{rule.field} is neither a number nor a time: nothing to compare")
    return number


async def _compare(
    rule: InStepWith, here: float | None, ip_version: IpVersion | None, ctx: Context, findings: Findings
) -> None:
    """Ask the other server, and judge the gap."""

    async def open_other(apart: Context) -> Session:
        return await _open(rule.uri, ip_version, apart)

    async def ask_here() -> float | None:
        return here

    async def ask_there(there: Session) -> float | None:
        (answer,) = await there.ask([_step(rule, rule.uri.database or "admin")])
        return _figure(rule, answer)

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        return await ask_in_session(apart, None, "new", open_other, ask_here, ask_there)

    await judge_step(ctx, rule, rule.uri.address, findings, ask_both)


PROBE = Probe(
    kind="mongodb",
    params=MongodbParams,
    address="uri",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of the TLS handshake, in seconds",
        "hello_s": "time until the server has said who it is, in seconds",
        "login_s": "time of logging in, in seconds",
        "query_s": "time of all commands together, in seconds",
        "writable": "1 when the server takes writes, else 0",
        "connections": "connections that are open",
        "connections_max": "connections that may be open",
        "connections_ratio": "share of them that is open",
        "lock_queue": "operations queued for a lock",
        "locks_waiting": "operations that wait for a lock",
        "longest_operation_s": "how long the longest operation has run, in seconds; members and waiting drivers apart",
        "longest_transaction_s": "how long the oldest transaction has been open, in seconds",
        "members": "members of the replica set",
        "members_unavailable": "members that are unreachable, or neither primary, secondary nor arbiter",
        "replicas": "secondaries that a primary has and reaches",
        **CERT_SAMPLES,
        **JUDGED_SAMPLES,
    },
    facts={**FACTS, "replica_set": "string", "primary": "string", "version": "string", **CERT_FACTS},
    latency="query_s",
)
