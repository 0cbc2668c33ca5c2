"""What a Redis server says of itself in INFO, as samples and findings (redis.io, "INFO")."""

from __future__ import annotations

import time
from collections.abc import Mapping

from probes.database_findings import Findings, judge_replica, judge_replicas, judge_role, note_size
from probes.database_memory import Memory
from probes.database_params import Replication, Role
from probes.failures import plain_line
from probes.model import Failure

SAMPLES = {
    "connections": "clients",
    "connections_max": "clients that the server takes; from Redis 7 on",
    "connections_ratio": "share of the clients that are taken, 0 to 1",
    "clients_blocked": "clients that wait in a blocking command",
    "memory_max_bytes": "memory that the data may take, in bytes; absent where that is not bounded",
    "memory_ratio": "share of it that is used, 0 to 1",
    "keys": "keys in all databases",
    "replicas": "on a primary, replicas that are connected and in order",
    "replicas_lag_bytes": "on a primary, how far the replica that is furthest behind is, in bytes",
    "replicas_lag_s": "on a primary, time since the replica that was silent longest was heard of, in seconds",
    "backup_age_s": "time since the last save to disk that succeeded, or since the start, in seconds",
    "backup_failing": "1 when the last save to disk failed, else 0",
    "aof_failing": "1 when the append-only file cannot be written, else 0; where there is one",
    "changes_unsaved": "changes since the last save",
    "uptime_s": "time since the server was started, in seconds",
}


def take(info: Mapping[str, str], expected: Role, rule: Replication, memory: Memory, findings: Findings) -> None:
    """Take in what INFO said, and judge role and replication."""
    number = _Numbers(info)
    _take_clients(number, findings)
    _take_memory(number, memory, findings)
    _take_persistence(info, number, findings)
    keys = [fields.partition("keys=")[2].partition(",")[0] for name, fields in info.items() if name[:2] == "db"]
    if "role" in info:
        findings.samples["keys"] = sum(int(count) for count in keys if count.isdigit())
    findings.sample("uptime_s", number.get("uptime_in_seconds"))
    version = plain_line(info.get("redis_version", ""), 40)
    if version:
        findings.facts["server_version"] = version
    if info.get("role") in ("master", "slave"):
        _take_replication(info, number, expected, rule, memory, findings)
    if info.get("loading") == "1":
        findings.find("down", Failure.QUERY_FAILED, "the server is loading its data")


class _Numbers:
    """The values that are numbers."""

    def __init__(self, info: Mapping[str, str]) -> None:
        self._info = info

    def get(self, name: str) -> float | None:
        try:
            return float(self._info[name])
        except (KeyError, ValueError):
            return None


def _take_clients(number: _Numbers, findings: Findings) -> None:
    used, most = number.get("connected_clients"), number.get("maxclients")
    findings.sample("connections", used)
    findings.sample("connections_max", most)
    if used is not None and most:
        findings.sample("connections_ratio", used / most)
    findings.sample("clients_blocked", number.get("blocked_clients"))


def _take_memory(number: _Numbers, memory: Memory, findings: Findings) -> None:
    used, most = number.get("used_memory"), number.get("maxmemory")
    if used is not None:
        note_size(used, memory, findings)
        if most:
            findings.sample("memory_max_bytes", most)
            findings.sample("memory_ratio", used / most)


def _take_persistence(info: Mapping[str, str], number: _Numbers, findings: Findings) -> None:
    saved_at = number.get("rdb_last_save_time")
    if saved_at:
        now_s = number.get("server_time_usec")
        findings.sample("backup_age_s", max(0.0, (now_s / 1e6 if now_s else time.time()) - saved_at))
    if "rdb_last_bgsave_status" in info:
        findings.samples["backup_failing"] = float(info["rdb_last_bgsave_status"] != "ok")
    if info.get("aof_enabled") == "1":
        findings.samples["aof_failing"] = float(info.get("aof_last_write_status") != "ok")
    findings.sample("changes_unsaved", number.get("rdb_changes_since_last_save"))


def _take_replication(
    info: Mapping[str, str], number: _Numbers, expected: Role, rule: Replication, memory: Memory, findings: Findings
) -> None:
    if info["role"] == "slave":
        judge_role("replica", expected, memory, findings)
        stopped = ""
        if info.get("master_link_status") != "up":
            down_s = number.get("master_link_down_since_seconds")
            since = f" for {down_s:.0f} s" if down_s is not None and down_s >= 0 else ""
            stopped = f"the link to the primary is down{since}"
            if info.get("master_sync_in_progress") == "1":
                stopped = "the first copy is still under way"
        judge_replica(stopped, number.get("master_last_io_seconds_ago"), rule, findings)
        return
    judge_role("primary", expected, memory, findings)
    replicas = [_fields(value) for name, value in info.items() if name[:5] == "slave" and name[5:].isdigit()]
    well = [replica for replica in replicas if replica.get("state") == "online"]
    judge_replicas(len(well), rule, findings)
    offset = number.get("master_repl_offset")
    behind = [offset - float(r["offset"]) for r in well if offset is not None and r.get("offset", "").isdigit()]
    findings.sample("replicas_lag_bytes", max(behind, default=None))
    silent = [float(r["lag"]) for r in well if r.get("lag", "").isdigit()]
    findings.sample("replicas_lag_s", max(silent, default=None))


def _fields(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(","))
