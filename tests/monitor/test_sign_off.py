"""Signed off is signed off: to the digit, whatever the rules become and whatever arrives late."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerts.model import State, Subject, Transition
from config.model import Inventory
from monitor.cli import app
from monitor.commands import AlreadySignedError, Commands, NotOverError
from monitor.queries import Queries, UnknownTargetError
from monitor.queries.signed import StoreDamagedError
from monitor.records import Batch
from monitor.store import Store
from tests.monitor.country import CONFIGURATION, configured, live_through, steady
from tests.monitor.test_closed_months import DAY_MS, HOUR_MS, STARTS, execute

FROM_MS, TO_MS, NOW_MS = STARTS[1], STARTS[2], STARTS[2] + DAY_MS
CHECKS = ("link-a/icmp", "link-b/icmp", "dan-cu/http", "dan-cu/tcp")
LABELLED = CONFIGURATION.replace("    criticality: 1\n", "    criticality: 1\n    labels: {programme: de-an-06}\n")
LABELLED = LABELLED.replace("{id: link-a, type: link,", "{id: link-a, type: link, agency: BTC, site: hn,")
BASIC = [
    *("target", "from", "to", "service_s", "up_s", "degraded_s", "down_s", "unknown_s", "maintenance_s"),
    *("availability", "availability_with_maintenance", "coverage", "outages", "longest_outage_s"),
    *("mttr_s", "mtbf_s", "objective", "met", "error_budget_left_s"),
]
"""The keys of DESIGN section 6.5, in its order."""


async def february(store: Store, tmp_path: Path, text: str = LABELLED) -> Inventory:
    """Live through the last two hours of February, in which `dan-cu` is down for six minutes."""
    inventory = configured(tmp_path / "conf", text)
    start_ms, cut_ms = TO_MS - 2 * HOUR_MS, TO_MS - HOUR_MS
    history = steady(CHECKS[:2], start_ms, TO_MS) + steady(CHECKS[2:], start_ms, cut_ms)
    history += steady(CHECKS[2:], cut_ms, cut_ms + 360_000, State.DOWN)
    history += steady(CHECKS[2:], cut_ms + 360_000, TO_MS)
    await live_through(store, inventory, history, TO_MS)
    return inventory


@pytest.fixture
async def doors(store: Store, store_url: str) -> AsyncIterator[tuple[Queries, Commands]]:
    queries, commands = await Queries.open(store_url), await Commands.open(store_url)
    yield queries, commands
    await commands.aclose()
    await queries.aclose()


async def test_late_results_and_other_rules_change_nothing_that_was_signed(
    store: Store, doors: tuple[Queries, Commands], tmp_path: Path
) -> None:
    queries, commands = doors
    await february(store, tmp_path)
    before = await queries.availability(FROM_MS, TO_MS, NOW_MS)
    signed = await commands.sign_off(FROM_MS, TO_MS, by="  Nguyễn Văn A ", now_ms=NOW_MS)
    assert list(signed.figures) == before
    late_ms = TO_MS - HOUR_MS // 2
    late = Transition(Subject.CHECK, "dan-cu/http", State.UP, State.DOWN, late_ms, late_ms + 1, "timeout")
    await store.save(Batch(transitions=[late]))
    await store.sync_inventory(configured(tmp_path / "conf", LABELLED.replace("policy: any", "policy: all")))
    assert await queries.availability(FROM_MS, TO_MS, NOW_MS + DAY_MS) == before
    assert await queries.availability(FROM_MS, TO_MS, NOW_MS, "dan-cu") == [f for f in before if f.target == "dan-cu"]
    counted = {f.target: f for f in await queries.counted_availability(FROM_MS, TO_MS, NOW_MS)}
    assert counted["dan-cu"].down_ms > {f.target: f.down_ms for f in before}["dan-cu"]
    again = await queries.signed_availability(FROM_MS, TO_MS)
    assert again == signed
    assert (again.signed_by, again.facts["dan-cu"].programme) == ("Nguyễn Văn A", "de-an-06")
    assert await queries.signed_availability(FROM_MS, TO_MS - 1) is None
    with pytest.raises(UnknownTargetError, match="did you mean 'dan-cu'"):
        await queries.availability(FROM_MS, TO_MS, NOW_MS, "dan_cu")


async def test_a_period_is_signed_once_and_only_when_it_is_over(
    store: Store, doors: tuple[Queries, Commands], tmp_path: Path
) -> None:
    _, commands = doors
    await february(store, tmp_path)
    with pytest.raises(NotOverError):
        await commands.sign_off(FROM_MS, TO_MS, by="A", now_ms=TO_MS - 1)
    with pytest.raises(ValueError, match="is no name"):
        await commands.sign_off(FROM_MS, TO_MS, by=" \n", now_ms=NOW_MS)
    await commands.sign_off(FROM_MS, TO_MS, by="A", now_ms=NOW_MS)
    with pytest.raises(AlreadySignedError, match="already, by A"):
        await commands.sign_off(FROM_MS, TO_MS, by="B", now_ms=NOW_MS)


async def test_a_signed_figure_that_was_changed_in_the_store_is_not_shown(
    store: Store, store_url: str, doors: tuple[Queries, Commands], tmp_path: Path
) -> None:
    queries, commands = doors
    await february(store, tmp_path)
    await commands.sign_off(FROM_MS, TO_MS, by="A", now_ms=NOW_MS)
    await execute(store_url, "UPDATE signed_figures SET figures = replace(figures, '360000', '36000')")
    with pytest.raises(StoreDamagedError, match="A signed off"):
        await queries.availability(FROM_MS, TO_MS, NOW_MS)


@pytest.fixture
async def country(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose store holds February."""
    text = LABELLED.replace("settings: {", f'settings: {{store: "sqlite:///{tmp_path}/store.db", ')
    store = await Store.open(f"sqlite:///{tmp_path}/store.db")
    await february(store, tmp_path, text)
    await store.beat(NOW_MS)
    await store.aclose()
    monkeypatch.setenv("TOKEN", "bi-mat")
    return tmp_path / "conf"


def thongsuot(country: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--config", str(country)])
    return done.exit_code, done.output


PERIOD = ("--from", "2026-02-01", "--to", "2026-03-01")


def test_the_command_line_signs_and_shows(country: Path) -> None:
    status, before = thongsuot(country, "availability", *PERIOD, "--json")
    assert status == 1
    assert [list(figure) for figure in json.loads(before)] == [BASIC] * 4
    assert thongsuot(country, "availability", "--month", "2026-02", "--json") == (status, before)
    assert thongsuot(country, "availability", *PERIOD, "--signed")[0] == 3
    assert thongsuot(country, "sign-off", "--month", "2026-02", "--by", "A") == (0, "4 targets signed off by A\n")
    assert thongsuot(country, "sign-off", "--month", "2026-02", "--by", "B")[0] == 2
    assert thongsuot(country, "sign-off", "--month", "2099-01", "--by", "B")[0] == 2
    files = country / "country.yaml"
    files.write_text(files.read_text().replace("dan-cu\n", "dan-so\n"))
    assert thongsuot(country, "availability", *PERIOD, "--json") == (status, before)
    assert thongsuot(country, "availability", *PERIOD, "--signed", "--json") == (status, before)
    shown = thongsuot(country, "availability", *PERIOD, "--signed")[1]
    assert shown.startswith("signed off by A on ")


async def test_the_command_line_compares_what_was_signed_with_what_is_counted_now(country: Path) -> None:
    import asyncio

    run = asyncio.to_thread
    await run(thongsuot, country, "sign-off", "--month", "2026-02", "--by", "A")
    store = await Store.open(f"sqlite:///{country.parent}/store.db")
    late_ms = TO_MS - 60_000
    late = Transition(Subject.CHECK, "dan-cu/http", State.UP, State.DOWN, late_ms, late_ms + 1, "timeout")
    await store.save(Batch(transitions=[late]))
    await store.aclose()
    _, text = await run(thongsuot, country, "availability", *PERIOD, "--compare")
    assert "dan-cu: counted now" in text
    assert "down +60.000 s, known +0.000 s, outages +1" in text
    _, found = await run(thongsuot, country, "availability", *PERIOD, "--compare", "--target", "dan-cu", "--json")
    figure = json.loads(found)
    assert (figure["outages"], figure["counted_now"]["outages"]) == (1, 2)
    assert list(figure)[:-1] == BASIC


def test_the_command_line_adds_targets_up(country: Path) -> None:
    _, found = thongsuot(country, "availability", *PERIOD, "--by", "agency", "--json")
    by_agency = {part["agency"]: part for part in json.loads(found)}
    assert {id_: part["targets"] for id_, part in by_agency.items()} == {"BTC": 2, "": 1, "BCA": 1}
    assert by_agency["BCA"]["targets_missed"] == 1
    assert by_agency["BTC"]["up_s"] == 2 * 7200
    _, found = thongsuot(country, "availability", *PERIOD, "--by", "province", "--json")
    assert {part["province"]: part["targets"] for part in json.loads(found)} == {"01": 2, "": 2}
    _, found = thongsuot(country, "availability", *PERIOD, "--by", "programme", "--json")
    assert {part["programme"]: part["targets"] for part in json.loads(found)} == {"de-an-06": 1, "": 3}
    _, found = thongsuot(country, "availability", *PERIOD, "--by", "group", "--json")
    assert [(part["group"], part["targets"]) for part in json.loads(found)] == [("link", 2)]
    status, text = thongsuot(country, "availability", *PERIOD, "--by", "agency", "--agency", "BTC")
    assert status == 0
    assert text.split()[0] == "BTC"
    assert "objectives met 0, not met 0, of 2 targets" in text


def test_the_command_line_lists_outages_and_what_they_cost(country: Path) -> None:
    status, found = thongsuot(country, "availability", *PERIOD, "--target", "dan-cu", "--outages", "--json")
    figure = json.loads(found)
    (outage,) = figure["outage_list"]
    assert status == 1
    assert (outage["from"], outage["counted_s"], outage["reason"]) == (
        "2026-02-28T16:00:00.000Z", 360, "connect_refused"
    )  # fmt: skip
    assert outage["error_budget_share"] == 360 / 7.2
    _, text = thongsuot(country, "availability", *PERIOD, "--target", "dan-cu", "--outages")
    assert "360.000 s  connect_refused  5000.0 % of the error budget" in text


def test_the_command_line_shows_the_availability_of_links_by_loss(country: Path) -> None:
    _, found = thongsuot(country, "availability", *PERIOD, "--loss", "--json")
    by_target = {figure["target"]: figure["by_loss"] for figure in json.loads(found) if "by_loss" in figure}
    assert set(by_target) == {"link", "link-a", "link-b"}
    assert by_target["link-a"][0]["check"] == "link-a/icmp"
    (together,) = by_target["link"]
    assert (together["members"], together["need"], together["availability"]) == (["link-a", "link-b"], 1, 1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "2026-02-01"),
        ("--month", "2026-02", "--to", "2026-03-01"),
        ("--month", "2026-13"),
        (*PERIOD, "--by", "colour"),
        (*PERIOD, "--by", "agency", "--target", "link"),
        (*PERIOD, "--by", "agency", "--compare"),
        (*PERIOD, "--outages"),
        (*PERIOD, "--results", "x.jsonl", "--signed"),
    ],
)
def test_wrong_use_is_said(country: Path, arguments: tuple[str, ...]) -> None:
    assert thongsuot(country, "availability", *arguments)[0] == 2
