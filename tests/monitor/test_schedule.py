"""The schedule: every check at its own phase, never twice at once, and retries in between."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.jobs import Job
from monitor.schedule import Schedule, next_start, phase_of
from probes.model import Context, Measurement, Params


async def _never(_: Params, __: Context) -> Measurement:
    raise AssertionError("only starts are counted here")


def job(name: str, interval_s: float = 1.0, retry_s: float = 0.05) -> Job:
    return Job(name, _never, None, 1.0, interval_s, retry_s)


class Starts:
    """Takes note of starts; what is in `busy` is still running."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = {}
        self.busy: set[str] = set()

    def __call__(self, job: Job) -> bool:
        self.at.setdefault(job.id, []).append(time.time())
        return job.id not in self.busy


@given(st.text(min_size=1, max_size=30), st.floats(1, 86400), st.floats(0, 4e9))
def test_the_next_start_is_later_and_at_the_phase(check: str, interval_s: float, after_s: float) -> None:
    start = next_start(check, interval_s, after_s)
    assert after_s < start <= after_s + 2 * interval_s
    turns = (start - phase_of(check, interval_s)) / interval_s
    assert turns == pytest.approx(round(turns), abs=1e-3)


def test_phases_are_spread_evenly() -> None:
    phases = [phase_of(f"link-{n}/icmp", 10.0) for n in range(10_000)]
    per_second = [sum(second <= phase < second + 1 for phase in phases) for second in range(10)]
    assert 900 < min(per_second) <= max(per_second) < 1100


async def test_a_check_starts_at_its_phase_again_and_again() -> None:
    starts = Starts()
    schedule = Schedule(starts)
    jobs = {f"c{n}": job(f"c{n}", interval_s=0.1) for n in range(20)}
    schedule.run(jobs)
    await asyncio.sleep(0.55)
    schedule.stop()
    for check, times in starts.at.items():
        assert 4 <= len(times) <= 6
        assert len({round((at - phase_of(check, 0.1)) / 0.1) for at in times}) == len(times), "one start per turn"
    assert len(starts.at) == 20


async def test_a_turn_that_finds_the_check_running_is_missed_and_counted() -> None:
    starts = Starts()
    starts.busy.add("slow")
    schedule = Schedule(starts)
    schedule.run({"slow": job("slow", interval_s=0.1)})
    await asyncio.sleep(0.35)
    schedule.stop()
    assert schedule.missed == len(starts.at["slow"]) >= 2


async def test_a_retry_comes_forward_and_the_regular_turns_go_on() -> None:
    starts = Starts()
    schedule = Schedule(starts)
    schedule.run({"c": job("c", interval_s=50.0, retry_s=0.05)})
    schedule.retry("c", time.time())
    schedule.retry("c", time.time() + 30)  # later than what is planned: changes nothing
    await asyncio.sleep(0.2)
    assert len(starts.at["c"]) == 1
    schedule.retry("unknown", time.time())
    schedule.stop()


@pytest.mark.parametrize("step_s", [-3600, 3600])
async def test_a_clock_that_is_set_neither_hurries_a_retry_nor_holds_it_up(
    step_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts()
    schedule = Schedule(starts)
    schedule.run({"c": job("c", interval_s=5000.0, retry_s=0.3)})
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + step_s)
    begun = time.monotonic()
    schedule.retry("c", time.time())
    async with asyncio.timeout(30):
        while "c" not in starts.at:
            await asyncio.sleep(0.01)
    assert time.monotonic() - begun >= 0.3
    assert schedule.take_lateness() < 60
    schedule.stop()


async def test_a_reload_keeps_phase_and_retry_of_what_stays() -> None:
    starts = Starts()
    schedule = Schedule(starts)
    schedule.run({"stays": job("stays", 50.0), "goes": job("goes", 0.05)})
    schedule.retry("stays", time.time())
    schedule.run({"stays": job("stays", 50.0), "comes": job("comes", 0.05)})
    await asyncio.sleep(0.2)
    schedule.stop()
    assert len(starts.at["stays"]) == 1
    assert "goes" not in starts.at
    assert starts.at["comes"]


async def test_nothing_starts_after_the_stop() -> None:
    starts = Starts()
    schedule = Schedule(starts)
    schedule.run({"c": job("c", 0.02)})
    schedule.stop()
    await asyncio.sleep(0.1)
    assert starts.at == {}
