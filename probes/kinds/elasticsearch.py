"""Elasticsearch: asks a cluster over its REST API how it is and how fresh its data is (reference, 7.10 and later).

    - probe: elasticsearch
      url: https://es.example.vn:9200
      api_key: ${env:ES_API_KEY}
      cluster: dancu
      freshness: {index: "citizens-*", field: "@timestamp", max_age: 15m}
      in_step: {url: "https://es2.example.vn:9200", api_key: "${env:ES2_API_KEY}", index: citizens, max_gap: 100}
      snapshots: {repository: nightly, max_age: 26h}
      degraded_when: ["disk_used_ratio > 0.85", "heap_used_ratio > 0.9", "shards_unassigned > 0", "role_changed == 1"]

It is down when the cluster cannot be reached, does not take the login (`auth_rejected`) or a question (`query_failed`,
with its words), is red or another than `cluster` (`condition`), or when data or backups are too old or out of step
(`stale`). Yellow, which means that copies are missing, degrades it unless `allow_yellow` is set. A cluster without a
leader answers 503, which is down as `http_status` with its words.

Each question is a request over a connection of its own, one after the other: health; with `details` who leads and what
is stored; then those of the rules below. Phases add up over them. HTTP has no login: credentials go with each request,
so there is no phase for it. Connections have no maximum here, and so no figure.

**Role.** The fact `role` is the id of the node that leads; `role_changed` is 1 in the first run that finds another.

**Freshness.** The greatest value of a date field, as an aggregate: no document is read. The age is worked out by the
cluster's own clock, to the second. **In step**: the number of documents, or with `field` its greatest value.
Searches carry a `timeout` just below the time left, and partial answers are refused.

**Snapshots.** The age of the newest one that succeeded.

**Least privilege.** An API key or a user with a role of its own:

    POST /_security/role/thongsuot
    {"cluster": ["monitor", "monitor_snapshot"], "indices": [{"names": ["citizens*"], "privileges": ["read"],
     "field_security": {"grant": ["@timestamp"]}}]}

**What it was tried against.** A listener that answers in the shapes that the reference documents; never a cluster.
Replication across clusters (CCR) is not looked at: compare by `in_step`.
"""

from __future__ import annotations

from probes import search_check
from probes.model import Context, Measurement, Probe
from probes.search_check import SAMPLES, SEARCH_FACTS, SearchParams


async def run(params: SearchParams, ctx: Context) -> Measurement:
    """Ask the cluster how it is."""
    return await search_check.run("elasticsearch", "master_node", params, ctx)


PROBE = Probe(
    kind="elasticsearch",
    params=SearchParams,
    address="url",
    run=run,
    samples=SAMPLES,
    facts=SEARCH_FACTS,
    latency="first_byte_s",
)
