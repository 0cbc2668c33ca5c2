"""The runner: takes a seat, sets the deadline, calls the probe, judges and stamps the result.

It is the only broad `except` of the product: whatever a probe raises becomes `internal`, with state `unknown`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter
from traceback import extract_tb
from typing import NamedTuple

from alerts.model import Result
from alerts.outcome import judge
from monitor.jobs import Job
from monitor.logs import log_error
from probes.model import Context, Failure, Measurement, Resources
from probes.secrecy import secrets_in, without_secrets

Deliver = Callable[[Result], Awaitable[None]]


class Observation(NamedTuple):
    """One run of a probe, with what is never stored of it.

    Attributes:
        result: the stamped result.
        measurement: what the probe returned, facts included.
        phases: the phases that it went through, in order.
        peer: the address that it spoke to last, "" where it came to none.

    """

    result: Result
    measurement: Measurement
    phases: tuple[str, ...]
    peer: str = ""


async def measure(job: Job, resources: Resources, agent: str) -> Result:
    """Run a job once, within its time-out, and return the stamped result."""
    return (await observe(job, resources, agent)).result


async def observe(job: Job, resources: Resources, agent: str) -> Observation:
    """Run a job once, within its time-out, and return the stamped result with all that was seen.

    The start is wall-clock time (UTC); the duration comes from the monotonic clock, and leaves out what the probe does
    before its first phase and after its last, unless time ran out. The probe is cancelled at its deadline, and the
    phase that it died in decides which failure that is.
    """
    loop = asyncio.get_running_loop()
    at_ms = time.time_ns() // 1_000_000
    started = perf_counter()
    context = Context(job.timeout_s, loop.time() + job.timeout_s, resources, check=job.id)
    deadline = _Deadline(loop, context.deadline)
    try:
        measurement = await job.run(job.params, context)
        duration_s = context.phases.span_s(started)
        verdict = judge(measurement, duration_s, job.down_when, job.degraded_when)
    except asyncio.CancelledError:
        if not deadline.was_why():
            raise
        measurement = _timed_out(context)
        duration_s = perf_counter() - started
        verdict = judge(measurement, duration_s, job.down_when, job.degraded_when)
    except Exception as error:  # noqa: BLE001 - a probe's bug must not stop the others
        # Neither the message nor local variables: either may hold a secret or whatever the peer sent.
        frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
        log_error("a probe raised", check=job.id, error=type(error).__name__, frames=frames)
        measurement = Measurement(failure=Failure.INTERNAL, message=f"{type(error).__name__} in the probe")
        duration_s = perf_counter() - started
        verdict = judge(measurement, duration_s, (), ())
    finally:
        deadline.lift()
    state, failure, message = verdict
    if message:
        message = without_secrets(message, secrets_in(job.params))
    samples = {name: round(value, 6) for name, value in measurement.samples.items()}
    result = Result(job.id, agent, at_ms, round(duration_s, 6), state, failure, message, samples)
    return Observation(result, measurement, tuple(context.phases.samples), context.peer)


class _Deadline:
    """Cancels the task that made it at a time on the loop's clock.

    It does what `asyncio.timeout_at` does, at half the cost, which counts a thousand times a second.
    """

    __slots__ = ("_handle", "_passed", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._passed = False
        self._task = asyncio.current_task(loop)
        self._handle = loop.call_at(when, self._pass)

    def _pass(self) -> None:
        self._passed = True
        if self._task is not None:
            self._task.cancel()

    def was_why(self) -> bool:
        """Say whether the deadline, and nobody else, cancelled the task; if so, take the cancellation back."""
        return self._passed and self._task is not None and self._task.uncancel() == 0

    def lift(self) -> None:
        """Let the task run on."""
        self._handle.cancel()


def _timed_out(context: Context) -> Measurement:
    from probes.failures import failure_of_timeout  # noqa: PLC0415 - pulls in ssl and DNS; not on the cold path

    phase = context.phases.current
    context.phases.end()
    where = f" in {phase}" if phase else ""
    message = f"no answer within {context.timeout_s:g} s{where}"
    return Measurement(context.phases.samples, failure_of_timeout(phase), message)


class Runner:
    """Runs jobs side by side, at most `seats` at once; the others wait in the order in which they came.

    A result is delivered before its seat is free again: when delivery is slow, probing slows down with it.

    Attributes:
        running: ids of the checks that have a seat or wait for one.
        waiting: how many wait for a seat.
        undelivered: what was measured when `aclose` came, and was waiting for room in the queue.

    """

    def __init__(self, resources: Resources, agent: str, seats: int, deliver: Deliver) -> None:
        self._resources = resources
        self._agent = agent
        self._free = seats
        self._deliver = deliver
        self._queue: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.running: set[str] = set()
        self.undelivered: list[Result] = []

    @property
    def waiting(self) -> int:
        """How many jobs wait for a seat."""
        return len(self._queue)

    def start(self, job: Job) -> bool:
        """Start the job, or queue it for a seat. Returns False when it is running or waiting already."""
        if job.id in self.running:
            return False
        self.running.add(job.id)
        if self._free > 0:
            self._free -= 1
            self._seat(job)
        else:
            self._queue.append(job)
        return True

    def _seat(self, job: Job) -> None:
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        try:
            result = await measure(job, self._resources, self._agent)
            try:
                await self._deliver(result)
            except asyncio.CancelledError:
                self.undelivered.append(result)
                raise
        finally:
            self.running.discard(job.id)
            if self._queue:
                self._seat(self._queue.popleft())
            else:
                self._free += 1

    async def aclose(self) -> None:
        """Drop what waits, stop what runs, and wait for it to end; what was not finished is not a result.

        What was, and could not be delivered yet, is `undelivered`.
        """
        self._queue.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
