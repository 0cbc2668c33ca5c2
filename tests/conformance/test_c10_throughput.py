"""C10 for the kind `throughput`: a far end that falls silent in any phase ends in `timeout` naming it."""

import asyncio

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, serve, silent
from tests.probes.test_throughput_hostile import KEY, agreeing, going_and_reading

TIMEOUT_S = 1.8


async def never_reading(_reader, writer):
    """Says that the agent may send, and takes nothing more than the kernel's buffers do."""
    writer.write(b"GO\n")
    writer.transport.pause_reading()
    await writer.wait_closed()


SILENCES = (
    (silent, "forward", "agree"),
    (agreeing(silent), "forward", "forward"),
    (agreeing(going_and_reading), "forward", "forward"),
    (agreeing(never_reading), "forward", "forward"),
    (agreeing(silent), "backward", "backward"),
)


async def fall_silent(handler, direction):
    async with serve(handler) as port:
        params = {"key": KEY, "duration": "200ms", "direction": direction}
        return await run_once(prepare("throughput", f"127.0.0.1:{port}", params, TIMEOUT_S), "test")


async def test_c10_a_far_end_that_falls_silent():
    results = await asyncio.gather(*(fall_silent(handler, direction) for handler, direction, _ in SILENCES))
    for result, (_, _, phase) in zip(results, SILENCES, strict=True):
        assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
        assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
        assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
