"""The reading door: what pages are told, from a history that the real core has decided on."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerts.model import REDUNDANCY_LOST, State
from config.model import Inventory
from config.rules import rules_of
from monitor.queries import Queries, StoreUnavailableError, UnknownTargetError
from monitor.store import Store, StoreVersionError
from monitor.store.engine import create_engine, parse_url
from monitor.store.inventory import sync
from monitor.store.rules import rules_from
from monitor.store.statements import to_json
from monitor.views import Name
from tests.monitor.country import CONFIGURATION, configured, live_through, result, steady

MIDNIGHT_MS = 1_790_010_000_000
"""2026-09-22 00:00 in Viet Nam (UTC+7)."""
MINUTE_MS = 60_000
CHECKS = ("link-a/icmp", "link-b/icmp", "dan-cu/http", "dan-cu/tcp")


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return configured(tmp_path / "conf")


@pytest.fixture
async def queries(store: Store, store_url: str) -> AsyncIterator[Queries]:
    opened = await Queries.open(store_url)
    yield opened
    await opened.aclose()


async def test_an_empty_store_shows_nothing(queries: Queries) -> None:
    overview = await queries.overview(MIDNIGHT_MS)
    assert overview.rows == ()
    assert overview.heartbeat_ms == 0
    assert await queries.target_page("x", MIDNIGHT_MS, 3600) is None


async def test_a_configured_country_that_nobody_has_measured_is_unknown(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    overview = await queries.overview(MIDNIGHT_MS + MINUTE_MS)
    unmeasured = dict.fromkeys(("dan-cu", "link", "link-a", "link-b"), (State.UNKNOWN, None))
    assert {row.id: (row.state, row.availability_today) for row in overview.rows} == unmeasured
    assert overview.simulated
    assert list(overview.agencies) == ["BCA", "BTC"]
    assert overview.agencies["BCA"].en == "Ministry of Public Security"


async def broken_channel(store: Store, inventory: Inventory) -> int:
    """Live through a day on which channel b fails at 10 minutes past midnight; return the time after it."""
    now_ms = MIDNIGHT_MS + 30 * MINUTE_MS
    cut_ms = MIDNIGHT_MS + 10 * MINUTE_MS
    history = steady(CHECKS, MIDNIGHT_MS - 60 * MINUTE_MS, cut_ms)
    history += steady(("link-a/icmp", "dan-cu/http", "dan-cu/tcp"), cut_ms, now_ms)
    history += steady(("link-b/icmp",), cut_ms, now_ms, State.DOWN)
    await live_through(store, inventory, history, now_ms)
    return now_ms


async def test_the_overview_shows_what_is_not_up_first_and_why(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = await broken_channel(store, inventory)
    overview = await queries.overview(now_ms)
    assert [row.id for row in overview.rows] == ["link-b", "link", "dan-cu", "link-a"]
    channel, link, people, other = overview.rows
    assert (channel.state, channel.reason, channel.message) == (State.DOWN, "connect_refused", "connection refused")
    assert channel.since_ms == MIDNIGHT_MS + 10 * MINUTE_MS
    assert channel.availability_today == pytest.approx(1 / 3)
    assert channel.outage_today
    assert (link.state, link.reason, link.message) == (State.DEGRADED, REDUNDANCY_LOST, "connection refused")
    assert (link.availability_today, link.outage_today) == (1.0, False)
    assert (link.latency_s, link.spark, link.checks, link.members) == (None, (), 0, 2)
    assert (people.name.vi, people.name.en, people.agency, people.criticality) == ("Dân cư", "Population", "BCA", 1)
    assert people.latency_s == pytest.approx(0.03)
    assert people.spark == (pytest.approx(0.03), None)
    assert other.loss_ratio == 0.0
    assert (other.availability_today, other.outage_today) == (1.0, False)
    assert overview.counts == {State.UP: 2, State.DEGRADED: 1, State.DOWN: 1}
    assert overview.heartbeat_ms == now_ms
    assert {incident.target for incident in overview.incidents} <= {"link", "link-b"}
    assert overview.incidents


async def test_todays_figures_follow_what_happens(store: Store, queries: Queries, inventory: Inventory) -> None:
    now_ms = await broken_channel(store, inventory)
    first = {row.id: row.availability_today for row in (await queries.overview(now_ms)).rows}
    later = {row.id: row.availability_today for row in (await queries.overview(now_ms + 20_000)).rows}
    assert later["link-b"] < first["link-b"]
    assert later["link-a"] == 1.0
    measured = await queries.availability(MIDNIGHT_MS, now_ms + 20_000, now_ms + 20_000)
    assert {figures.target: figures.availability for figures in measured} == pytest.approx(later)


async def test_a_target_page_holds_together(store: Store, queries: Queries, inventory: Inventory) -> None:
    now_ms = await broken_channel(store, inventory)
    page = await queries.target_page("link-b", now_ms, 3600)
    assert page is not None
    assert (page.from_ms, page.to_ms) == (now_ms - 3_600_000, now_ms)
    assert [(s.from_ms, s.to_ms, s.state) for s in page.timeline] == [
        (page.from_ms, MIDNIGHT_MS + 10 * MINUTE_MS, State.UP),
        (MIDNIGHT_MS + 10 * MINUTE_MS, now_ms, State.DOWN),
    ]
    (panel,) = page.checks
    assert (panel.id, panel.probe, panel.address, panel.state) == ("link-b/icmp", "icmp", "127.0.0.2", State.DOWN)
    assert len(panel.points) == 360
    assert panel.points[0].latency_s == 0.02
    assert panel.points[-1].latency_s is None
    assert panel.points[-1].loss_ratio == 1.0
    assert [(t.subject, t.after) for t in page.transitions][:2] == [
        ("link-b/icmp", State.DOWN),
        ("link-b", State.DOWN),
    ]
    assert page.availability["today"]["availability"] == pytest.approx(1 / 3)
    assert page.availability["30d"]["outages"] == 1
    assert page.incidents


async def test_a_group_has_members_and_a_child_parents(store: Store, queries: Queries, inventory: Inventory) -> None:
    now_ms = await broken_channel(store, inventory)
    group = await queries.target_page("link", now_ms, 3600)
    child = await queries.target_page("dan-cu", now_ms, 3600)
    assert group is not None
    assert child is not None
    assert [row.id for row in group.members] == ["link-a", "link-b"]
    assert [segment.state for segment in group.timeline] == [State.UP, State.DEGRADED]
    assert group.site_name.vi == "Hà Nội"
    assert [row.id for row in child.parents] == ["link"]
    assert [panel.name for panel in child.checks] == ["http", "tcp"]
    assert child.agency_name.en == "Ministry of Public Security"


async def test_no_page_shows_a_secret(store: Store, queries: Queries, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    page = await queries.target_page("dan-cu", MIDNIGHT_MS, 3600)
    assert page is not None
    assert page.checks[0].address == "http://127.0.0.1:9/x?token=…"


async def test_a_long_window_is_made_of_rollups(store: Store, queries: Queries, inventory: Inventory) -> None:
    now_ms = await broken_channel(store, inventory)
    page = await queries.target_page("link-b", now_ms, 6 * 3600)
    assert page is not None
    points = page.checks[0].points
    assert [point.at_ms for point in points] == list(range(MIDNIGHT_MS - 60 * MINUTE_MS, now_ms, 5 * MINUTE_MS))
    assert [point.state for point in points] == [State.UP] * 14 + [State.DOWN] * 4
    month = await queries.target_page("link-b", now_ms, 30 * 86400)
    assert month is not None
    assert 1 <= len(month.checks[0].points) <= 3
    assert month.checks[0].points[0].low_s == pytest.approx(0.02)


async def test_a_monitor_that_has_fallen_silent_leaves_the_time_unknown(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    last_ms = MIDNIGHT_MS + 30 * MINUTE_MS
    await live_through(store, inventory, steady(CHECKS, MIDNIGHT_MS - MINUTE_MS, last_ms), last_ms)
    hour_later_ms = last_ms + 60 * MINUTE_MS
    (figures,) = await queries.availability(MIDNIGHT_MS, hour_later_ms, hour_later_ms, "dan-cu")
    assert figures.availability == 1.0
    assert figures.up_ms == 30 * MINUTE_MS
    assert figures.unknown_ms == 60 * MINUTE_MS
    page = await queries.target_page("dan-cu", hour_later_ms, 7200)
    assert page is not None
    assert page.timeline[-1].state is State.UNKNOWN
    assert (await queries.overview(hour_later_ms)).rows[0].availability_today == 1.0


async def test_downtime_before_midnight_does_not_count_today(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = MIDNIGHT_MS + 10 * MINUTE_MS
    history = steady(CHECKS, MIDNIGHT_MS - 60 * MINUTE_MS, MIDNIGHT_MS - 5 * MINUTE_MS, State.DOWN)
    history += steady(CHECKS, MIDNIGHT_MS - 5 * MINUTE_MS, now_ms)
    await live_through(store, inventory, history, now_ms)
    rows = (await queries.overview(now_ms)).rows
    assert {(row.availability_today, row.outage_today) for row in rows} == {(1.0, False)}
    (figures,) = await queries.availability(MIDNIGHT_MS - 60 * MINUTE_MS, MIDNIGHT_MS, now_ms, "dan-cu")
    assert figures.availability == pytest.approx(5 / 60)


async def test_maintenance_is_shown_while_it_is_in_force_and_leaves_the_figure(
    tmp_path: Path, store: Store, queries: Queries
) -> None:
    window = '\nmaintenance: [{targets: [link-b], from: "2026-09-22T00:05:00", to: "2026-09-22T00:20:00"}]'
    inventory = configured(tmp_path / "conf", CONFIGURATION + window)
    now_ms = await broken_channel(store, inventory)
    start_ms = rules_of(inventory).maintenance[0].from_ms
    assert start_ms == MIDNIGHT_MS + 5 * MINUTE_MS
    during = {row.id: row for row in (await queries.overview(start_ms + MINUTE_MS)).rows}
    after = {row.id: row for row in (await queries.overview(now_ms)).rows}
    assert during["link-b"].in_maintenance
    assert not during["link-a"].in_maintenance
    assert not after["link-b"].in_maintenance
    assert after["link-b"].availability_today == pytest.approx(5 / 15)


async def test_what_is_no_longer_configured_is_not_shown_but_kept(
    tmp_path: Path, store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = await broken_channel(store, inventory)
    fewer = {**inventory.targets}
    del fewer["dan-cu"]
    await store.sync_inventory(inventory.model_copy(update={"targets": fewer}))
    assert [row.id for row in (await queries.overview(now_ms)).rows] == ["link-b", "link", "link-a"]
    assert await queries.target_page("dan-cu", now_ms, 3600) is None
    assert len([r async for r in store.export_results(0, now_ms) if r.check == "dan-cu/http"]) == 540
    await store.sync_inventory(inventory)
    page = await queries.target_page("dan-cu", now_ms, 3600)
    assert page is not None
    assert len(page.checks[0].points) == 360


async def test_a_configuration_is_read_again_though_it_was_written_within_a_millisecond(
    store_url: str, queries: Queries, inventory: Inventory
) -> None:
    engine = create_engine(parse_url(store_url))
    seen = []
    for targets in (inventory.targets, {}, inventory.targets):
        async with engine.begin() as connection:
            await sync(connection, inventory.model_copy(update={"targets": targets}), MIDNIGHT_MS)
        seen.append(len((await queries.overview(MIDNIGHT_MS)).rows))
    await engine.dispose()
    assert seen == [4, 0, 4]


async def test_an_unknown_target_is_named_with_a_suggestion(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    with pytest.raises(UnknownTargetError, match="did you mean 'dan-cu'"):
        await queries.availability(0, 1, 2, "dan_cu")


async def test_transitions_and_incidents_are_listed_newest_first(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = await broken_channel(store, inventory)
    listed = await queries.transitions(MIDNIGHT_MS, now_ms)
    assert [t.detected_at_ms for t in listed] == sorted((t.detected_at_ms for t in listed), reverse=True)
    assert {t.subject for t in listed} == {"link-b/icmp", "link-b", "link"}
    assert await queries.transitions(MIDNIGHT_MS, now_ms, limit=1) == listed[:1]
    assert len(await queries.incidents()) == len((await queries.overview(now_ms)).incidents)


def test_rules_survive_their_way_through_the_store(tmp_path: Path) -> None:
    window = '\nsilences: [{targets: [link], from: "2026-09-22T00:05:00", to: "2026-09-22T00:20:00", reason: thử}]'
    rules = rules_of(configured(tmp_path / "conf", CONFIGURATION + window))
    assert rules_from(json.loads(to_json(rules))) == rules


async def test_there_is_no_store_before_a_monitor_has_run(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="no monitor has run"):
        await Queries.open(f"sqlite:///{tmp_path}/nothing.db")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs on this loop


async def test_a_database_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreVersionError, match="db upgrade"):
        await Queries.open(f"sqlite:///{tmp_path}/empty.db")


async def test_the_reading_door_cannot_write(queries: Queries) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    async with queries._engine.connect() as connection:
        with pytest.raises(DBAPIError, match=r"readonly|read-only"):
            await connection.execute(text("DELETE FROM meta"))


async def test_a_result_shows_its_phases(store: Store, queries: Queries, inventory: Inventory) -> None:
    samples = {"resolve_s": 0.001, "connect_s": 0.004, "first_byte_s": 0.014, "status": 503}
    one = result("dan-cu/http", MIDNIGHT_MS, State.UP, **samples)
    await live_through(store, inventory, [one], MIDNIGHT_MS + 100)
    page = await queries.target_page("dan-cu", MIDNIGHT_MS + 100, 60)
    assert page is not None
    (point,) = page.checks[0].points
    assert point.phases == {"resolve_s": 0.001, "connect_s": 0.004, "first_byte_s": 0.014}
    assert point.samples == samples
    assert point.latency_s == 0.03


async def test_a_traced_path_has_its_hops_whatever_the_window(store: Store, queries: Queries, tmp_path: Path) -> None:
    check = "checks: [{probe: path, address: 10.0.6.2, interval: 60s, timeout: 10s}]"
    inventory = configured(tmp_path / "traced", CONFIGURATION + f"  - {{id: far, type: link, {check}}}\n")
    samples = {"hops": 2, "last_hop": 2, "route_hash": 7, "hop_1_rtt_s": 0.001, "hop_2_rtt_s": 0.02}
    traced = result("far/path", MIDNIGHT_MS, State.UP, **samples)._replace(message="the route is 10.0.1.2 10.0.6.2")
    now_ms = MIDNIGHT_MS + 30 * MINUTE_MS
    await live_through(store, inventory, [traced, *steady(CHECKS[:1], MIDNIGHT_MS, now_ms)], now_ms)
    for window_s in (3600, 30 * 86_400):
        page = await queries.target_page("far", now_ms, window_s)
        assert page is not None
        path = page.checks[0].path
        assert path is not None
        assert [(hop.hosts, hop.rtt_s) for hop in path.hops] == [((("10.0.1.2",),), 0.001), ((("10.0.6.2",),), 0.02)]
    other = await queries.target_page("link-a", now_ms, 3600)
    assert other is not None
    assert other.checks[0].path is None


async def test_a_target_page_names_what_its_incidents_came_from(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = await broken_channel(store, inventory)
    page = await queries.target_page("link-b", now_ms, 3600)
    assert page is not None
    assert {incident.target for incident in page.incidents} == {"link"}
    assert page.names == {"link": Name("Đường truyền", "")}


async def test_a_monitor_that_starts_right_after_an_import_is_known_later_than_the_silence_before_it(
    store: Store, queries: Queries, inventory: Inventory
) -> None:
    now_ms = time.time_ns() // 1_000_000
    await store.sync_inventory(inventory)
    await store.import_results(steady(CHECKS, now_ms - 60 * MINUTE_MS, now_ms - 1_000))
    started_ms = time.time_ns() // 1_000_000
    await live_through(store, inventory, steady(CHECKS, started_ms, started_ms + 1), started_ms + 100)
    page = await queries.target_page("link-a", started_ms + 100, 600)
    assert page is not None
    assert page.row.state is State.UP
    assert page.timeline[-1].state is State.UP, "its results are within the patience of the silence before them"
    assert page.timeline[-1].from_ms <= started_ms
