"""Evidence: called by the first bad result of a target, once an episode, and never in a storm."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from alerts.model import CheckState, Result, State
from config.loader import load
from monitor.app import Monitor
from monitor.evidence import AGE_MAX_S, BURST, REST_S, STARTS_PER_S, Evidence
from monitor.jobs import Job
from probes import registry
from probes.model import Context, Failure, Measurement, Params
from tests.journey.product import free_port, until
from tests.responders import needs_root
from tests.topologies import chain


async def _never(_: Params, __: Context) -> Measurement:
    raise AssertionError("nothing is probed here")


def job(check: str, *, is_evidence: bool = False) -> Job:
    return Job(check, _never, None, 1.0, 60.0, 20.0, is_evidence=is_evidence)


def jobs(*checks: str) -> dict[str, Job]:
    return {check: job(check, is_evidence=check.endswith("path")) for check in checks}


LINK = jobs("a/icmp", "a/tcp", "a/path", "b/icmp")


def result(check: str, state: State, at_s: float = 1.0) -> Result:
    failure = Failure.PACKET_LOSS if state is not State.UP else None
    return Result(check, "t", int(at_s * 1000), 0.1, state, failure, "", {})


class Told:
    """An Evidence that is told one result at a time, with the state that its check is in."""

    def __init__(self, jobs_: dict[str, Job] = LINK) -> None:
        self.evidence = Evidence(jobs_)

    def __call__(self, check: str, outcome: State, now_s: float, state: State = State.UP) -> list[str]:
        self.evidence.note([result(check, outcome)], {check: CheckState(state)}, now_s)
        return self.evidence.take(now_s)


def test_the_first_bad_result_calls_it_and_the_next_ones_do_not() -> None:
    told = Told()
    assert told("a/icmp", State.UP, 0) == []
    assert told("a/icmp", State.DOWN, 10) == ["a/path"]
    assert told("a/icmp", State.DOWN, 13) == []
    assert told("a/tcp", State.DEGRADED, 14) == []
    assert told("a/icmp", State.DOWN, 500, State.DOWN) == [], "it is the same episode"


def test_a_confirmed_recovery_ends_the_episode() -> None:
    told = Told()
    assert told("a/icmp", State.DEGRADED, 0) == ["a/path"]
    told("a/tcp", State.DOWN, 1)
    told("a/icmp", State.UP, REST_S, State.DOWN)  # not confirmed yet
    told("a/icmp", State.UP, REST_S, State.UP)
    assert told("a/icmp", State.DOWN, REST_S + 1) == [], "the other check is still bad"
    told("a/icmp", State.UP, REST_S + 2)
    told("a/tcp", State.UP, REST_S + 2)
    assert told("a/icmp", State.DOWN, REST_S + 3) == ["a/path"]


def test_a_target_that_comes_and_goes_is_not_asked_again_and_again() -> None:
    told = Told()
    calls = [told("a/icmp", State.DOWN if turn % 2 == 0 else State.UP, turn) for turn in range(int(3 * REST_S))]
    assert sum(map(len, calls)) == 3


@pytest.mark.parametrize("state", [State.UP, State.UNKNOWN])
def test_what_is_not_bad_calls_nothing(state: State) -> None:
    assert Told()("a/icmp", state, 0, State.UNKNOWN) == []


def test_neither_the_evidence_itself_nor_a_target_without_any_calls() -> None:
    told = Told()
    assert told("a/path", State.DOWN, 0) == []
    assert told("b/icmp", State.DOWN, 0) == []
    assert told("gone/icmp", State.DOWN, 0) == []


def test_three_thousand_links_that_fail_together_are_no_storm() -> None:
    names = [f"link-{number}" for number in range(3000)]
    evidence = Evidence(jobs(*(f"{name}/{check}" for name in names for check in ("icmp", "path"))))
    evidence.note([result(f"{name}/icmp", State.DOWN) for name in names], {}, 0.0)
    starts: dict[float, list[str]] = {}
    for tick in range(300):
        starts[tick / 10] = evidence.take(tick / 10)
    started = [check for checks in starts.values() for check in checks]
    assert len(starts[0.0]) == BURST
    assert max(len(checks) for now_s, checks in starts.items() if now_s) <= STARTS_PER_S / 10 + 1
    assert started == [f"{name}/path" for name in names[: len(started)]], "who failed first comes first"
    assert len(started) == pytest.approx(BURST + AGE_MAX_S * STARTS_PER_S, abs=3)
    assert evidence.dropped == 3000 - len(started)


def test_a_reload_keeps_the_episode_and_forgets_what_is_gone() -> None:
    told = Told()
    told("a/icmp", State.DOWN, 0)
    told.evidence.replace_jobs(jobs("a/icmp", "a/path", "c/icmp", "c/path"))
    assert told("a/icmp", State.DOWN, REST_S + 1) == []
    assert told("c/icmp", State.DOWN, REST_S + 1) == ["c/path"]
    told.evidence.replace_jobs(jobs("c/icmp"))
    assert told("c/icmp", State.DOWN, 9 * REST_S) == []


def test_the_kind_path_is_evidence_and_ping_is_not() -> None:
    assert registry.find("path").is_evidence
    assert not registry.find("icmp").is_evidence
    assert replace(job("a/x"), is_evidence=True).is_evidence


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(100)
        yield server


@contextlib.asynccontextmanager
async def monitoring(tmp_path: Path, *checks: dict[str, str]) -> AsyncIterator[Monitor]:
    """A running monitor of one link with these checks."""
    document = {
        "settings": {
            "store": f"sqlite:///{tmp_path}/thongsuot.db",
            "spool": str(tmp_path / "spool"),
            "listen": f"127.0.0.1:{free_port()}",
        },
        "targets": [{"id": "link", "type": "link", "checks": list(checks)}],
    }
    config = tmp_path / "config"
    config.mkdir()
    (config / "all.yaml").write_text(yaml.safe_dump(document))
    monitor = await Monitor.open(config, load(config, environ={}))
    try:
        await monitor.start()
        yield monitor
    finally:
        await monitor.stop()


ONCE_A_DAY = {"probe": "path", "interval": "1d", "wait": "300ms"}
"""A check whose own turn is a second of a whole day: what runs it here is the failure of another."""


async def test_a_running_monitor_traces_the_path_when_another_check_turns_bad(tmp_path: Path) -> None:
    with listening() as server:
        tcp = {"probe": "tcp", "address": f"127.0.0.1:{server.getsockname()[1]}", "interval": "1s"}
        path = {**ONCE_A_DAY, "address": "127.0.0.1", "method": "udp"}
        async with monitoring(tmp_path, tcp, path) as monitor:
            states = monitor._core.memory.checks
            await until(lambda: states["link/tcp"].state is State.UP, "the check is up")
            assert states["link/path"].last_at_ms == 0
            server.close()
            await until(lambda: states["link/path"].last_at_ms, "the path was traced")
            assert states["link/tcp"].recent or states["link/tcp"].state is State.DOWN
            assert states["link/path"].state is State.UP


@needs_root
async def test_what_is_stored_of_a_failing_link_names_the_router_where_its_path_ends(tmp_path: Path) -> None:
    with chain(2, awaits_ipv6=False) as made, made.visited():
        icmp = {"probe": "icmp", "address": "10.0.3.2", "interval": "1s", "wait": "200ms"}
        async with monitoring(tmp_path, icmp, {**ONCE_A_DAY, "address": "10.0.3.2"}) as monitor:
            states = monitor._core.memory.checks
            await until(lambda: states["link/icmp"].state is State.UP, "the link is up")
            made.drop("r1", "forward drop")

            async def evidence() -> Result | None:
                results = [r async for r in monitor._store.export_results(0, 1 << 53) if r.check == "link/path"]
                return results[0] if results else None

            found = await until(evidence, "the path was traced")
    assert (found.state, found.failure) == (State.DOWN, Failure.PACKET_LOSS)
    assert found.message.startswith("no answer from 10.0.3.2; the last hop that answers is 1, 10.0.1.2")
    assert found.samples["last_hop"] == 1
