"""C10 for the kind `kafka`: a broker that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.kafka_servers import array, text
from tests.probes.tcp_servers import SLACK_S, saying, serve
from tests.probes.test_kafka import LOGIN, answering, versions

TIMEOUT_S = 0.4


@pytest.mark.parametrize(
    ("handler", "parameters", "phase"),
    [
        (answering(), {}, "login"),
        (answering(), {"tls": True}, "tls"),
        (saying(b"\0\0\1\0\0\0"), {}, "login"),
        (answering(versions()), LOGIN, "login"),
        (answering(versions(), b"\0\0" + array(text("SCRAM-SHA-256"))), LOGIN, "login"),
        (answering(versions()), {}, "metadata"),
    ],
)
async def test_c10_a_broker_that_falls_silent(handler, parameters, phase):
    async with serve(handler) as port:
        result = await run_once(prepare("kafka", f"127.0.0.1:{port}", parameters, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.2 * TIMEOUT_S
