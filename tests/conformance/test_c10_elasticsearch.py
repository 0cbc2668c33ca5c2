"""C10 for the kinds `elasticsearch` and `opensearch`: silence in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, saying, serve, silent

TIMEOUT_S = 0.4
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize(
    ("handler", "scheme", "phase"),
    [(silent, "https", "tls"), (silent, "http", "first_byte"), (saying(HALF), "http", "transfer")],
)
async def test_c10_a_cluster_that_falls_silent(kind, handler, scheme, phase):
    async with serve(handler) as port:
        result = await run_once(prepare(kind, f"{scheme}://127.0.0.1:{port}", {}, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
