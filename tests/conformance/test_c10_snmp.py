"""C10 for the kinds that ask an SNMP agent: one that takes everything and answers nothing ends in `timeout`."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.snmp_fixtures import agent, login_of
from tests.probes.tcp_servers import SLACK_S

TIMEOUT_S = 0.4


@pytest.mark.parametrize("login", [{"community": "cong-dong"}, login_of("sha256")])
@pytest.mark.parametrize("kind", ["snmp", "bgp", "ospf"])
async def test_c10_an_agent_that_says_nothing(kind, login):
    async with agent(lambda _data: []) as address:
        result = await run_once(prepare(kind, address, login, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message.startswith(f"no answer from {address} in query")
    assert 0.5 * TIMEOUT_S < result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples["query_s"] > 0.5 * TIMEOUT_S


@pytest.mark.parametrize("parameters", [{}, {"interface": "1"}, {"interfaces": "all"}])
async def test_c10_an_agent_that_talks_all_the_time_about_something_else(parameters):
    async with agent(lambda data: [data, b"\x30", b"\x30\x84\xff\xff\xff\xff", b""] * 5) as address:
        options = {"community": "cong-dong", **parameters}
        result = await run_once(prepare("snmp", address, options, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert "datagrams ignored" in result.message
    assert result.duration_s < TIMEOUT_S + SLACK_S
