"""`/metrics` in the Prometheus text format.

Per-check series are written by hand, off the event loop: prometheus-client takes 53 ms for 10,000 gauges where
text takes about 1 ms. The names are those of blackbox_exporter where it has one. The engine's own figures go
through prometheus-client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from alerts.model import Result, State, TargetState
from config.model import Inventory

PHASES = {
    "resolve_s": "resolve",
    "connect_s": "connect",
    "tls_s": "tls",
    "first_byte_s": "processing",
    "transfer_s": "transfer",
}
"""Our phases by the names that blackbox_exporter gives them."""

STATE_CODES = {State.UP: 0, State.DEGRADED: 1, State.DOWN: 2, State.UNKNOWN: 3}

_HELP = {
    "probe_success": "Whether the check's last result was up or degraded",
    "probe_duration_seconds": "How long the check's last run took",
    "probe_http_duration_seconds": "Duration of the last HTTP request by phase, summed over redirects",
    "probe_http_status_code": "Status code of the last HTTP response",
    "probe_http_redirects": "Redirects followed by the last HTTP request",
    "probe_http_uncompressed_body_length": "Decoded length of the last HTTP body in bytes",
    "probe_icmp_duration_seconds": "Duration of the last ICMP check by phase",
    "probe_dns_lookup_time_seconds": "How long the last name resolution took",
    "probe_dns_answer_rrs": "Resource records in the last DNS answer",
    "probe_ssl_earliest_cert_expiry": "When the last seen certificate expires, in seconds since the epoch",
    "thongsuot_sample": "Every sample of the check's last result, by its documented name",
    "thongsuot_check_state": "Confirmed state of the check: 0 up, 1 degraded, 2 down, 3 unknown",
    "thongsuot_target_state": "State of the target: 0 up, 1 degraded, 2 down, 3 unknown",
}


def escape(value: str) -> str:
    """Return the value as it may stand between the quotes of a label."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def series_of(kind: str, result: Result) -> Iterator[tuple[str, str, float]]:
    """Yield (name, further labels, value) for one result in blackbox_exporter's names."""
    samples = result.samples
    yield "probe_success", "", float(result.state in (State.UP, State.DEGRADED))
    yield "probe_duration_seconds", "", result.duration_s
    if kind == "http":
        for sample, phase in PHASES.items():
            if sample in samples:
                yield "probe_http_duration_seconds", f'phase="{phase}"', samples[sample]
        yield from _renamed(
            samples,
            {
                "status": "probe_http_status_code",
                "redirects": "probe_http_redirects",
                "body_bytes": "probe_http_uncompressed_body_length",
            },
        )
    elif kind == "icmp":
        for sample, phase in (("resolve_s", "resolve"), ("rtt_mean_s", "rtt")):
            if sample in samples:
                yield "probe_icmp_duration_seconds", f'phase="{phase}"', samples[sample]
    elif kind == "dns":
        yield from _renamed(samples, {"answer_records": "probe_dns_answer_rrs"})
    yield from _renamed(samples, {"resolve_s": "probe_dns_lookup_time_seconds"})
    if "cert_expires_s" in samples:
        yield "probe_ssl_earliest_cert_expiry", "", round(result.known_at_ms / 1000 + samples["cert_expires_s"], 3)


def _renamed(samples: Mapping[str, float], names: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    for sample, name in names.items():
        if sample in samples:
            yield name, "", samples[sample]


class Page:
    """Collects series and writes them grouped by name, as the format asks."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def add(self, name: str, labels: str, value: float) -> None:
        """Add one series; `labels` is the text between the braces. Fifteen digits: a hash of 48 bits stays itself."""
        self._lines.setdefault(name, []).append(f"{name}{{{labels}}} {value:.15g}\n" if labels else f"{name} {value}\n")

    def text(self) -> str:
        """Return everything added."""
        parts = []
        for name, lines in self._lines.items():
            parts.append(f"# HELP {name} {_HELP.get(name, name)}\n# TYPE {name} gauge\n")
            parts += lines
        return "".join(parts)


def check_labels(inventory: Inventory) -> dict[str, tuple[str, str]]:
    """Return (probe kind, labels) by check id."""
    labels = {}
    for target in inventory.targets.values():
        for check in target.checks:
            pairs = {"target": target.id, "check": check.id, "agency": target.agency, "site": target.site}
            labels[check.id] = (check.probe, ",".join(f'{name}="{escape(v)}"' for name, v in pairs.items()))
    return labels


def checks_text(
    labels: Mapping[str, tuple[str, str]],
    last: Mapping[str, Result],
    check_states: Mapping[str, State],
    targets: Mapping[str, TargetState],
) -> str:
    """Return the per-check and per-target part of the page. Takes copies: it runs in a thread."""
    page = Page()
    for check, result in last.items():
        if check not in labels:
            continue
        kind, pairs = labels[check]
        for name, further, value in series_of(kind, result):
            page.add(name, f"{pairs},{further}" if further else pairs, value)
        for sample, value in result.samples.items():
            page.add("thongsuot_sample", f'{pairs},sample="{sample}"', value)
    for check, state in check_states.items():
        if check in labels:
            page.add("thongsuot_check_state", labels[check][1], STATE_CODES[state])
    for target, now in targets.items():
        page.add("thongsuot_target_state", f'target="{escape(target)}"', STATE_CODES[now.state])
    return page.text()


def probe_text(kind: str, result: Result, more: Iterable[tuple[str, str, float]] = ()) -> str:
    """Return the answer to `/probe`: one result, in blackbox_exporter's names; of `more`, what is not there yet."""
    page = Page()
    series = {(name, further): value for name, further, value in more}
    series |= {(name, further): value for name, further, value in series_of(kind, result)}
    for (name, further), value in series.items():
        page.add(name, further, value)
    for sample, value in result.samples.items():
        page.add("thongsuot_sample", f'sample="{sample}"', value)
    return page.text()


Figure = tuple[str, str, str, Callable[[], float]]
"""(`counter` or `gauge`, name, help, how to read it)"""


class EngineCollector(Collector):
    """The engine's own figures, read when they are asked for."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = tuple(figures)

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        for kind, name, explanation, read in self._figures:
            family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            yield family(name, explanation, value=read())


def engine_registry(figures: Iterable[Figure]) -> CollectorRegistry:
    """Return a registry of its own with the engine's figures: nothing global is touched."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(figures))
    return registry


def engine_text(registry: CollectorRegistry) -> str:
    """Return the engine's part of the page."""
    return generate_latest(registry).decode()
