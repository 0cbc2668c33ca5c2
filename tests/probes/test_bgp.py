"""The kind `bgp`, against net-snmp's agent with a BGP4-MIB that the test decides."""

import pytest

from monitor.oneshot import WrongUseError, prepare, run_once
from probes.model import Failure
from probes.snmp_neighbours import last_error
from tests.probes.snmp_fixtures import login_of, process
from tests.probes.tcp_servers import measure
from tests.snmpd import COMMUNITY


def peers(*rows, transitions=1, established_s=7200):
    """Return BGP4-MIB for (address, state, whether the operator lets it run, last error in hex)."""
    objects = {}
    for address, state, admin, error in rows:
        columns = {
            2: ("integer", state),
            3: ("integer", admin),
            9: ("integer", 65001),
            10: ("counter", 12),
            14: ("octet", error),
            15: ("counter", transitions),
            16: ("gauge", established_s),
        }
        objects |= {f"1.3.6.1.2.1.15.3.1.{column}.{address}": cell for column, cell in columns.items()}
    return objects


GOOD, IDLE, STOPPED = ("10.255.0.2", 6, 2, "00 00"), ("10.255.0.3", 3, 2, "04 00"), ("10.255.0.4", 1, 1, "06 02")


async def test_established_neighbours_are_up(agent):
    agent.serve(peers(GOOD, STOPPED))
    found = await measure("bgp", agent.address, **login_of("sha256"))
    assert (found.failure, found.message) == (None, "")
    assert (found.samples["neighbours_total"], found.samples["established"]) == (2, 1)
    assert found.samples["established_s"] == 7200
    assert found.facts["neighbours"]["10.255.0.2"]["as"] == 65001
    assert "flaps" not in found.samples


async def test_one_that_is_not_established_is_down_with_its_last_error(agent):
    agent.serve(peers(GOOD, IDLE, STOPPED))
    every = await measure("bgp", agent.address, community=COMMUNITY)
    one = await measure("bgp", agent.address, community=COMMUNITY, neighbour="10.255.0.3")
    assert every.failure is Failure.CONDITION
    told = "10.255.0.3 is active, last error: hold timer expired (4/0)"
    assert every.message == f"1 of 3 sessions are established: {told}"
    assert one.message == f"the session with {told}"
    assert one.samples["state"] == 3


async def test_a_stopped_one_is_down_when_it_is_asked_for(agent):
    agent.serve(peers(GOOD, STOPPED))
    found = await measure("bgp", agent.address, community=COMMUNITY, neighbour="10.255.0.4")
    assert found.message == "the session with 10.255.0.4 is idle, stopped by the operator, last error: cease (6/2)"


async def test_fewer_than_expected_are_down(agent):
    agent.serve(peers(GOOD, IDLE))
    enough = await measure("bgp", agent.address, community=COMMUNITY, expected=1)
    few = await measure("bgp", agent.address, community=COMMUNITY, expected=2)
    assert enough.failure is None
    assert few.message.startswith("1 of 2 sessions are established, 2 are expected: 10.255.0.3 is active")


async def test_a_session_that_fell_and_rose_is_a_flap(agent):
    async with process() as kept:
        agent.serve(peers(GOOD, transitions=4))
        await kept.measure("bgp", agent.address, community=COMMUNITY)
        agent.serve(peers(GOOD, transitions=6, established_s=5))
        flapped = await kept.measure("bgp", agent.address, community=COMMUNITY)
        agent.serve(peers(GOOD, transitions=1))  # the router began anew: unknown, not minus five
        rebooted = await kept.measure("bgp", agent.address, community=COMMUNITY)
    assert (flapped.samples["flaps"], flapped.samples["established_s"]) == (2, 5)
    assert "flaps" not in rebooted.samples


async def test_no_such_neighbour_and_no_such_mib(agent):
    agent.serve(peers(GOOD))
    gone = await measure("bgp", agent.address, community=COMMUNITY, neighbour="10.0.0.9")
    agent.serve({})
    none = await measure("bgp", agent.address, community=COMMUNITY)
    assert (gone.failure, gone.message) == (Failure.QUERY_FAILED, "the router has no BGP neighbour 10.0.0.9")
    assert none.failure is Failure.QUERY_FAILED
    assert "BGP4-MIB" in none.message


async def test_conditions_look_at_a_neighbour(agent):
    agent.serve(peers(GOOD))
    options = {"community": COMMUNITY, "degraded_when": ["neighbours['10.255.0.2'].established_s < 9000"]}
    result = await run_once(prepare("bgp", agent.address, options), "test")
    assert result.message == (
        "neighbours['10.255.0.2'].established_s < 9000 (neighbours['10.255.0.2'].established_s = 7200)"
    )


@pytest.mark.parametrize(("code", "words"), [(b"", ""), (b"\0\0", ""), (b"\2\7", "OPEN message error (2/7)")])
def test_the_last_error_in_words(code, words):
    assert last_error(code) == words


def test_one_or_how_many():
    with pytest.raises(WrongUseError, match="write neighbour"):
        prepare("bgp", "10.0.0.1", {"community": "x", "neighbour": "10.0.0.2", "expected": 2})
