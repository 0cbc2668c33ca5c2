"""What is proposed for a router, which is then really watched by it."""

import asyncio

import pytest

from monitor.oneshot import prepare, run_once
from probes.failures import TroubleError
from probes.model import Context, Resources
from probes.snmp_discovery import discover
from probes.snmp_params import AgentParams
from tests.snmpd import COMMUNITY, interfaces


async def discovered(address, timeout_s=5.0):
    resources = Resources()
    try:
        context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources)
        return await discover(AgentParams(address=address, community=COMMUNITY), context)
    finally:
        await resources.aclose()


async def test_what_is_up_is_proposed_and_each_proposal_is_up(agent):
    objects = interfaces(4, down=[2], shut=[3])
    objects["1.3.6.1.2.1.31.1.1.1.1.4"] = ("string", "lo0")
    objects["1.3.6.1.2.1.25.3.3.1.2.1"] = ("integer", 20)
    objects |= {"1.3.6.1.2.1.15.3.1.2.10.0.0.2": ("integer", 6), "1.3.6.1.2.1.15.3.1.2.10.0.0.3": ("integer", 1)}
    objects |= {f"1.3.6.1.2.1.14.10.1.6.10.1.1.{n}.0": ("integer", state) for n, state in ((1, 8), (2, 4))}
    agent.serve(objects)
    router, proposals = await discovered(agent.address)
    assert len(router.interfaces) == 4
    assert [proposal.name for proposal in proposals] == ["system", "if-ge-0/0/1", "bgp-10.0.0.2", "ospf"]
    assert proposals[0].degraded_when == ("cpu_ratio > 0.9",)
    assert proposals[1].parameters == {"interface": "ge-0/0/1"}
    assert proposals[1].why == "tới tỉnh 1"
    assert proposals[3].parameters == {"expected": 2}
    for proposal in proposals:
        options = {**proposal.parameters, "community": COMMUNITY, "degraded_when": []}
        result = await run_once(prepare(proposal.probe, agent.address, options), "test")
        assert result.failure is None, result.message


async def test_two_interfaces_of_one_name_are_told_apart(agent):
    objects = interfaces(2)
    objects["1.3.6.1.2.1.31.1.1.1.1.2"] = ("string", "ge-0/0/1")
    agent.serve(objects)
    _, proposals = await discovered(agent.address)
    assert [(one.name, one.parameters) for one in proposals[1:]] == [
        ("if-ge-0/0/1", {"interface": "1"}),
        ("if-ge-0/0/1-2", {"interface": "2"}),
    ]


async def test_a_router_without_an_answer_raises(agent):
    resources = Resources()
    context = Context(0.3, asyncio.get_running_loop().time() + 0.3, resources)
    with pytest.raises(TroubleError, match="no answer from"):
        await discover(AgentParams(address=agent.address, community="sai"), context)
