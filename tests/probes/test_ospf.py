"""The kind `ospf`, against net-snmp's agent with an OSPF-MIB that the test decides."""

import pytest

from probes.conditions import compile_condition
from probes.kinds.ospf import PROBE
from probes.model import Failure
from tests.probes.snmp_fixtures import login_of, process
from tests.probes.tcp_servers import measure
from tests.snmpd import COMMUNITY


def neighbours(*states, events=6):
    """Return OSPF-MIB with neighbours 10.1.1.1, 10.1.1.2 … of router ids 192.0.2.1 … in these states."""
    objects = {}
    for number, state in enumerate(states, 1):
        columns = {3: ("ipaddress", f"192.0.2.{number}"), 6: ("integer", state), 7: ("counter", events)}
        objects |= {f"1.3.6.1.2.1.14.10.1.{column}.10.1.1.{number}.0": cell for column, cell in columns.items()}
    return objects


async def test_full_and_two_way_neighbours_are_up(agent):
    agent.serve(neighbours(8, 4))
    found = await measure("ospf", agent.address, **login_of("sha512"))
    assert (found.failure, found.message) == (None, "")
    assert [found.samples[name] for name in ("neighbours_total", "full", "adjacent")] == [2, 1, 2]
    assert found.facts["neighbours"]["10.1.1.1"]["router_id"] == "192.0.2.1"
    strict = await measure("ospf", agent.address, community=COMMUNITY, full=True)
    assert strict.message == "1 of 2 neighbours are adjacent: 10.1.1.2 is twoWay"


@pytest.mark.parametrize("neighbour", ["10.1.1.2", "192.0.2.2"])
async def test_one_neighbour_by_its_address_or_its_router_id(agent, neighbour):
    agent.serve(neighbours(8, 5))
    found = await measure("ospf", agent.address, community=COMMUNITY, neighbour=neighbour)
    assert found.failure is Failure.CONDITION
    assert found.message == "the neighbour 10.1.1.2 is exchangeStart"
    assert found.samples["state"] == 5


async def test_one_that_is_gone_is_down_and_fewer_than_expected_are(agent):
    agent.serve(neighbours(8))
    gone = await measure("ospf", agent.address, community=COMMUNITY, neighbour="10.1.1.9")
    few = await measure("ospf", agent.address, community=COMMUNITY, expected=2)
    enough = await measure("ospf", agent.address, community=COMMUNITY, expected=1)
    assert (gone.failure, gone.message) == (Failure.CONDITION, "the router sees no OSPF neighbour 10.1.1.9")
    assert few.message == "1 of 1 neighbours are adjacent, 2 are expected"
    assert enough.failure is None


async def test_changes_between_two_runs_are_counted(agent):
    async with process() as kept:
        agent.serve(neighbours(8, events=6))
        first = await kept.measure("ospf", agent.address, community=COMMUNITY)
        agent.serve(neighbours(8, events=13))
        second = await kept.measure("ospf", agent.address, community=COMMUNITY)
    assert "changes" not in first.samples
    assert not compile_condition("changes > 0.0 || changes < 1.0", PROBE).holds(first, 1.0)[0]
    assert second.samples["changes"] == 7


async def test_no_such_mib(agent):
    agent.serve({})
    found = await measure("ospf", agent.address, community=COMMUNITY)
    assert found.failure is Failure.QUERY_FAILED
    assert "OSPF-MIB" in found.message
