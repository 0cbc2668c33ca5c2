"""Starting, measuring and stopping the processes that are compared."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def started(command: Sequence[str], log: Path, core: int | None = None) -> Iterator[psutil.Process]:
    """Run a process for the length of the block; its output goes to a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        running = psutil.Process(process.pid)
        if core is not None:
            running.cpu_affinity([core])
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def far_end() -> Iterator[dict[str, int]]:
    """Run the far end; gives its ports."""
    command = (sys.executable, "-m", "benchmarks.far_end")
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def window(processes: Sequence[psutil.Process], warm_up_s: float, window_s: float) -> tuple[float, float, float]:
    """Return (CPU seconds, wall seconds, resident megabytes) of the processes over a window after warming up."""
    time.sleep(warm_up_s)
    cpu, wall = sum(map(cpu_s, processes)), time.monotonic()
    time.sleep(window_s)
    used = sum(map(cpu_s, processes)) - cpu
    memory = sum(process.memory_info().rss for process in processes) / 1e6
    return used, time.monotonic() - wall, memory


def write_config(directory: Path, checks: Sequence[dict[str, Any]], **settings: Any) -> Path:
    """Write a configuration with one target per check (JSON is YAML)."""
    config = directory / "config"
    config.mkdir(parents=True)
    listen = f"127.0.0.1:{free_port()}"
    document = {
        "settings": {
            "store": f"sqlite:///{directory}/store.db",
            "spool": f"{directory}/spool",
            "listen": listen,
            **settings,
        },
        "targets": [{"id": f"t{n}", "type": "endpoint", "checks": [check]} for n, check in enumerate(checks)],
    }
    (config / "bench.yaml").write_text(json.dumps(document))
    return config


@contextmanager
def monitor(config: Path, core: int | None = None) -> Iterator[psutil.Process]:
    command = (sys.executable, "-m", "monitor", "monitor", "--config", str(config))
    with started(command, config.parent / "monitor.log", core) as process:
        yield process


BLACKBOX = """
modules:
  http: {prober: http, timeout: 2s, http: {preferred_ip_protocol: ip4}}
  tcp: {prober: tcp, timeout: 2s, tcp: {preferred_ip_protocol: ip4}}
  icmp: {prober: icmp, timeout: 2s, icmp: {preferred_ip_protocol: ip4}}
"""


@contextmanager
def peer(directory: Path, module: str, targets: Sequence[str]) -> Iterator[list[psutil.Process]]:
    """Run blackbox_exporter with a Prometheus that scrapes it once a second for every target."""
    directory.mkdir(parents=True)
    blackbox_port, prometheus_port = free_port(), free_port()
    (directory / "blackbox.yml").write_text(BLACKBOX)
    scrape = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "probe",
                "metrics_path": "/probe",
                "params": {"module": [module]},
                # Prometheus drops repeated targets: a label makes each one of its own.
                "static_configs": [{"targets": [t], "labels": {"n": str(n)}} for n, t in enumerate(targets)],
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["__param_target"], "target_label": "instance"},
                    {"target_label": "__address__", "replacement": f"127.0.0.1:{blackbox_port}"},
                ],
            }
        ],
    }
    (directory / "prometheus.yml").write_text(json.dumps(scrape))
    blackbox = (
        "prometheus-blackbox-exporter",
        f"--config.file={directory}/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{blackbox_port}",
        "--log.level=error",
    )
    prometheus = (
        "prometheus",
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/tsdb",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
        "--log.level=error",
    )
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(blackbox, directory / "blackbox.log")),
            stack.enter_context(started(prometheus, directory / "prometheus.log")),
        ]
        yield processes


def scraped(directory: Path) -> str:
    """Return what the peer's logs say, for when its figures look wrong."""
    return "\n".join(path.read_text(errors="replace")[-500:] for path in directory.glob("*.log"))


def versions() -> dict[str, str]:
    """Return the versions of the peers."""
    found = {}
    for name in ("prometheus", "prometheus-blackbox-exporter"):
        output = subprocess.run((name, "--version"), capture_output=True, text=True, check=False)
        text = output.stdout or output.stderr
        found[name] = text.split("version ")[1].split()[0].rstrip(",") if "version " in text else "?"
    found["cores"] = str(os.cpu_count())
    return found
