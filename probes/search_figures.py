"""What a search cluster tells of itself, as samples (pure): documents of the REST API, whatever is in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

HEALTH: Mapping[str, str] = {
    "number_of_nodes": "nodes",
    "number_of_data_nodes": "data_nodes",
    "active_shards": "shards",
    "unassigned_shards": "shards_unassigned",
    "delayed_unassigned_shards": "shards_delayed",
    "initializing_shards": "shards_initializing",
    "relocating_shards": "shards_relocating",
    "number_of_pending_tasks": "pending_tasks",
}
"""Member of a cluster's health → sample."""


def health_samples(health: Document) -> dict[str, float]:
    """Return nodes, shards and waiting tasks from `_cluster/health`."""
    found = {sample: number(health.get(name)) for name, sample in HEALTH.items()}
    waiting, active = (
        number(health.get("task_max_waiting_in_queue_millis")),
        number(health.get("active_shards_percent_as_number")),
    )
    found["pending_task_s"] = None if waiting is None else waiting / 1000
    found["active_shards_ratio"] = None if active is None else active / 100
    return {name: value for name, value in found.items() if value is not None}


def stats_samples(stats: Document) -> dict[str, float]:
    """Return use of disk and heap, and documents, from `_cluster/stats`."""
    found: dict[str, float] = {}
    total, free = number(follow(stats, "nodes.fs.total_in_bytes")), number(follow(stats, "nodes.fs.available_in_bytes"))
    if total and free is not None:
        found["disk_used_ratio"] = (total - free) / total
    used, most = (
        number(follow(stats, "nodes.jvm.mem.heap_used_in_bytes")),
        number(follow(stats, "nodes.jvm.mem.heap_max_in_bytes")),
    )
    if most and used is not None:
        found["heap_used_ratio"] = used / most
    documents = number(follow(stats, "indices.docs.count"))
    if documents is not None:
        found["documents"] = documents
    return found


def newest_snapshot_s(answer: Document) -> float | None:
    """Return when the newest successful snapshot ended, in seconds since 1970; None where there is none."""
    snapshots = answer.get("snapshots")
    ends = [
        end
        for item in (snapshots if isinstance(snapshots, list) else [])
        if isinstance(item, dict) and item.get("state") == "SUCCESS"
        if (end := number(item.get("end_time_in_millis"))) is not None
    ]
    return max(ends) / 1000 if ends else None


def follow(document: Any, path: str) -> Any:
    """Return the member at a path of names, None where it leads nowhere."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def number(value: Any) -> float | None:
    """Return a JSON number as a float, also one that stands in a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        figure = float(value)
    except (ValueError, OverflowError):
        return None
    return figure if math.isfinite(figure) else None
