"""What a MySQL or MariaDB server says of itself: sessions, replication, Galera, transactions, size.

Each figure is asked for by the least statement, all in one round trip; one that the role has no right to is refused
by itself, and its figures are absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import Field

from probes.database_findings import Findings, judge_replica, judge_replicas, judge_role, note_size
from probes.database_memory import Memory
from probes.database_params import ReplicationByTable, Role, Rule
from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.mysql_session import Result

Detail = Literal["status", "transactions", "replication", "size"]
CHEAP: frozenset[Detail] = frozenset(get_args(Detail)) - {"size"}
"""All but the size, for which the server may open every table."""

SYNCED = 4
"""wsrep_local_state of a node that takes part."""

_STATUS = (
    "Threads_connected",
    "Slaves_connected",
    "Innodb_row_lock_current_waits",
    "wsrep_cluster_status",
    "wsrep_cluster_size",
    "wsrep_local_state",
    "wsrep_local_state_comment",
    "wsrep_ready",
    "wsrep_flow_control_paused",
    "wsrep_local_recv_queue",
)
_NO_GALERA = 18_446_744_073_709_551_615
"""wsrep_cluster_size and the like before a node has met its cluster."""

SAMPLES = {
    "read_only": "1 when the server takes no writes of ordinary users, else 0",
    "connections": "sessions",
    "connections_max": "sessions that the server takes",
    "connections_ratio": "share of the sessions that are taken, 0 to 1",
    "locks_waiting": "row locks that somebody waits for",
    "transactions": "open InnoDB transactions",
    "longest_transaction_s": "age of the oldest of them, in seconds",
    "replicas": "on a primary, replicas that are connected",
    "galera_nodes": "nodes in this node's part of the cluster",
    "galera_state": "state of this node: 4 is synced, 2 gives its data to another node",
    "galera_ready": "1 when the node takes statements, else 0",
    "galera_flow_control_ratio": "share of the time that replication was held up, 0 to 1, since the figure was reset",
    "galera_queue": "write sets that wait to be applied",
}


class Galera(Rule):
    """How the cluster should be."""

    nodes: int = Field(default=0, ge=0, description="How many nodes this node sees at the least, itself included.")


def statements(names: Iterable[Detail], *, mariadb: bool, version: int) -> dict[str, str]:
    """Return the statements for these details, name to statement."""
    names = set(names)
    found = {"variables": "SELECT @@global.read_only AS read_only, @@global.max_connections AS connections_max"}
    if "status" in names or "replication" in names:
        listed = ", ".join(f"'{name}'" for name in _STATUS)
        found["status"] = f"SHOW GLOBAL STATUS WHERE Variable_name IN ({listed})"
    if "replication" in names:
        mysql = "SHOW REPLICA STATUS" if version >= 80_022 else "SHOW SLAVE STATUS"
        found["replication"] = "SHOW ALL SLAVES STATUS" if mariadb else mysql
    if "transactions" in names:
        found["transactions"] = (
            "SELECT count(*) AS transactions, timestampdiff(SECOND, min(trx_started), now()) AS oldest_s"
            " FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id()"
        )
    if "size" in names:
        found["size"] = (
            "SELECT sum(data_length + index_length) AS size_bytes FROM information_schema.tables"
            " WHERE table_schema = coalesce(database(), table_schema)"
        )
    return found


def take(answers: Mapping[str, Result | TroubleError], memory: Memory, findings: Findings) -> dict[str, str]:
    """Take in what was answered, but for roles and replication; return the server's status, name to text."""
    _take_variables(_row(answers, "variables"), findings)
    status = _status(answers.get("status"))
    used, most = _number(status.get("threads_connected")), findings.samples.get("connections_max")
    findings.sample("connections", used)
    if used is not None and most:
        findings.samples["connections_ratio"] = used / most
    findings.sample("locks_waiting", _number(status.get("innodb_row_lock_current_waits")))
    open_ = _row(answers, "transactions")
    if open_:
        findings.sample("transactions", _number(open_.get("transactions")))
        findings.sample("longest_transaction_s", _number(open_.get("oldest_s")) or 0.0)
    size_bytes = _number(_row(answers, "size").get("size_bytes"))
    if size_bytes is not None:
        note_size(size_bytes, memory, findings)
    hidden = [name for name, answer in answers.items() if isinstance(answer, TroubleError)]
    grants = {"transactions": "GRANT PROCESS", "replication": "GRANT REPLICATION CLIENT, with MariaDB REPLICA MONITOR"}
    findings.unseen += [f"{name} ({grants.get(name) or _words(answers[name])})" for name in hidden]
    return status


def judge(
    answers: Mapping[str, Result | TroubleError],
    status: Mapping[str, str],
    expected: Role,
    rule: ReplicationByTable,
    memory: Memory,
    findings: Findings,
) -> list[dict[str, Any]] | None:
    """Judge the role; return what the server says of its replication, None where it does not say."""
    answer = answers.get("replication")
    if not isinstance(answer, Result):
        if expected != "any":
            findings.find("down", Failure.PERMISSION, "the role cannot be told: the login may not see replication")
        return None
    channels = [answer.row(number) for number in range(len(answer.rows))]
    role = "replica" if channels else "primary"
    judge_role(role, expected, memory, findings)
    replicas = _number(status.get("slaves_connected"))
    if role == "primary" and replicas is not None:
        judge_replicas(int(replicas), rule, findings)
    return channels


def judge_channels(
    channels: Sequence[Mapping[str, Any]], rule: ReplicationByTable, heartbeat_s: float | None, findings: Findings
) -> None:
    """Judge a replica by its channels: any that is stopped is told, else the one that is furthest behind."""
    lags: list[float] = []
    for channel in channels:
        stopped, lag_s = _channel(channel)
        if stopped:
            judge_replica(stopped, None, rule, findings)
            return
        lags.append(math.nan if lag_s is None else lag_s)
    known = None if any(map(math.isnan, lags)) else max(lags)
    judge_replica("", known if rule.heartbeat is None else heartbeat_s, rule, findings)


def judge_galera(status: Mapping[str, str], rule: Galera, findings: Findings) -> None:
    """Judge a node of a Galera cluster; does nothing for any other server."""
    cluster = status.get("wsrep_cluster_status")
    nodes = _number(status.get("wsrep_cluster_size"))
    if cluster is None or nodes is None or (cluster == "Disconnected" and not nodes):
        if rule.nodes:
            findings.find("down", Failure.CONDITION, "the server is in no Galera cluster")
        return
    findings.sample("galera_nodes", None if nodes >= _NO_GALERA else nodes)
    state = _number(status.get("wsrep_local_state"))
    findings.sample("galera_state", state)
    findings.samples["galera_ready"] = float(status.get("wsrep_ready") == "ON")
    findings.sample("galera_flow_control_ratio", _number(status.get("wsrep_flow_control_paused")))
    findings.sample("galera_queue", _number(status.get("wsrep_local_recv_queue")))
    comment = plain_line(status.get("wsrep_local_state_comment", ""), 60)
    if cluster != "Primary" or status.get("wsrep_ready") != "ON":
        part = plain_line(cluster, 40)
        findings.find("down", Failure.CONDITION, f"the node takes no part: its component is {part}, it is {comment}")
    elif nodes < rule.nodes:
        message = f"the cluster has {nodes:.0f} nodes, expected are at least {rule.nodes}"
        findings.find(rule.state, Failure.CONDITION, message)
    elif state != SYNCED:
        findings.find(rule.state, Failure.CONDITION, f"the node is not synced: it is {comment}")


def _channel(channel: Mapping[str, Any]) -> tuple[str, float | None]:
    """Return why a channel is stopped ("" when it runs), and its lag."""
    said = {name.lower().replace("slave", "replica").replace("master", "source"): v for name, v in channel.items()}
    for thread in ("io", "sql"):
        running = said.get(f"replica_{thread}_running")
        if running != "Yes":
            error = plain_line(str(said.get(f"last_{thread}_error") or ""), 120)
            why = f": {error}" if error else ""
            return f"the {thread.upper()} thread says {plain_line(str(running), 20)}{why}", None
    lag_s = _number(said.get("seconds_behind_source"))
    return ("", lag_s) if lag_s is not None else ("Seconds_Behind_Master is NULL", None)


def _take_variables(row: Mapping[str, Any], findings: Findings) -> None:
    findings.sample("connections_max", _number(row.get("connections_max")))
    read_only = row.get("read_only")
    if read_only is not None:
        findings.samples["read_only"] = float(str(read_only) not in ("0", "OFF"))


def _status(answer: Result | TroubleError | None) -> dict[str, str]:
    if not isinstance(answer, Result):
        return {}
    texts = [[(raw or b"").decode("utf-8", "replace") for raw in row] for row in answer.rows if len(row) == 2]
    return {name.lower(): value for name, value in texts}


def _row(answers: Mapping[str, Result | TroubleError], name: str) -> dict[str, Any]:
    answer = answers.get(name)
    return answer.row() if isinstance(answer, Result) else {}


def _words(answer: Result | TroubleError) -> str:
    return answer.message if isinstance(answer, TroubleError) else ""


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
