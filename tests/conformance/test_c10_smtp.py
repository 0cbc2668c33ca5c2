"""C10 for the kind `smtp`: a mail server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, serve, silent
from tests.probes.test_smtp import talking

TIMEOUT_S = 0.4


@pytest.mark.parametrize(
    ("handler", "parameters", "phase"),
    [
        (silent, {}, "greeting"),
        (silent, {"tls": "implicit"}, "tls"),
        (talking(), {}, "ehlo"),
        (talking(b"250-mx\r\n250-and more"), {}, "ehlo"),
        (talking(b"250-mx\r\n250 STARTTLS\r\n"), {}, "tls"),
        (talking(b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n"), {}, "tls"),
        (talking(b"250 mx\r\n"), {"rcpt_to": "a@example.vn"}, "envelope"),
        (talking(b"250 mx\r\n", b"250 OK\r\n"), {"rcpt_to": "a@example.vn"}, "envelope"),
    ],
)
async def test_c10_a_mail_server_that_falls_silent(handler, parameters, phase):
    async with serve(handler) as port:
        result = await run_once(prepare("smtp", f"127.0.0.1:{port}", parameters, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.2 * TIMEOUT_S
