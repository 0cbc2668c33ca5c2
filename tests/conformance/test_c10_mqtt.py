"""C10 for the kind `mqtt`: a broker that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, serve
from tests.probes.test_mqtt import CONNACK, PINGRESP, SUBACK, answering

TIMEOUT_S = 0.4


@pytest.mark.parametrize(
    ("answers", "parameters", "phase"),
    [
        ((), {}, "login"),
        ((), {"tls": True}, "tls"),
        ((CONNACK[:3],), {}, "login"),
        ((CONNACK,), {}, "ping"),
        ((CONNACK, PINGRESP), {"topic": "t"}, "subscribe"),
        ((CONNACK, PINGRESP, SUBACK), {"echo_topic": "t"}, "round_trip"),
        ((CONNACK, PINGRESP, SUBACK, b"\x30\5\0\1tno"), {"echo_topic": "t"}, "round_trip"),
    ],
)
async def test_c10_a_broker_that_falls_silent(answers, parameters, phase):
    async with serve(answering(*answers)) as port:
        result = await run_once(prepare("mqtt", f"127.0.0.1:{port}", parameters, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.2 * TIMEOUT_S
