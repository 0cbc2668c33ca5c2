"""OpenSearch: asks a cluster over its REST API how it is and how fresh its data is (documentation, 2.0 and later).

    - probe: opensearch
      url: https://os.example.vn:9200
      basic_auth: {username: thongsuot, password: "${env:OS_PASSWORD}"}
      freshness: {index: "citizens-*", field: "@timestamp", max_age: 15m}
      degraded_when: ["disk_used_ratio > 0.85", "shards_unassigned > 0"]

Parameters, samples and judgements are those of the kind `elasticsearch`, whose page tells them; what differs is that
the leading node is called the cluster manager, and that there are no API keys.

**Least privilege** (Security plugin): a role with the cluster permissions `cluster_monitor` and
`cluster:admin/snapshot/get`, and on the indices `indices:data/read/search` with field-level security on the one field.

**What it was tried against.** A listener that answers in the shapes that the documentation has; never a cluster.
"""

from __future__ import annotations

from probes import search_check
from probes.model import Context, Measurement, Probe
from probes.search_check import SAMPLES, SEARCH_FACTS, SearchParams


async def run(params: SearchParams, ctx: Context) -> Measurement:
    """Ask the cluster how it is."""
    return await search_check.run("opensearch", "cluster_manager_node", params, ctx)


PROBE = Probe(
    kind="opensearch",
    params=SearchParams,
    address="url",
    run=run,
    samples=SAMPLES,
    facts=SEARCH_FACTS,
    latency="first_byte_s",
)
