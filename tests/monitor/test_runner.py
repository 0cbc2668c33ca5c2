"""The runner: seats, deadlines, and the one broad except."""

import asyncio
from typing import Any

from alerts.model import Result, State
from monitor.jobs import Job
from monitor.runner import Runner, measure
from probes.conditions import compile_condition
from probes.kinds import http
from probes.model import Context, Failure, Measurement, Resources


def job(run: Any, name: str = "t/c", timeout_s: float = 0.2) -> Job:
    return Job(name, run, None, timeout_s, 1.0, 1.0)


async def _up(_: None, __: Context) -> Measurement:
    return Measurement({"connect_s": 0.00123456789, "loss_ratio": 1 / 3, "status": 200})


async def _hangs(_: None, context: Context) -> Measurement:
    context.phases.begin("connect")
    await asyncio.sleep(0)
    context.phases.begin("login")
    await asyncio.sleep(60)
    raise AssertionError("the deadline comes first")


async def _hangs_connecting(_: None, context: Context) -> Measurement:
    context.phases.begin("connect")
    await asyncio.sleep(60)
    raise AssertionError("the deadline comes first")


async def _raises(_: None, __: Context) -> Measurement:
    raise KeyError("secret-value")


async def test_a_result_is_stamped_and_its_samples_are_rounded_to_what_is_meant() -> None:
    result = await measure(job(_up), Resources(), "hn-1")
    assert (result.check, result.agent, result.state, result.failure) == ("t/c", "hn-1", State.UP, None)
    assert result.samples == {"connect_s": 0.001235, "loss_ratio": 0.333333, "status": 200}
    assert 0 <= result.duration_s < 0.2


async def test_the_deadline_stops_a_probe_and_names_the_phase() -> None:
    result = await measure(job(_hangs), Resources(), "a")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == "no answer within 0.2 s in login"
    assert 0.2 <= result.duration_s < 0.3
    assert set(result.samples) == {"connect_s", "login_s"}


async def test_a_deadline_while_connecting_is_a_failure_of_the_transport() -> None:
    result = await measure(job(_hangs_connecting), Resources(), "a")
    assert result.failure is Failure.CONNECT_TIMEOUT


class _Broken(dict[str, Any]):
    """Facts that cannot be read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("secret-value")


async def test_a_bug_in_what_conditions_look_at_is_a_result_too() -> None:
    async def run(_: None, __: Context) -> Measurement:
        return Measurement({"status": 200}, facts=_Broken())

    conditions = (compile_condition("body == ''", http.PROBE),)
    result = await measure(Job("t/c", run, None, 0.2, 1.0, 1.0, down_when=conditions), Resources(), "a")
    assert (result.state, result.failure) == (State.UNKNOWN, Failure.INTERNAL)
    assert result.message == "RuntimeError in the probe"


async def test_a_bug_in_a_probe_is_unknown_never_down_and_tells_no_secret() -> None:
    result = await measure(job(_raises), Resources(), "a")
    assert (result.state, result.failure) == (State.UNKNOWN, Failure.INTERNAL)
    assert "secret" not in result.message


async def test_no_more_run_at_once_than_there_are_seats_and_none_twice() -> None:
    running, most, results = 0, 0, []

    async def run(_: None, __: Context) -> Measurement:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return Measurement()

    async def deliver(result: Result) -> None:
        results.append(result.check)

    runner = Runner(Resources(), "a", 3, deliver)
    assert all(runner.start(job(run, f"c{n}")) for n in range(10))
    assert not runner.start(job(run, "c0"))
    assert runner.waiting == 7
    while len(results) < 10:
        await asyncio.sleep(0.005)
    assert most == 3
    assert sorted(results) == [f"c{n}" for n in range(10)]
    await asyncio.sleep(0)
    assert runner.start(job(run, "c0"))
    await runner.aclose()


async def test_a_slow_taker_keeps_the_seats() -> None:
    gate, taken = asyncio.Event(), []

    async def deliver(result: Result) -> None:
        await gate.wait()
        taken.append(result.check)

    runner = Runner(Resources(), "a", 2, deliver)
    for n in range(4):
        runner.start(job(_up, f"c{n}"))
    await asyncio.sleep(0.05)
    assert runner.waiting == 2
    gate.set()
    while len(taken) < 4:
        await asyncio.sleep(0.005)
    await runner.aclose()


async def test_closing_leaves_nothing_running() -> None:
    runner = Runner(Resources(), "a", 2, _drop)
    for n in range(4):
        runner.start(job(_hangs, f"c{n}", timeout_s=30.0))
    await asyncio.sleep(0.01)
    await runner.aclose()
    assert len(asyncio.all_tasks()) == 1


async def _drop(_: Result) -> None:
    """Take nothing note of."""


async def test_what_was_measured_and_waits_for_room_is_kept_when_it_closes() -> None:
    waits = asyncio.Event()

    async def has_no_room(_: Result) -> None:
        waits.set()
        await asyncio.sleep(60)

    runner = Runner(Resources(), "a", 2, has_no_room)
    runner.start(job(_up, "t/up"))
    await waits.wait()
    runner.start(job(_hangs, "t/hangs", timeout_s=60))
    await asyncio.sleep(0)
    await runner.aclose()
    assert [result.check for result in runner.undelivered] == ["t/up"]
