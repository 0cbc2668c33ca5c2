"""What the kinds `elasticsearch` and `opensearch` have in common: parameters, questions and judgements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from probes.database_findings import (
    FACTS,
    FRESHNESS_SAMPLES,
    GROWTH_SAMPLES,
    IN_STEP_SAMPLES,
    Findings,
    judge_age,
    measured,
    note_size,
)
from probes.database_memory import Memory, memory_of
from probes.database_params import Gap, Rule
from probes.database_step import asking_other, judge_step
from probes.failures import TroubleError, plain_line
from probes.http_exchange import Exchange
from probes.model import Context, Failure, Measurement
from probes.search_client import Access, Client
from probes.search_figures import follow, health_samples, newest_snapshot_s, number, stats_samples
from probes.tls import CERT_FACTS, CERT_SAMPLES
from probes.units import Duration

SERVER_TIME_RATIO = 0.95
"""Share of the time left that the cluster gives a question: it stops by itself before we hang up."""

_HIDDEN = frozenset({403})  # the login may not see it
_REASONABLE = r'^[^\s/?#%\\"<>|:][^\s/?#%\\"<>|:]*$'

IndexName = Annotated[str, StringConstraints(pattern=_REASONABLE, max_length=255)]
"""An index, an alias, a data stream, or a pattern with `*` or `,`."""

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class NewestDocument(Rule):
    """How old the newest document may be."""

    index: IndexName = Field(description="Where it is.")
    field: FieldName = Field(description="A date that tells its age.")
    max_age: Duration = Field(gt=0, description="Beyond it the data is stale.")


class Snapshots(Rule):
    """How old the newest successful snapshot may be."""

    repository: IndexName = Field(description="Where snapshots are.")
    max_age: Duration = Field(gt=0, description="Beyond it the backup is stale.")


class InStepWith(Access, Rule):
    """Another cluster that should hold the same, with its own login."""

    model_config = ConfigDict(hide_input_in_errors=True)

    index: IndexName = Field(description="Which is compared.")
    field: FieldName | None = Field(
        None, description="Compare its greatest value (a number or a date) instead of counting documents."
    )
    max_gap: Gap = Field(description="How far one may be behind the other: a number, or a duration for dates.")


class SearchParams(Access):
    """Parameters of the kinds for search clusters."""

    cluster: str | None = Field(None, max_length=255, description="Name that the cluster should have.")
    allow_yellow: bool = Field(False, description="Whether yellow is fine: a cluster of one node is never green.")
    freshness: NewestDocument | None = Field(None, description="How old the newest document may be.")
    in_step: InStepWith | None = Field(None, description="Another cluster that should hold the same.")
    snapshots: Snapshots | None = Field(None, description="How old the newest successful snapshot may be.")
    details: bool = Field(True, description="Whether to ask for figures beyond the cluster's health.")


async def run(kind: str, master: str, params: SearchParams, ctx: Context) -> Measurement:
    """Ask the cluster how it is; `master` is what it calls the node that leads it."""
    findings = Findings()
    client = Client(params, ctx)

    async def work() -> None:
        try:
            await _measure(kind, master, params, client, ctx, findings)
        finally:
            findings.facts.add_certificate(client.chain, findings.samples)

    return await measured(ctx, findings, work(), Exchange.errors)


async def _measure(
    kind: str, master: str, params: SearchParams, client: Client, ctx: Context, findings: Findings
) -> None:
    health = await client.ask(f"/_cluster/health?timeout={_server_limit(ctx)}") or {}
    _judge_health(params, health, findings)
    if params.details:
        await _ask_status(master, client, memory_of(ctx, kind, params.url), findings)
    if params.freshness is not None or params.snapshots is not None:
        await _judge_ages(params, client, ctx, findings)
    if params.in_step is not None:
        await _compare(params.in_step, client, ctx, findings)


def _server_limit(ctx: Context) -> str:
    left_s = ctx.deadline - asyncio.get_running_loop().time()
    return f"{max(1, int(left_s * SERVER_TIME_RATIO * 1000))}ms"


def _judge_health(params: SearchParams, health: Mapping[str, Any], findings: Findings) -> None:
    """Say how the cluster is, by its own judgement: red lacks data, yellow lacks copies."""
    status, name = health.get("status"), plain_line(str(health.get("cluster_name", "")), 128)
    if status not in ("green", "yellow", "red"):
        raise TroubleError(Failure.PROTOCOL, "the answer tells no health: this is no search cluster")
    findings.samples.update(health_samples(health))
    findings.facts["health"], findings.facts["cluster"] = status, name
    lacking = f"unassigned shards: {findings.samples.get('shards_unassigned', 0):.0f}"
    if status == "red":
        findings.find("down", Failure.CONDITION, f"the cluster is red: data is missing ({lacking})")
    elif status == "yellow" and not params.allow_yellow:
        findings.find("degraded", Failure.CONDITION, f"the cluster is yellow: copies are missing ({lacking})")
    if params.cluster not in (None, name):
        findings.find("down", Failure.CONDITION, f"this is the cluster {name}; expected is {params.cluster}")


async def _ask_status(master: str, client: Client, memory: Memory, findings: Findings) -> None:
    """Ask who leads, and what is stored."""
    answer = await client.ask(f"/_cluster/state/{master}?filter_path={master}", forgiven=_HIDDEN)
    if answer is None:
        findings.unseen.append("_cluster/state")
    else:
        leader = plain_line(str(answer.get(master) or ""), 128)
        before, memory.role = memory.role, leader
        findings.facts["role"], findings.facts["role_before"] = leader, before
        findings.samples["role_changed"] = float(bool(before) and before != leader)
    wanted = "indices.store.size_in_bytes,indices.docs.count,nodes.fs,nodes.jvm.mem,nodes.versions"
    stats = await client.ask(f"/_cluster/stats?filter_path={wanted}", forgiven=_HIDDEN)
    if stats is None:
        findings.unseen.append("_cluster/stats")
        return
    findings.samples.update(stats_samples(stats))
    versions = follow(stats, "nodes.versions")
    if isinstance(versions, list):
        findings.facts["version"] = plain_line(", ".join(map(str, versions[:4])), 100)
    size_bytes = number(follow(stats, "indices.store.size_in_bytes"))
    if size_bytes is not None:
        note_size(size_bytes, memory, findings)


async def _judge_ages(params: SearchParams, client: Client, ctx: Context, findings: Findings) -> None:
    """Say how old the newest document and the newest snapshot are, by the cluster's own clock."""
    row = ((await client.ask("/_cat/health?format=json&h=epoch") or {}).get("list") or [{}])[0]
    now_s = number(follow(row, "epoch"))
    if now_s is None:
        raise TroubleError(Failure.PROTOCOL, "the cluster does not tell its time")
    if params.freshness is not None:
        rule = params.freshness
        newest_ms = await _greatest(client, rule.index, rule.field, ctx)
        judge_age(None if newest_ms is None else now_s - newest_ms / 1000, rule, findings)
    if params.snapshots is not None:
        path = f"/_snapshot/{params.snapshots.repository}/_all"
        fields = "snapshots.state,snapshots.end_time_in_millis"
        ended_s = newest_snapshot_s(await client.ask(f"{path}?filter_path={fields}") or {})
        _judge_snapshot(None if ended_s is None else now_s - ended_s, params.snapshots, findings)


def _judge_snapshot(age_s: float | None, rule: Snapshots, findings: Findings) -> None:
    if age_s is None:
        findings.find(rule.state, Failure.STALE, f"there is no successful snapshot in {rule.repository}")
        return
    findings.sample("backup_age_s", age_s)
    if not age_s <= rule.max_age:
        message = f"the newest snapshot is {age_s:.0f} s old, allowed are {rule.max_age:g} s"
        findings.find(rule.state, Failure.STALE, message)


async def _greatest(client: Client, index: str, field: str, ctx: Context) -> float | None:
    """Return the greatest value of a field (of a date: milliseconds since 1970), None where there is none."""
    answer = await _search(client, index, {"aggs": {"newest": {"max": {"field": field}}}}, ctx)
    return number(follow(answer, "aggregations.newest.value"))


async def _search(client: Client, index: str, body: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Ask for an aggregate over all documents and for none of them. Raises TroubleError."""
    limited = {"size": 0, "timeout": _server_limit(ctx), **body}
    wanted = "timed_out,_shards.failed,aggregations,hits.total"
    answer = (
        await client.ask(f"/{index}/_search?allow_partial_search_results=false&filter_path={wanted}", limited) or {}
    )
    if answer.get("timed_out"):
        raise TroubleError(Failure.TIMEOUT, f"the cluster stopped the search of {index} after {limited['timeout']}")
    if number(follow(answer, "_shards.failed")):
        raise TroubleError(Failure.QUERY_FAILED, f"shards of {index} did not answer the search")
    return answer


async def _compare(rule: InStepWith, client: Client, ctx: Context, findings: Findings) -> None:
    here = await _figure(rule, client, ctx)

    async def ask_both(apart: Context) -> tuple[float | None, float | None]:
        with asking_other(apart, Exchange.errors):
            return here, await _figure(rule, Client(rule, apart), apart)

    await judge_step(ctx, rule, rule.url, findings, ask_both)


async def _figure(rule: InStepWith, client: Client, ctx: Context) -> float | None:
    """Return what is compared: how many documents, or the greatest value; of a date, in seconds."""
    if rule.field is None:
        total = follow(await _search(client, rule.index, {"track_total_hits": True}, ctx), "hits.total.value")
        return number(total)
    answer = await _search(client, rule.index, {"aggs": {"newest": {"max": {"field": rule.field}}}}, ctx)
    newest = follow(answer, "aggregations.newest")
    value = number(follow(newest, "value"))
    is_date = value is not None and isinstance(follow(newest, "value_as_string"), str)
    return value / 1000 if value is not None and is_date else value


SAMPLES = {
    "resolve_s": "time of the name lookups, in seconds",
    "connect_s": "time of connecting, in seconds; all questions together, as below",
    "tls_s": "time of the TLS handshakes, in seconds",
    "first_byte_s": "from the questions to the first bytes of their answers, in seconds",
    "transfer_s": "from the first bytes of the answers to their last, in seconds",
    "nodes": "nodes of the cluster",
    "data_nodes": "nodes that hold data",
    "shards": "shards that serve",
    "shards_unassigned": "shards that no node holds",
    "shards_delayed": "of these, shards that wait for a node to come back",
    "shards_initializing": "shards that are being filled",
    "shards_relocating": "shards that move",
    "active_shards_ratio": "share of the shards that serves",
    "pending_tasks": "changes of the cluster that wait for its leader",
    "pending_task_s": "how long the oldest of them has waited, in seconds",
    "disk_used_ratio": "share of the nodes' disks that is used",
    "heap_used_ratio": "share of the nodes' Java heap that is used",
    "documents": "documents in all indices",
    "role_changed": "1 when another node leads than in the run before, else 0",
    "backup_age_s": "age of the newest successful snapshot by the cluster's clock, in seconds",
    **CERT_SAMPLES,
    **GROWTH_SAMPLES,
    **FRESHNESS_SAMPLES,
    **IN_STEP_SAMPLES,
}
SEARCH_FACTS = {**FACTS, "health": "string", "cluster": "string", "version": "string", **CERT_FACTS}
