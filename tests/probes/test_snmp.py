"""The kind `snmp`, against net-snmp's own agent."""

import asyncio
import time

import pytest
import uvloop

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from probes.model import Failure
from tests.probes.snmp_fixtures import login_of, process
from tests.probes.tcp_servers import measure, refusing_port
from tests.snmpd import COMMUNITY, PASSWORD, Snmpd, interfaces

RATES = {"in_bps", "out_bps", "in_utilisation_ratio", "out_utilisation_ratio", "in_errors_per_s", "interval_s"}
NOW = {"share_for": "0s", "rate_window": "0s"}


async def twice(agent, before, after, ticks=None, **parameters):
    """Run one check before and after the agent's objects change; return both measurements."""
    options = {"community": COMMUNITY, "interface": "ge-0/0/1", **NOW, **parameters}
    async with process() as kept:
        started = time.monotonic()
        agent.serve(before, 1_000_000)
        first = await kept.measure("snmp", agent.address, **options)
        await asyncio.sleep(0.05)  # the clock of both ends has to move
        agent.serve(after, ticks or 1_000_000 + int(100 * (time.monotonic() - started)))
        return first, await kept.measure("snmp", agent.address, **options)


async def test_an_interface_is_up_and_has_no_rates_at_first(agent):
    agent.serve(interfaces())
    found = await measure("snmp", agent.address, community=COMMUNITY, interface="ge-0/0/1")
    assert (found.failure, found.message) == (None, "")
    assert (found.samples["oper_status"], found.samples["admin_status"]) == (1, 1)
    assert found.samples["speed_bps"] == 1e9
    assert found.samples["uptime_s"] == pytest.approx(10_000, abs=60)
    assert not RATES & set(found.samples)
    assert found.facts["alias"] == "tới tỉnh 1"


@pytest.mark.parametrize("bits", [64, 32])
async def test_rates_are_between_two_runs_each_way(agent, bits):
    _, second = await twice(agent, interfaces(octets=1_000_000, bits=bits), interfaces(octets=2_000_000, bits=bits))
    seconds = second.samples["interval_s"]
    assert second.samples["in_bps"] * seconds == pytest.approx(8e6)
    assert second.samples["out_bps"] * seconds == pytest.approx(16e6)
    assert second.samples["in_utilisation_ratio"] == pytest.approx(second.samples["in_bps"] / 1e9)
    assert second.samples["in_errors_per_s"] == 0


async def test_the_contracted_speed_is_what_utilisation_is_of(agent):
    _, second = await twice(agent, interfaces(octets=10**6), interfaces(octets=2 * 10**6), speed="200Mbit/s")
    assert second.samples["speed_bps"] == 2e8
    assert second.samples["in_utilisation_ratio"] == pytest.approx(second.samples["in_bps"] / 2e8)


@pytest.mark.parametrize(
    ("after", "ticks"),
    [
        (interfaces(octets=5_000_000), 100),  # the router began anew
        (interfaces(octets=900_000), None),  # the counters were cleared
        (interfaces(octets=2_000_000, discontinuity=99), None),  # a line card was changed
        (interfaces(octets=2**60), None),  # a counter jumped
    ],
)
async def test_a_reset_is_unknown_neither_zero_nor_a_spike(agent, after, ticks):
    first, second = await twice(agent, interfaces(), after, ticks)
    assert (first.failure, second.failure) == (None, None)
    assert second.samples["oper_status"] == 1
    assert not {"in_bps", "out_bps", "in_utilisation_ratio", "out_utilisation_ratio"} & set(second.samples)


async def test_32_bits_wrap_where_the_link_could_have_carried_it(agent):
    before, after = interfaces(octets=2**32 - 500_000, bits=32), interfaces(octets=500_000, bits=32)
    _, second = await twice(agent, before, after)
    assert second.samples["in_bps"] * second.samples["interval_s"] == pytest.approx(8e6)
    _, slow = await twice(agent, interfaces(octets=10**9, bits=32), after)
    assert "in_bps" not in slow.samples


async def test_an_interface_is_found_by_its_name_after_it_was_numbered_anew(agent):
    first, second = await twice(agent, interfaces(first=1), interfaces(3, first=7, down=[1]), interface="ge-0/0/1")
    assert first.failure is None
    assert (second.failure, second.facts["name"]) == (Failure.CONDITION, "ge-0/0/1")
    first, second = await twice(agent, interfaces(3, first=2), interfaces(3, first=1, octets=2 * 10**6))
    assert (second.facts["name"], second.samples["oper_status"]) == ("ge-0/0/1", 1)
    assert "in_bps" in second.samples


@pytest.mark.parametrize("name", ["ge-0/0/2", "GigabitEthernet 0/0/2", "tới tỉnh 2", "2"])
async def test_an_interface_that_is_down_by_whatever_it_is_called(agent, name):
    agent.serve(interfaces(down=[2]))
    result = await run_once(prepare("snmp", agent.address, {"community": COMMUNITY, "interface": name}), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.CONDITION)
    assert result.message == "interface ge-0/0/2 is down (ifOperStatus)"


async def test_an_interface_that_was_shut_down_or_is_not_there(agent):
    agent.serve(interfaces(shut=[1]))
    shut = await measure("snmp", agent.address, community=COMMUNITY, interface="ge-0/0/1")
    gone = await measure("snmp", agent.address, community=COMMUNITY, interface="xe-9")
    assert shut.message == "interface ge-0/0/1 was shut down (ifAdminStatus is down)"
    assert (gone.failure, gone.message) == (
        Failure.QUERY_FAILED,
        "the router has no interface that is called 'xe-9'",
    )


async def test_three_hundred_interfaces_in_one_check(agent):
    before, after = interfaces(300, down=[7], shut=[8, 9]), interfaces(300, octets=1_010_000, down=[7], shut=[8, 9])
    first, second = await twice(agent, before, after, interface="", interfaces="all")
    assert first.samples["interfaces_total"] == 300
    assert (first.samples["interfaces_down"], first.samples["interfaces_shut"]) == (1, 2)
    assert first.facts["down"] == ["ge-0/0/7"]
    loads = {name: table["out_utilisation_ratio"] for name, table in second.facts["interfaces"].items()}
    assert second.facts["busiest"] == max(loads, key=loads.get)
    assert second.samples["utilisation_max_ratio"] == max(loads.values())
    assert second.samples["in_bps"] == pytest.approx(
        sum(table["in_bps"] for table in second.facts["interfaces"].values())
    )


async def test_some_by_patterns(agent):
    agent.serve(interfaces(20))
    patterns = ["ge-0/0/1*", "tới tỉnh 2"]
    found = await measure("snmp", agent.address, community=COMMUNITY, interfaces=patterns)
    assert found.samples["interfaces_total"] == 12


async def test_conditions_look_at_one_of_many_interfaces(agent):
    agent.serve(interfaces(5, down=[2]))
    options = {
        "community": COMMUNITY,
        "interfaces": "all",
        "down_when": ["interfaces['ge-0/0/1'].oper_status != 1", "interfaces_down > 0 && size(down) > 0"],
    }
    result = await run_once(prepare("snmp", agent.address, options), "test")
    assert result.failure is Failure.CONDITION
    assert "ge-0/0/2" in result.message


@pytest.mark.parametrize("condition", ["in_bps > 1e9", "in_bps < 1e3", "out_utilisation_ratio > 0.9"])
async def test_an_unknown_rate_makes_no_condition_true(agent, condition):
    agent.serve(interfaces())
    options = {"community": COMMUNITY, "interface": "ge-0/0/1", "degraded_when": condition, "down_when": condition}
    first = await run_once(prepare("snmp", agent.address, options), "test")
    assert (first.state, first.message) == (State.UP, "")
    assert "in_bps" not in first.samples
    many = [condition.replace("out_utilisation", "utilisation_max"), "utilisation_max_ratio > 0.9 && busiest != ''"]
    options |= {"interface": "", "interfaces": "all", "degraded_when": many, "down_when": []}
    assert (await run_once(prepare("snmp", agent.address, options), "test")).state is State.UP


async def test_of_many_the_sum_is_unknown_when_one_is(agent):
    before, after = interfaces(3), interfaces(3, octets=2_000_000)
    after["1.3.6.1.2.1.31.1.1.1.19.2"] = ("timeticks", 77)
    _, second = await twice(agent, before, after, interface="", interfaces="all")
    assert "in_bps" not in second.samples
    assert second.facts["interfaces"]["ge-0/0/1"]["in_bps"] > 0
    assert second.facts["busiest"] == "ge-0/0/3"


async def test_an_interface_without_counters_has_no_rates_ever(agent):
    objects = interfaces()
    bare = {oid: cell for oid, cell in objects.items() if not oid.endswith((".6.1", ".10.1", ".16.1"))}
    agent.serve(bare)
    options = {"community": COMMUNITY, "interface": "ge-0/0/1", "degraded_when": "in_bps > 1e9"}
    result = await run_once(prepare("snmp", agent.address, options), "test")
    assert result.state is State.DEGRADED
    assert "there is no in_bps" in result.message


async def test_many_checks_of_one_router_share_a_walk_and_none_gets_it_twice(agent):
    agent.serve(interfaces(40))
    async with process() as kept:
        names = [f"ge-0/0/{number}" for number in range(1, 41)]
        together = {"community": COMMUNITY, "share_for": "60s", "rate_window": "0s"}
        every = await kept.measure("snmp", agent.address, interfaces="all", **together)
        calls = [kept.measure("snmp", agent.address, interface=name, **together) for name in names]
        ones = await asyncio.gather(*calls)
        again = await kept.measure("snmp", agent.address, interface=names[0], **together)
        other = await kept.measure("snmp", agent.address, interface=names[1], **together)
    assert every.samples["query_s"] > 0
    assert ["query_s" in one.samples for one in ones] == [False] * 40
    assert "query_s" in again.samples
    assert "query_s" not in other.samples


async def test_the_system_is_what_the_agent_tells_of_it(agent):
    sensors = "1.3.6.1.2.1.99.1.1.1."
    rows = [(8, 9, 1, 415, 1), (14, 9, 2, -742, 1), (6, 7, 0, 100, 1), (8, 9, 0, 999, 2), (6, 8, 0, 5, 1)]
    objects = {
        f"{sensors}{column}.{index}": ("integer", value)
        for index, row in enumerate(rows, 1)
        for column, value in enumerate(row, 1)
    }
    labels = ("Chassis", "xe-0/0/0 Rx power", "xe-0/0/1 Transmit Power", "Broken", "PSU")
    objects |= {f"1.3.6.1.2.1.47.1.1.1.1.7.{n}": ("string", label) for n, label in enumerate(labels, 1)}
    objects |= {f"1.3.6.1.2.1.25.3.3.1.2.{n}": ("integer", load) for n, load in ((196608, 20), (196609, 40))}
    objects |= {"1.3.6.1.4.1.2021.4.5.0": ("integer", 1000), "1.3.6.1.4.1.2021.4.6.0": ("integer", 250)}
    agent.serve(objects)
    found = await measure("snmp", agent.address, community=COMMUNITY)
    assert found.failure is None
    assert found.samples["cpu_ratio"] == pytest.approx(0.3)
    assert found.samples["memory_ratio"] == pytest.approx(0.75)
    assert found.samples["temperature_max_celsius"] == pytest.approx(41.5)
    assert found.samples["optical_power_min_dbm"] == pytest.approx(-10)
    assert found.facts["sensors"]["xe-0/0/0 Rx power"] == pytest.approx(-7.42)
    agent.serve({})
    bare = await measure("snmp", agent.address, community=COMMUNITY)
    assert not {"cpu_ratio", "memory_ratio", "temperature_max_celsius", "optical_power_min_dbm"} & set(bare.samples)


async def test_cisco_has_mibs_of_its_own(agent):
    cisco = "1.3.6.1.4.1.9.9."
    objects = {f"{cisco}109.1.1.1.1.7.{n}": ("gauge", load) for n, load in ((1, 10), (2, 90))}
    objects |= {f"{cisco}48.1.1.1.5.1": ("gauge", 300), f"{cisco}48.1.1.1.6.1": ("gauge", 100)}
    objects |= {
        f"{cisco}91.1.1.1.1.{n}.7": ("integer", value) for n, value in ((1, 8), (2, 9), (3, 0), (4, 33), (5, 1))
    }
    agent.serve(objects)
    found = await measure("snmp", agent.address, community=COMMUNITY)
    assert found.samples["cpu_ratio"] == pytest.approx(0.5)
    assert found.samples["memory_ratio"] == pytest.approx(0.75)
    assert found.samples["temperature_max_celsius"] == 33


async def test_memory_by_the_table_of_storage(agent):
    storage = "1.3.6.1.2.1.25.2.3.1."
    objects = {
        f"{storage}2.1": ("objectid", "1.3.6.1.2.1.25.2.1.4"),
        f"{storage}2.2": ("objectid", "1.3.6.1.2.1.25.2.1.2"),
        **{f"{storage}5.{n}": ("integer", 1000) for n in (1, 2)},
        **{f"{storage}6.{n}": ("integer", 100 * n) for n in (1, 2)},
    }
    agent.serve(objects)
    found = await measure("snmp", agent.address, community=COMMUNITY)
    assert found.samples["memory_ratio"] == pytest.approx(0.2)


async def test_this_very_host():
    server = Snmpd(of_this_host=True)
    try:
        server.start()
        loopback = await measure("snmp", server.address, interface="lo", **login_of("sha256"))
        system = await measure("snmp", server.address, **login_of("sha256"))
    finally:
        server.close()
    assert (loopback.failure, loopback.facts["name"]) == (None, "lo")
    assert {"uptime_s", "memory_ratio"} <= set(system.samples)
    assert 0 < system.samples["memory_ratio"] < 1


async def test_one_that_gives_up_does_not_take_the_others_with_it(agent):
    agent.serve(interfaces(60))
    async with process() as kept:
        options = {"community": COMMUNITY, "share_for": "60s"}
        first = asyncio.create_task(kept.measure("snmp", agent.address, interfaces="all", **options))
        await asyncio.sleep(0)
        other = asyncio.create_task(kept.measure("snmp", agent.address, interface="ge-0/0/9", **options))
        await asyncio.sleep(0)
        first.cancel()
        found = await other
        assert first.cancelled()
    assert (found.failure, found.facts["name"]) == (None, "ge-0/0/9")


@pytest.mark.parametrize("user", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "nobody"])
async def test_snmpv3_by_every_digest(agent, user):
    agent.serve(interfaces())
    found = await measure("snmp", agent.address, interface="ge-0/0/1", **login_of(user))
    assert (found.failure, found.message) == (None, "")


@pytest.mark.parametrize("login", [{"community": COMMUNITY}, login_of("sha256")])
async def test_checks_that_begin_at_once_share_from_the_first_time(agent, login):
    agent.serve(interfaces(40))
    async with process() as kept:
        calls = [kept.measure("snmp", agent.address, interface=f"ge-0/0/{n}", **login) for n in range(1, 41)]
        neighbours = [kept.measure("bgp", agent.address, **login) for _ in range(5)]  # each by a session of its own
        found = await asyncio.gather(*calls, *neighbours)
    assert {one.failure for one in found[:40]} == {None}
    assert {one.failure for one in found[40:]} == {Failure.QUERY_FAILED}


@pytest.mark.parametrize(
    ("user", "auth", "privacy"),
    [("aes192", "sha256", "aes192"), ("aes256", "sha512", "aes256"), ("long", "sha1", "aes256")],
)
async def test_snmpv3_by_long_keys(agent, user, auth, privacy):
    agent.serve(interfaces())
    login = {"user": user, "auth": auth, "auth_password": PASSWORD, "privacy": privacy, "privacy_password": PASSWORD}
    found = await measure("snmp", agent.address, interface="ge-0/0/1", **login)
    assert (found.failure, found.message) == (None, "")


@pytest.mark.parametrize(
    ("login", "message"),
    [
        (login_of("sha256", auth_password="mat-khau-sai"), "the authentication password or protocol is wrong"),
        (login_of("sha256", auth="sha512"), "the authentication password or protocol is wrong"),
        ({**login_of("sha256"), "user": "ai-do"}, "the agent does not know the user"),
        (login_of("md5", privacy="aes128", privacy_password=PASSWORD), "the user may not ask at this security level"),
        ({"user": "sha256", "auth": "sha256", "auth_password": PASSWORD}, "authorizationError"),
    ],
)
async def test_snmpv3_says_who_is_turned_down(agent, login, message):
    found = await measure("snmp", agent.address, interface="ge-0/0/1", **login)
    assert found.failure is Failure.AUTH_REJECTED
    assert message in found.message
    assert PASSWORD not in found.message


async def test_an_agent_that_began_anew_has_another_clock():
    server = Snmpd()
    server.serve(interfaces())
    try:
        server.start()
        async with process() as kept:
            options = {"interface": "ge-0/0/1", **NOW, **login_of("sha256")}
            assert (await kept.measure("snmp", server.address, **options)).failure is None
            server.stop()
            gone = await kept.measure("snmp", server.address, **options)
            assert gone.failure is Failure.CONNECT_REFUSED
            server.start()
            again = await kept.measure("snmp", server.address, **options)
            assert (again.failure, again.message) == (None, "")
    finally:
        server.close()


async def test_a_wrong_community_is_silence_and_says_so(agent):
    found = await measure("snmp", agent.address, timeout_s=0.5, community="khac-han", interface="1")
    assert found.failure is Failure.TIMEOUT
    assert "a community that it does not take" in found.message
    assert "khac-han" not in found.message


async def test_a_wrong_privacy_password_is_silence_too(agent):
    login = login_of("sha256", privacy_password="khac-han-roi")
    found = await measure("snmp", agent.address, timeout_s=0.5, interface="1", **login)
    assert found.failure is Failure.TIMEOUT
    assert "a privacy password or protocol that it does not take" in found.message
    assert "khac-han-roi" not in found.message


async def test_a_closed_port():
    found = await measure("snmp", f"127.0.0.1:{refusing_port()}", community=COMMUNITY)
    assert found.failure is Failure.CONNECT_REFUSED


def test_a_closed_port_on_uvloop():
    found = uvloop.run(measure("snmp", f"127.0.0.1:{refusing_port()}", community=COMMUNITY, interface="1"))
    assert found.failure is Failure.CONNECT_REFUSED


def test_it_works_on_uvloop(agent):
    agent.serve(interfaces(40))

    async def once():
        return await measure("snmp", agent.address, interfaces="all", **login_of("sha256"))

    assert uvloop.run(once()).samples["interfaces_total"] == 40


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "write either community"),
        ({"community": "x", "user": "y"}, "write either community"),
        ({"user": "y", "privacy": "aes128", "privacy_password": PASSWORD}, "privacy needs auth"),
        ({"user": "y", "auth": "sha256"}, "belong together"),
        ({"user": "y", "auth": "sha256", "auth_password": "short"}, "8 characters"),
        ({"community": "x", "auth": "md5", "auth_password": PASSWORD}, "write user instead"),
        ({"community": "x", "interface": "a", "interfaces": "all"}, "one"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(WrongUseError, match=reason) as raised:
        prepare("snmp", "10.0.0.1", parameters)
    assert "short" not in str(raised.value)


def test_secrets_are_not_shown():
    job = prepare("snmp", "10.0.0.1", login_of("sha256"))
    assert PASSWORD not in repr(job)
    assert job.id == "snmp:10.0.0.1:161"
