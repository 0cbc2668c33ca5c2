"""Runs all benchmarks (or those named), prints one JSON object a line, and writes docs/benchmarks.md."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import checks
from benchmarks.processes import versions

Row = dict[str, Any]
DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def rtt_error() -> Iterable[Row]:
    from benchmarks import rtt_error as module

    return module.run(10.0)


def writer() -> Iterable[Row]:
    from benchmarks import writer as module

    return module.run()


def sealing() -> Iterable[Row]:
    from benchmarks import sealing as module

    return module.run()


def reading() -> Iterable[Row]:
    from benchmarks import reading as module

    return module.run()


def availability() -> Iterable[Row]:
    from benchmarks import availability as module

    return module.run()


def databases() -> Iterable[Row]:
    from benchmarks import databases as module

    return module.run()


def path() -> Iterable[Row]:
    from benchmarks import path_trace as module

    return module.run()


def snmp() -> Iterable[Row]:
    from benchmarks import snmp as module

    return module.measure()


def throughput() -> Iterable[Row]:
    from benchmarks import throughput as module

    return module.measure(3.0)


BENCHMARKS: dict[str, Callable[[], Iterable[Row]]] = {
    "cpu": checks.cpu_per_check,
    "lateness": checks.lateness,
    "rtt": rtt_error,
    "memory": checks.memory,
    "writer": writer,
    "sealing": sealing,
    "reading": reading,
    "availability": availability,
    "fault": checks.fault_to_notification,
    "databases": databases,
    "path": path,
    "cold": checks.cold_start,
    "snmp": snmp,
    "throughput": throughput,
}


def main(names: list[str]) -> int:
    rows = []
    for row in _all(names or list(BENCHMARKS)):
        print(json.dumps(row, ensure_ascii=False), flush=True)
        rows.append(row)
    if not names:
        DOCUMENT.write_text(_document(rows))
    return 0 if all(row.get("met", True) for row in rows) else 1


def _all(names: list[str]) -> Iterator[Row]:
    for name in names:
        yield from BENCHMARKS[name]()


def _document(rows: list[Row]) -> str:
    commit = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False)
    known = versions()
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Ratios are the promise: ours and the peer ran one after the other on the same",
        "sockets of the same machine; absolute figures are of a small shared machine.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or '?'}, Python {platform.python_version()},",
        f"{known['cores']} cores; Prometheus {known['prometheus']} with",
        f"blackbox_exporter {known['prometheus-blackbox-exporter']}.",
        "",
        "| what | ours | peer | ratio | budget | met | more |",
        "|---|--:|--:|--:|---|---|---|",
    ]
    shown = ("what", "value", "unit", "peer", "ratio", "budget", "met")
    for row in rows:
        more = ", ".join(f"{name} {value}" for name, value in row.items() if name not in shown)
        unit = row.get("unit", "")
        peer = f"{row['peer']} {unit}" if "peer" in row else ""
        met = {True: "yes", False: "**no**"}.get(row.get("met"), "")
        cells = (row["what"], f"{row['value']} {unit}", peer, row.get("ratio", ""), row.get("budget", ""), met, more)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
