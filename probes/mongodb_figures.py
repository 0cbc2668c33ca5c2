"""What a MongoDB server tells of itself: the commands that ask, and their documents as samples (pure).

The documents are described in the MongoDB manual: hello, serverStatus, replSetGetStatus, $currentOp, dbStats. Any
member of them may be missing or of another type than promised: then its sample is absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]

MEMBERS_LIMIT = 50
"""The most that a replica set may have (manual, "Replica Set Members")."""

PRIMARY, SECONDARY, ARBITER = 1, 2, 7
"""Values of `members.state` (manual, "Replica Set Member States")."""

REFUSED = frozenset({13, 8000})
"""Unauthorized, AtlasError: the login has no right to see it."""

NOT_TOLD = REFUSED | {59, 76, 94, 115}
"""CommandNotFound, NoReplicationEnabled, NotYetInitialized, CommandNotSupported: or the server has none of it, as one
that stands alone has no replica set."""

SERVER_STATUS: Document = {
    "serverStatus": 1,
    "$db": "admin",
    # Sections that are on by default, costly to collect and not looked at.
    **dict.fromkeys(("metrics", "wiredTiger", "tcmalloc", "locks", "opLatencies", "transactions", "network"), 0),
}
REPLICATION: Document = {"replSetGetStatus": 1, "$db": "admin"}
OPERATIONS: Document = {
    "aggregate": 1,
    "pipeline": [
        {"$currentOp": {"allUsers": True, "idleSessions": True}},
        # What people and programs do; not the members that follow each other, nor drivers that wait for news.
        {
            "$match": {
                "client": {"$exists": True},
                "ns": {"$ne": "local.oplog.rs"},
                "command.hello": {"$exists": False},
                "command.isMaster": {"$exists": False},
            }
        },
        {
            "$group": {
                "_id": None,
                "operation_s": {"$max": {"$cond": ["$active", "$secs_running", 0]}},
                "transaction_us": {"$max": "$transaction.timeOpenMicros"},
                "waiting": {"$sum": {"$cond": ["$waitingForLock", 1, 0]}},
            }
        },
    ],
    "cursor": {},
    "$db": "admin",
}

STATUS = (SERVER_STATUS, REPLICATION, OPERATIONS)
STATUS_NAMES = ("serverStatus", "replSetGetStatus", "$currentOp", "dbStats")
"""What is asked, in this order; the size is of one database."""


def role_of(hello: Document) -> str:
    """Return what the server is: primary, replica (a secondary), arbiter, standalone, mongos or other."""
    if hello.get("msg") == "isdbgrid":
        return "mongos"
    if hello.get("isWritablePrimary") is True:
        return "primary" if hello.get("setName") else "standalone"
    for flag, role in (("secondary", "replica"), ("arbiterOnly", "arbiter")):
        if hello.get(flag) is True:
            return role
    return "other"


def is_writable(hello: Document) -> bool:
    """Say whether the server takes writes."""
    return hello.get("isWritablePrimary") is True and hello.get("readOnly") is not True


def server_samples(status: Document) -> dict[str, float]:
    """Return connections, and operations that wait for a lock, from serverStatus."""
    connections, lock = _member(status, "connections"), _member(status, "globalLock")
    used, available = number(connections.get("current")), number(connections.get("available"))
    found: dict[str, float] = {}
    if used is not None and available is not None and used + available > 0:
        found["connections"], found["connections_max"] = used, used + available
        found["connections_ratio"] = used / (used + available)
    queued = number(_member(lock, "currentQueue").get("total"))
    if queued is not None:
        found["lock_queue"] = queued
    return found


def replication_samples(status: Document) -> dict[str, float]:
    """Return lag and members that are not there, from replSetGetStatus.

    The lag of a secondary is how far its last write is behind the primary's, as the server itself knows it; of a
    primary, that of its slowest secondary. Both stand still when nothing is written, so an idle set has no lag. Where
    nobody follows, or a secondary knows no primary, there is no lag but an absence.
    """
    members = status.get("members")
    known = [m for m in members[:MEMBERS_LIMIT] if isinstance(m, dict)] if isinstance(members, list) else []
    if not known:
        return {}
    healthy = [m for m in known if m.get("health") == 1]
    serving = [m for m in healthy if m.get("state") in (PRIMARY, SECONDARY, ARBITER)]
    found: dict[str, float] = {"members": len(known), "members_unavailable": len(known) - len(serving)}
    primary = next((m for m in healthy if m.get("state") == PRIMARY), {})
    own: Document = next((m for m in known if m.get("self") is True), {})
    behind: list[Document] = [m for m in healthy if m.get("state") == SECONDARY]
    found["replicas"] = len(behind)
    if own.get("state") == SECONDARY:
        behind = [own]
    elif own.get("state") != PRIMARY:
        behind = []
    lags = [lag for m in behind if (lag := _lag_s(primary, m)) is not None]
    if lags:
        found["replication_lag_s"] = max(lags)
    return found


def operation_samples(answer: Document) -> dict[str, float]:
    """Return the longest operation and transaction, and how many wait for a lock, from $currentOp."""
    batch = _member(answer, "cursor").get("firstBatch")
    if not isinstance(batch, list):
        return {}
    group = batch[0] if batch and isinstance(batch[0], dict) else {}
    open_us = number(group.get("transaction_us"))
    return {
        "longest_operation_s": number(group.get("operation_s")) or 0.0,
        "longest_transaction_s": (open_us or 0.0) / 1e6,
        "locks_waiting": number(group.get("waiting")) or 0.0,
    }


def size_bytes(stats: Document) -> float | None:
    """Return what a database takes on disk, indexes included, from dbStats."""
    storage, indexes = number(stats.get("storageSize")), number(stats.get("indexSize"))
    return None if storage is None or indexes is None else storage + indexes


def number(value: Any) -> float | None:
    """Return a BSON number (int32, int64, double) as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def newest(answer: Document, field: str) -> Any:
    """Return the field of the one document that a find gave, None where there is none."""
    batch = _member(answer, "cursor").get("firstBatch")
    value: Any = batch[0] if isinstance(batch, list) and batch else None
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def seconds_of(value: Any) -> float | None:
    """Return a date, a timestamp or an object id, which begins with a time, as seconds since 1970."""
    if isinstance(value, datetime):
        return value.timestamp()
    kind = type(value).__name__  # classes of the package bson, which is not imported here
    if kind == "ObjectId":
        return int.from_bytes(value.binary[:4], "big")
    if kind == "Timestamp":
        return float(value.time)
    return None


def _lag_s(primary: Document, member: Document) -> float | None:
    ahead, own = primary.get("optimeDate"), member.get("optimeDate")
    if not isinstance(ahead, datetime) or not isinstance(own, datetime):
        return None
    return max(0.0, (ahead - own).total_seconds())


def _member(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, dict) else {}
