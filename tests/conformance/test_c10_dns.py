"""C10 for the kind `dns`: a server that never answers ends within time-out + 0.1 s, naming the phase."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.dns_servers import name_server
from tests.probes.tcp_servers import SLACK_S

TIMEOUT_S = 0.9


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_c10_a_name_server_that_never_answers(transport):
    async with name_server(lambda query: []) as server:
        parameters = {"server": server.address, "transport": transport}
        result = await run_once(prepare("dns", "example.vn", parameters, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.DNS_TIMEOUT)
    assert result.message.startswith(f"no answer within {TIMEOUT_S} s in query")
    assert 0.7 * TIMEOUT_S < result.duration_s < TIMEOUT_S + SLACK_S
    assert len(server.udp) == (3 if transport == "udp" else 0)
