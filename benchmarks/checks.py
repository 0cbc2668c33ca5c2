"""CPU per check against the peer, lateness, memory, and the time from a fault to its notification."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_s, far_end, free_port, monitor, peer, window, write_config
from monitor.records import Batch
from monitor.schedule import phase_of
from monitor.store import Store
from monitor.store.tables import SLOT_MS
from tests.monitor.samples import http_results

AT_MS = f"(slot * {SLOT_MS} + offset_ms)"
"""Start of a raw result in SQL."""

RATE = 1000
SEALED_CHECKS = 1_000
"""So many checks have an hour of results waiting to be sealed: more than is sealed meanwhile."""
WARM_UP_S, WINDOW_S = 8.0, 15.0

Row = dict[str, Any]


def check_of(kind: str, ports: dict[str, int], n: int, **more: Any) -> Row:
    """Return one check in the configuration's own format, against the far end."""
    common = {"probe": kind, "interval": "1s", "timeout": "900ms", **more}
    match kind:
        case "http":
            return {**common, "url": f"http://127.0.0.1:{ports['http']}/?n={n}"}
        case "tcp":
            return {**common, "address": f"127.0.0.1:{ports['tcp']}"}
        case _:
            return {**common, "address": f"127.0.{n // 250}.{n % 250 + 1}", "count": 1}


def peer_target(kind: str, ports: dict[str, int], n: int) -> str:
    """Return the same address as the peer writes it."""
    match kind:
        case "http":
            return f"http://127.0.0.1:{ports['http']}/?n={n}"
        case "tcp":
            return f"127.0.0.1:{ports['tcp']}"
        case _:
            return f"127.0.{n // 250}.{n % 250 + 1}"


BUDGETS = {"http": 0.40, "tcp": 0.20, "icmp": 0.12}


def cpu_per_check() -> Iterator[Row]:
    """CPU per check, all in, at 1,000 checks a second, ours and the peer's one after the other."""
    for kind, budget in BUDGETS.items():
        with tempfile.TemporaryDirectory() as name, far_end() as ports:
            directory = Path(name)
            config = write_config(directory / "ours", [check_of(kind, ports, n) for n in range(RATE)])
            with monitor(config) as process:
                ours_s, wall_s, ours_mb = window([process], WARM_UP_S, WINDOW_S)
                ours_rate = saved(directory / "ours", wall_s)
            targets = [peer_target(kind, ports, n) for n in range(RATE)]
            with peer(directory / "peer", kind, targets) as processes:
                peer_s, peer_wall_s, peer_mb = window(processes, WARM_UP_S, WINDOW_S)
        ours_ms, peer_ms = ours_s / wall_s / ours_rate * 1000, peer_s / peer_wall_s / RATE * 1000
        yield {
            "what": f"CPU per {kind} check, all in",
            "value": round(ours_ms, 4),
            "unit": "ms",
            "peer": round(peer_ms, 4),
            "ratio": round(ours_ms / peer_ms, 3),
            "budget": f"≤ {budget} ×",
            "met": ours_ms / peer_ms <= budget,
            "memory_mb": round(ours_mb),
            "peer_memory_mb": round(peer_mb),
            "rate_per_s": round(ours_rate),
        }


def saved(directory: Path, last_s: float) -> float:
    """Return how many results a second were saved in the last whole seconds."""
    with sqlite3.connect(f"file:{directory}/store.db?mode=ro", uri=True) as store:
        (newest,) = store.execute(f"SELECT max({AT_MS}) FROM results").fetchone()
        since = newest - round(last_s * 1000) + 1000
        (count,) = store.execute(
            f"SELECT count(*) FROM results WHERE {AT_MS} > ? AND {AT_MS} <= ?", (since, newest)
        ).fetchone()
    return float(count) / (last_s - 1)


def lateness() -> Iterator[Row]:
    """How late checks start at 2,000 mixed checks a second with the monitor on one core, sealing beside it or not."""
    yield _lateness("", 0)
    yield _lateness(", sealing beside it", SEALED_CHECKS)


def _lateness(beside: str, sealed_checks: int) -> Row:
    mixed = ("http", "tcp", "icmp", "icmp")
    with tempfile.TemporaryDirectory() as name, far_end() as ports:
        directory = Path(name) / "ours"
        checks = [check_of(mixed[n % 4], ports, n % 1000) for n in range(2 * RATE)]
        config = write_config(directory, checks)
        raw = asyncio.run(fill(directory, sealed_checks)) if sealed_checks else 0
        with monitor(config, core=0) as process:
            used_s, wall_s, _ = window([process], WARM_UP_S, WINDOW_S)
        late = list(late_by(directory, WINDOW_S))
        sealed = sealed_in(directory)
    late.sort()
    p99 = late[int(len(late) * 0.99)]
    row = {
        "what": f"start lateness p99, 2,000 mixed checks/s on one core{beside}",
        "value": p99,
        "unit": "ms",
        "budget": "≤ 20",
        "met": p99 <= 20,
        "p50": late[len(late) // 2],
        "rate_per_s": round(len(late) / WINDOW_S),
        "core_share": round(used_s / wall_s, 2),
        "p999": late[int(len(late) * 0.999)],
    }
    return row | {"raw": raw, "sealed": sealed} if raw else row


async def fill(directory: Path, checks: int) -> int:
    """Save an hour of results of other checks that is due to be sealed; return how many."""
    store, hour_ms = await Store.open(f"sqlite:///{directory}/store.db"), 3_600_000
    start_ms = (time.time_ns() // 1_000_000 // hour_ms - 4) * hour_ms
    results = http_results(checks, 360, start_ms=start_ms)
    try:
        while batch := list(islice(results, 5_000)):
            await store.save(Batch(results=batch))
    finally:
        await store.aclose()
    return checks * 360


def sealed_in(directory: Path) -> int:
    """Return how many results are sealed."""
    with sqlite3.connect(f"file:{directory}/store.db?mode=ro", uri=True) as store:
        return int(store.execute("SELECT coalesce(sum(results), 0) FROM sealed_results").fetchone()[0])


def late_by(directory: Path, last_s: float) -> Iterator[float]:
    """Yield how many milliseconds after its turn each of the last results started."""
    with sqlite3.connect(f"file:{directory}/store.db?mode=ro", uri=True) as store:
        (newest,) = store.execute(f"SELECT max({AT_MS}) FROM results").fetchone()
        rows = store.execute(
            f"SELECT c.id, {AT_MS} FROM results r JOIN checks c ON c.no = r.check_no WHERE {AT_MS} > ?",
            (newest - last_s * 1000,),
        )
        for check, at_ms in rows:
            # A start is stamped in whole milliseconds, rounded down: 1 ms early is on time.
            yield max(0.0, (at_ms / 1000 - phase_of(check, 1.0) + 0.001) % 1.0 * 1000 - 1)


def memory() -> Iterator[Row]:
    """Memory of the monitor with 10,000 checks, after each has run several times."""
    with tempfile.TemporaryDirectory() as name, far_end() as ports:
        directory = Path(name) / "ours"
        kinds = ("http", "tcp", "icmp")
        checks = [{**check_of(kinds[n % 3], ports, n % 1000), "interval": "10s"} for n in range(10_000)]
        config = write_config(directory, checks)
        began = time.monotonic()
        with monitor(config) as process:
            first_s, first_cpu_s = first_result(directory, began), cpu_s(process)
            _, _, megabytes = window([process], 30.0, 5.0)
    yield {
        "what": "memory, 10,000 checks",
        "value": round(megabytes),
        "unit": "MB",
        "budget": "≤ 200",
        "met": megabytes <= 200,
    }
    yield {
        "what": "first results, 10,000 checks",
        "value": round(first_s, 2),
        "unit": "s",
        "budget": "≤ 3",
        "met": first_s <= 3,
        "cpu_s": round(first_cpu_s, 2),
    }


def first_result(directory: Path, began: float) -> float:
    """Return seconds from the start of the process to the first saved result."""
    while time.monotonic() - began < 30:
        try:
            with sqlite3.connect(f"file:{directory}/store.db?mode=ro", uri=True) as store:
                if store.execute("SELECT 1 FROM results LIMIT 1").fetchone():
                    return time.monotonic() - began
        except sqlite3.Error:
            pass
        time.sleep(0.02)
    return float("inf")


class Hook(BaseHTTPRequestHandler):
    """Takes note of when it was called."""

    called: list[float]

    def do_POST(self) -> None:
        """Note the time and accept."""
        self.called.append(time.monotonic())
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def fault_to_notification() -> Iterator[Row]:
    """Time from a listener's death to the webhook, beyond the three checks that confirm it."""
    called: list[float] = []
    hook = HTTPServer(("127.0.0.1", 0), type("Noting", (Hook,), {"called": called}))
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        listener = subprocess.Popen(
            (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)),
            cwd=name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        check = {
            "probe": "tcp",
            "address": f"127.0.0.1:{port}",
            "interval": "2s",
            "timeout": "1s",
            "retry_interval": "1s",
        }
        config = write_config(Path(name) / "ours", [check])
        document = json.loads((config / "bench.yaml").read_text())
        url = f"http://127.0.0.1:{hook.server_address[1]}/"
        document["receivers"] = [{"id": "noc", "channel": "webhook", "url": url}]
        document["routes"] = [{"receivers": ["noc"]}]
        (config / "bench.yaml").write_text(json.dumps(document))
        with monitor(config):
            time.sleep(8)
            listener.terminate()
            listener.wait()
            died = time.monotonic()
            while not called and time.monotonic() - died < 30:
                time.sleep(0.01)
    hook.shutdown()
    hook.server_close()
    # At worst the next start is one interval away; two more at the retry interval confirm it.
    confirm_s = 2.0 + 2 * 1.0
    took = called[0] - died if called else float("inf")
    yield {
        "what": "fault to notification handed over",
        "value": round(took, 2),
        "unit": "s",
        "budget": f"≤ {confirm_s + 1:g} (confirm time {confirm_s:g} s + 1 s)",
        "met": took <= confirm_s + 1,
    }


def cold_start() -> Iterator[Row]:
    """Wall time of `thongsuot probe` from a cold interpreter."""
    with far_end() as ports:
        for kind in ("tcp", "http", "icmp"):
            address = f"http://127.0.0.1:{ports['http']}/" if kind == "http" else f"127.0.0.1:{ports['tcp']}"
            address = "127.0.0.1" if kind == "icmp" else address
            command = (str(Path(sys.executable).parent / "thongsuot"), "probe", kind, address)
            more = ("-p", "count=1") if kind == "icmp" else ()
            took = []
            for _ in range(10):
                began = time.monotonic()
                subprocess.run((*command, *more), check=True, stdout=subprocess.DEVNULL)
                took.append(time.monotonic() - began)
            median = statistics.median(took)
            yield {
                "what": f"thongsuot probe {kind}, cold start",
                "value": round(median, 2),
                "unit": "s",
                "budget": "≤ 0.6",
                "met": median <= 0.6,
            }
