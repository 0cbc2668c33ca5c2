"""C10 for the kind `mysql`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.mysql_servers import OK, greeting, logging_in, packet
from tests.probes.tcp_servers import SLACK_S, saying, serve, silent

TIMEOUT_S = 0.4
ONE = packet(1, b"\0\0\0\2\0\0\0")


@pytest.mark.parametrize(
    ("handler", "options", "phase"),
    [
        (silent, "", "login"),
        (saying(greeting(more=0x800)), "?sslmode=require", "tls"),
        (saying(greeting()), "", "login"),
        (logging_in(b"\x01\x03"), "", "login"),
        (logging_in(OK), "", "query"),
        (logging_in(OK, then=ONE), "", "details"),
    ],
)
@pytest.mark.parametrize("session", ["new", "keep"])
async def test_c10_a_database_that_falls_silent(handler, options, phase, session):
    async with serve(handler) as port:
        dsn = f"mysql://user:secret@127.0.0.1:{port}/db{options}"
        result = await run_once(prepare("mysql", dsn, {"session": session}, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.5 * TIMEOUT_S
