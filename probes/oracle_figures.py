"""What an Oracle database tells of itself: one statement per right that it needs, and its rows as samples (pure).

The views are described in Oracle's Database Reference: V$DATABASE, V$DATAGUARD_STATS, V$RESOURCE_LIMIT, V$SESSION,
V$TRANSACTION, V$DATAFILE, V$RMAN_BACKUP_JOB_DETAILS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

Row = Sequence[Any]

ROLE = "SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM DUAL"
DETAILS: Mapping[str, str] = {
    "mode": "SELECT open_mode FROM v$database",
    "replication": "SELECT name, value FROM v$dataguard_stats WHERE name IN ('apply lag', 'transport lag')",
    "connections": "SELECT current_utilization, TRIM(limit_value) FROM v$resource_limit "
    "WHERE resource_name = 'sessions'",
    "locks": "SELECT COUNT(*), MAX(seconds_in_wait) FROM v$session WHERE blocking_session IS NOT NULL",
    "transactions": "SELECT MAX((SYSDATE - start_date) * 86400) FROM v$transaction",
    "size": "SELECT SUM(bytes) FROM v$datafile",
    "backups": "SELECT (SYSDATE - MAX(end_time)) * 86400 FROM v$rman_backup_job_details "
    "WHERE status LIKE 'COMPLETED%' AND input_type IN ('DB FULL', 'DB INCR')",
}
"""Detail → its statement."""

_INTERVAL = re.compile(r"([+-])(\d{1,9}) (\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?\Z")


def role_of(database_role: Any) -> str:
    """Return primary or replica (any kind of standby), other for what is neither."""
    text = str(database_role or "").upper()
    if text == "PRIMARY":
        return "primary"
    return "replica" if text.endswith("STANDBY") else "other"


def lag_s(text: Any) -> float | None:
    """Return a lag of V$DATAGUARD_STATS (`+00 00:00:05`) in seconds, None where there is none."""
    match = _INTERVAL.match(str(text or "").strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part) for part in match.groups()[1:])
    size_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return float(-size_s if match[1] == "-" else size_s)


def lags(rows: Sequence[Row]) -> dict[str, float]:
    """Return what V$DATAGUARD_STATS says, by name; a lag that is NULL is not there: it is stopped, or not known."""
    return {str(row[0]): lag for row in rows if len(row) == 2 and (lag := lag_s(row[1])) is not None}


def samples(detail: str, row: Row) -> dict[str, float]:
    """Return the samples of one detail's first row."""
    figures = [number(value) for value in row]
    found: dict[str, float | None] = {}
    if detail == "connections" and len(figures) == 2:
        used, most = figures
        found = {"connections": used, "connections_max": most}
        found["connections_ratio"] = used / most if used is not None and most else None
    elif detail == "locks" and len(figures) == 2:
        found = {"locks_waiting": figures[0], "longest_lock_wait_s": figures[1] or 0.0}
    elif detail == "transactions" and figures:
        found = {"longest_transaction_s": figures[0] or 0.0}
    elif detail == "backups" and figures:
        found = {"backup_age_s": figures[0]}
    return {name: value for name, value in found.items() if value is not None}


def number(value: Any) -> float | None:
    """Return a number, also one that stands in a text, as a float; None for anything else (`UNLIMITED`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        figure = float(value)
    except (ValueError, OverflowError):
        return None
    return figure if math.isfinite(figure) else None
