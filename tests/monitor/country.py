"""A small configured country, and a history of results run through the real core into a store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alerts.core import Core
from alerts.model import IncidentEvent, Memory, Notification, Result, State, Transition
from config.loader import load
from config.model import Inventory
from config.rules import rules_of
from monitor.records import Batch, CheckNow, TargetNow
from monitor.store import Store
from probes.model import Failure
from tests.monitor.samples import rollups_of

CONFIGURATION = """
settings: {timezone: Asia/Ho_Chi_Minh, language: vi, simulated: true}
agencies:
  - {id: BCA, name: {vi: Bộ Công an, en: Ministry of Public Security}}
  - {id: BTC, name: Bộ Tài chính}
sites:
  - {id: hn, name: {vi: Hà Nội}, province: "01", lat: 21.0285, lon: 105.8542}
receivers:
  - {id: noc, channel: webhook, url: "http://127.0.0.1:9/"}
routes:
  - {receivers: [noc]}
targets:
  - id: link
    type: link
    name: Đường truyền
    agency: BTC
    site: hn
    members: [link-a, link-b]
    policy: any
  - {id: link-a, type: link, checks: [{probe: icmp, address: 127.0.0.1, interval: 10s, timeout: 2s}]}
  - {id: link-b, type: link, checks: [{probe: icmp, address: 127.0.0.2, interval: 10s, timeout: 2s}]}
  - id: dan-cu
    type: endpoint
    name: {vi: Dân cư, en: Population}
    agency: BCA
    criticality: 1
    depends_on: [link]
    objective: {availability: 0.999}
    checks:
      - {probe: http, url: "http://127.0.0.1:9/x?token=${env:TOKEN}", interval: 10s, timeout: 2s}
      - {probe: tcp, address: "127.0.0.1:9", interval: 10s, timeout: 2s, critical: false}
"""
INTERVAL_MS = 10_000


def configured(directory: Path, text: str = CONFIGURATION) -> Inventory:
    """Return the inventory that this configuration text gives."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "country.yaml").write_text(text)
    return load(directory, environ={"TOKEN": "bi-mat"})


def result(check: str, at_ms: int, state: State = State.UP, **samples: float) -> Result:
    """Return a result of a check; one that is down was refused."""
    failure = Failure.CONNECT_REFUSED if state is State.DOWN else None
    message = "connection refused" if failure else ""
    if not samples:
        samples = {"connect_s": 0.002}
        if check.endswith("/icmp"):
            samples = {"loss_ratio": 1.0} if failure else {"rtt_mean_s": 0.02, "loss_ratio": 0.0}
    return Result(check, "local", at_ms, 0.03, state, failure, message, samples)


def steady(checks: Iterable[str], from_ms: int, to_ms: int, state: State = State.UP) -> list[Result]:
    """Return a result of every check every 10 s."""
    return [result(check, at_ms, state) for at_ms in range(from_ms, to_ms, INTERVAL_MS) for check in checks]


async def live_through(store: Store, inventory: Inventory, results: Iterable[Result], until_ms: int) -> Memory:
    """Let the core decide on results, and save what the engine would save; return the core's memory."""
    core = Core(rules_of(inventory))
    batch, last = Batch(results=sorted(results, key=lambda r: r.at_ms)), dict[str, Result]()
    by_sample: dict[str, list[Result]] = {}
    events = []
    for one in batch.results:
        events += core.feed(one)
        last[one.check] = one
    events += core.advance(until_ms)
    batch.transitions = [event for event in events if isinstance(event, Transition)]
    batch.incidents = list({e.incident.id: e.incident for e in events if isinstance(e, IncidentEvent)}.values())
    batch.notifications = [event for event in events if isinstance(event, Notification)]
    batch.checks = [
        CheckNow(id_, core.memory.checks[id_], found.duration_s, found.samples.get("loss_ratio"), (0.03, None))
        for id_, found in last.items()
    ]
    batch.targets = [TargetNow(id_, state) for id_, state in core.memory.targets.items()]
    for one in batch.results:
        sample = "rtt_mean_s" if one.check.endswith("/icmp") else ("connect_s" if one.check.endswith("/tcp") else "")
        by_sample.setdefault(sample, []).append(one)
    batch.rollups = [rollup for sample, ones in by_sample.items() for rollup in rollups_of(ones, sample)]
    await store.sync_inventory(inventory)
    await store.save(batch)
    await store.beat(until_ms)
    return core.memory
