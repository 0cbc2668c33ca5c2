"""The plan and the script of the simulated country: pure values."""

import re
from collections import Counter
from pathlib import Path

import pytest

from monitor.demo.blueprint import draw
from monitor.demo.domain import Domain, read, slug
from monitor.demo.geography import distance_km, round_trip_s
from monitor.demo.plan import Plan
from monitor.demo.scenes import SCENES
from monitor.demo.script import CYCLE_S, MAX_AGE_S, NOTHING, Effect, Fault, Script, both
from monitor.demo.weather import channel


@pytest.fixture(scope="module")
def domain() -> Domain:
    return read()


@pytest.fixture(scope="module")
def plan(domain: Domain) -> Plan:
    return draw(domain)


def script(plan: Plan, seed: int = 1) -> Script:
    return Script(plan, SCENES, seed)


def test_the_country_has_all_provinces_with_two_channels_each(plan: Plan, domain: Domain) -> None:
    links = [link for link in plan.links.values() if link.agency.startswith("UBND-")]
    assert len(links) == 34
    assert {len(link.channels) for link in links} == {2}
    assert {link.site for link in links} == set(domain.provinces)
    assert [c.id for c in plan.links["link-cao-bang"].channels] == ["link-cao-bang-a", "link-cao-bang-b"]


def test_there_are_about_250_checks_worth_of_far_ends(plan: Plan) -> None:
    counts = plan.counts()
    assert 240 <= counts["far ends"] <= 300
    assert {"rest", "soap", "xroad", "postgresql", "mail", "dns"} == {s.speaks for s in plan.services.values()}
    assert plan.services["csdl-dan-cu"].name.vi == "CSDL quốc gia về dân cư"


def test_identifiers_and_addresses_are_unique_and_references_lead_somewhere(plan: Plan) -> None:
    channels = [channel for _, channel in plan.channels()]
    ids = [*plan.groups, *plan.services, *plan.links, *(c.id for c in channels if c.id not in plan.links)]
    assert [id_ for id_, count in Counter(ids).items() if count > 1] == []
    addresses = [c.address for c in channels] + [host.address for host in plan.hosts.values()]
    assert len(set(addresses)) == len(addresses)
    assert all(0 <= part <= 255 for address in addresses for part in address)
    for service in plan.services.values():
        assert set(service.depends_on) <= set(ids)
        assert service.agency in plan.agencies
        assert service.site in plan.places
    assert {host.behind for host in plan.hosts.values()} <= {*plan.links, ""}


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_a_smaller_country_plays_the_same_first_cycle(domain: Domain, plan: Plan, scale: float) -> None:
    small = script(draw(domain, scale)).cycle(0)
    assert [fault.what for fault in small] == [fault.what for fault in script(plan).cycle(0)]
    assert [f.where for f in small if f.to_s <= 500] == [f.where for f in script(plan).cycle(0) if f.to_s <= 500]


def test_the_first_fault_comes_at_25_s_and_later_something_is_always_wrong(plan: Plan) -> None:
    play = script(plan)
    assert [play.active(at) for at in (0, 24.9)] == [(), ()]
    assert [fault.what for fault in play.active(25)] == ["channel_cut"]
    lasting = [len(play.active(at)) for at in range(25, 3 * int(CYCLE_S))]
    assert min(lasting) >= 1
    assert max(lasting) <= 8


def test_every_kind_of_trouble_has_its_turn_in_every_cycle(plan: Plan) -> None:
    kinds = {
        "channel_cut", "fibre_cut", "slow_gateway", "certificate_expired", "database_stalled", "soap_fault", "flapping",
        "gateway_outage", "packet_loss", "dns_servfail", "dns_empty", "unhealthy", "detour", "login_refused", "refused",
    }  # fmt: skip
    play = script(plan)
    for number in range(20):
        assert {fault.what for fault in play.cycle(number)} == kinds


def test_the_same_seed_plays_the_same_and_another_one_differs_after_the_first_cycle(plan: Plan) -> None:
    one, same, other = script(plan), script(plan), script(plan, seed=2)
    assert [one.cycle(n) for n in range(6)] == [same.cycle(n) for n in range(6)]
    assert one.cycle(0) == other.cycle(0)
    assert one.cycle(3) != other.cycle(3)
    assert {f.where for f in one.cycle(0)} != {f.where for f in one.cycle(1)}


def test_a_cycle_does_not_depend_on_which_were_asked_for_before(plan: Plan) -> None:
    walked = script(plan)
    for number in range(50):
        last = walked.cycle(number)
    assert script(plan).cycle(49) == last


@pytest.mark.parametrize("seed", range(5))
def test_two_faults_never_meet_at_one_place(plan: Plan, seed: int) -> None:
    """What a fault is expected to do must not be spoilt by another one at the same target."""
    play = script(plan, seed)
    for number in range(1, 30):
        faults = (*play.cycle(number - 1), *play.cycle(number))
        for one in faults:
            for other in faults:
                meets = one.from_s < other.to_s and other.from_s < one.to_s
                if meets and one.what != other.what and {one.what, other.what} != {"dns_servfail", "dns_empty"}:
                    assert not set(one.expect) & set(other.expect), (one, other)


def test_the_documentation_has_the_first_cycle_as_it_is_played(plan: Plan) -> None:
    text = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()
    played = {(f.from_s, f.to_s, f.where.removesuffix("-a").removesuffix("-b")) for f in script(plan).cycle(0)}
    rows = re.findall(r"^\| (\d+) – (\d+) \| [^|]* \| `([^`]*)`", text, re.MULTILINE)
    assert {(float(a), float(b), where.removesuffix("-a").removesuffix("-b")) for a, b, where in rows} == played


def test_edges_come_in_order_each_once(plan: Plan) -> None:
    play = script(plan)
    edges = play.edges(-1, 3 * CYCLE_S)
    assert [edge[0] for edge in edges] == sorted(edge[0] for edge in edges)
    begun = [fault for _, begins, fault in edges if begins]
    assert begun == [fault for n in range(4) for fault in play.cycle(n) if fault.from_s <= 3 * CYCLE_S]
    in_pieces = [edge for start in range(-1, 1799) for edge in play.edges(start, start + 1)]
    assert in_pieces == play.edges(-1, 1799)
    assert play.next_edge(0) == 25
    assert play.next_edge(25) == 40


def test_effects_add_up() -> None:
    loss, slow = Effect(loss_ratio=0.7, detour_s=0.1), Effect(loss_ratio=0.6, added_s=1.0, status=503)
    assert both(loss, slow) == Effect(loss_ratio=1.0, detour_s=0.1, added_s=1.0, status=503)
    assert both(loss, NOTHING) is loss
    assert both(NOTHING, loss) is loss
    assert both(Effect(stalled_since_s=0.0), Effect(cut=True)) == Effect(stalled_since_s=0.0, cut=True)


def test_flapping_alternates_and_loss_grows() -> None:
    flapping = Fault("flapping", "x", 100, 200, Effect(status=503))
    assert [flapping.at(s).status for s in (99, 100, 102, 104, 106, 108, 146, 148, 200)] == [
        0,
        503,
        0,
        503,
        503,
        0,
        503,
        0,
        0,
    ]
    loss = Fault("packet_loss", "x", 100, 200, Effect(loss_ratio=0.6))
    assert [round(loss.at(s).loss_ratio, 2) for s in (99, 100, 125, 150, 199)] == [0, 0.2, 0.4, 0.6, 0.6]


def test_a_database_is_stale_only_after_its_greatest_age(plan: Plan) -> None:
    (stalled,) = (fault for fault in script(plan).cycle(0) if fault.what == "database_stalled")
    assert stalled.visible_s == MAX_AGE_S
    assert stalled.to_s - stalled.from_s > MAX_AGE_S + 60


def test_distances_are_those_of_the_map(domain: Domain) -> None:
    ha_noi, hcm = domain.provinces["01"], domain.provinces["79"]
    assert distance_km(ha_noi, hcm) == pytest.approx(1143, rel=0.01)
    assert round_trip_s(1000) == pytest.approx(0.0144)


def test_weather_repeats_itself_and_never_beats_light() -> None:
    one, same = channel(1, "link-x", 0.01), channel(1, "link-x", 0.01)
    delays = [one.one_way_s(at) for at in range(2000)]
    assert delays == [same.one_way_s(at) for at in range(2000)]
    assert min(delays) >= 0.005
    assert sum(delays) / len(delays) < 0.007
    quiet, crest = (f([one.congestion(at) for at in range(600)]) for f in (min, max))
    assert (quiet, round(crest, 2)) == (0.0, 1.0)
    assert 0 < sum(one.loses(0.0) for _ in range(100_000)) < 10
    assert 19_000 < sum(one.loses(0.2) for _ in range(100_000)) < 21_000


@pytest.mark.parametrize(
    ("name", "expected"), [("Đắk Lắk", "dak-lak"), ("VPTWĐ", "vptwd"), ("Hồ Chí Minh", "ho-chi-minh")]
)
def test_names_become_identifiers(name: str, expected: str) -> None:
    assert slug(name) == expected
