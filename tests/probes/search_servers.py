"""A search cluster on loopback that answers in the shapes of the REST reference; what it says is `answers`, by path."""

from __future__ import annotations

import json
from typing import Any

from tests.probes.http_servers import Received, reply

NOW_S = 1_795_658_400


def health(status: str = "green", **more: Any) -> dict[str, Any]:
    """Return a cluster's health (reference, "Cluster health API")."""
    return {
        "cluster_name": "dancu",
        "status": status,
        "timed_out": False,
        "number_of_nodes": 3,
        "number_of_data_nodes": 2,
        "active_primary_shards": 5,
        "active_shards": 9,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0 if status == "green" else 1,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 2,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 1500,
        "active_shards_percent_as_number": 90.0,
        **more,
    }


def error(status: int, kind: str, reason: str) -> bytes:
    """Return an error (reference, "REST API conventions")."""
    body = {"error": {"root_cause": [], "type": kind, "reason": reason}, "status": status}
    return reply(status, json.dumps(body).encode(), "Content-Type: application/json")


def aggregate(value: float | None, text: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a search's answer with one `max` aggregation."""
    newest = {"value": value} if text is None else {"value": value, "value_as_string": text}
    return {"timed_out": False, "_shards": {"failed": 0}, "aggregations": {"newest": newest}, **more}


class Cluster:
    """Answers by the beginning of the path; a dict is JSON, bytes are sent as they are."""

    def __init__(self, master: str = "master_node", **answers: Any) -> None:
        self.answers = {
            "/_cluster/health": health(),
            f"/_cluster/state/{master}": {master: "node-1"},
            "/_cluster/stats": {
                "indices": {"store": {"size_in_bytes": 5120}, "docs": {"count": 77}},
                "nodes": {
                    "versions": ["8.15.3"],
                    "fs": {"total_in_bytes": 1000, "available_in_bytes": 250},
                    "jvm": {"mem": {"heap_used_in_bytes": 30, "heap_max_in_bytes": 40}},
                },
            },
            "/_cat/health": [{"epoch": str(NOW_S)}],
            "/_snapshot": {
                "snapshots": [
                    {"state": "SUCCESS", "end_time_in_millis": (NOW_S - 3600) * 1000},
                    {"state": "FAILED", "end_time_in_millis": (NOW_S - 60) * 1000},
                ]
            },
            "/citizens": aggregate((NOW_S - 100) * 1000.0, "2026-11-26T02:00:00.000Z", hits={"total": {"value": 1000}}),
            **{path.replace("__", "/"): answer for path, answer in answers.items()},
        }

    def __call__(self, request: Received) -> bytes:
        for path, answer in self.answers.items():
            if request.target.startswith(path):
                if isinstance(answer, bytes):
                    return answer
                return reply(200, json.dumps(answer).encode(), "Content-Type: application/json")
        return error(400, "illegal_argument_exception", f"no handler for {request.target}")
