"""The simulated country's past: deterministic, decided by the core, and a past like any other once it is stored."""

from __future__ import annotations

import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from alerts.model import State
from alerts.periods import local_day
from config.loader import load
from config.rules import rules_of
from monitor.cli import WRONG_USE, app
from monitor.demo import history, past_script
from monitor.demo.configuration import STAMP, Facts, write
from monitor.demo.past import CALM_S, Era, Past
from monitor.demo.script import Effect, Fault
from monitor.demo.weather import busy
from monitor.demo.witness import DEGRADED_LOSS_RATIO, DEGRADED_RTT_S, Watched, Witness
from monitor.queries import Queries
from monitor.rollup import HOUR_MS, results_in
from monitor.store import Store
from monitor.store.care import check as problems_of

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
DAY_MS = 24 * HOUR_MS
SUNDAY_MS = 1_793_466_000_000
"""2026-11-01 00:00 in Hà Nội."""
CHANNEL = Watched("link-cao-bang-a/stamp", "link-cao-bang-a", "stamp")
DATABASE = Watched("csdl-y-te/postgresql", "csdl-y-te", "postgresql")


def era(days: int, seed: int = 1) -> Era:
    """Return an era of whole days that ends on that Sunday."""
    return Era(SUNDAY_MS - days * DAY_MS, SUNDAY_MS, seed, ZONE)


def configured(directory: Path, past: Past) -> Path:
    """Write the configuration of the country without binding anything: nobody listens there."""
    (directory / "database").write_text("secret")
    facts = Facts(
        address_of=lambda _: "127.0.0.1:9",
        ca_file=directory / "ca.pem",
        password_file=directory / "database",
        data=directory / "data",
        web="127.0.0.1:0",
        listen="127.0.0.1:0",
        receiver="http://127.0.0.1:9",
    )
    (directory / "ca.pem").write_text("")
    write(directory / "config", past.plan, facts)
    return directory / "config"


def test_the_same_day_has_the_same_faults_whatever_the_length() -> None:
    plan = Past(era(1), SUNDAY_MS).plan
    short = past_script.faults(plan, 1, SUNDAY_MS - 30 * DAY_MS, SUNDAY_MS, ZONE)
    long = past_script.faults(plan, 1, SUNDAY_MS - 60 * DAY_MS, SUNDAY_MS, ZONE)
    assert short
    assert [fault for fault in long if fault.from_s * 1000 >= SUNDAY_MS - 30 * DAY_MS] == list(short)
    assert past_script.faults(plan, 2, SUNDAY_MS - 30 * DAY_MS, SUNDAY_MS, ZONE) != short


def test_a_year_has_every_kind_of_trouble_and_one_province_a_bad_month() -> None:
    plan = Past(era(1), SUNDAY_MS).plan
    faults = past_script.faults(plan, 1, SUNDAY_MS - 365 * DAY_MS, SUNDAY_MS, ZONE)
    assert {
        "channel_cut", "fibre_cut", "packet_loss", "detour", "database_stalled", "maintenance", "gateway_outage",
    } <= {fault.what for fault in faults}  # fmt: skip
    by_place = past_script.by_place(faults)
    most = max(by_place, key=lambda place: sum(fault.what == "fibre_cut" for fault in by_place[place]))
    months = {local_day(round(f.from_s * 1000), ZONE).month for f in by_place[most] if f.what == "fibre_cut"}
    assert months & set(past_script.BAD_MONTHS)
    assert all(fault.to_s * 1000 <= SUNDAY_MS for fault in faults)


def test_offices_are_busy_by_hour_and_weekday() -> None:
    monday_ms = SUNDAY_MS + DAY_MS
    assert busy(monday_ms + 10 * HOUR_MS) > 3 * busy(SUNDAY_MS + 10 * HOUR_MS) > 0
    assert busy(monday_ms + 10 * HOUR_MS) > 20 * busy(monday_ms + 3 * HOUR_MS)


def test_what_is_judged_is_what_the_configuration_says() -> None:
    assert STAMP["degraded_when"] == [f"loss_ratio > {DEGRADED_LOSS_RATIO:g}", f"rtt_mean_s > {DEGRADED_RTT_S:g}"]


def test_the_past_repeats_itself(tmp_path: Path) -> None:
    rules = rules_of(load(configured(tmp_path, Past(era(1), SUNDAY_MS)), environ={})).checks
    one, other = (Past(era(20), SUNDAY_MS).history(CHANNEL, rules[CHANNEL.id]) for _ in range(2))
    assert one == other
    assert one != Past(era(20, seed=2), SUNDAY_MS).history(CHANNEL, rules[CHANNEL.id])
    assert len(one.hours) == 20 * 24
    assert len(one.days) == 20
    assert sum(map(results_in, one.days)) == sum(map(results_in, one.hours)) >= 20 * DAY_MS // (CALM_S * 1000)


@pytest.mark.parametrize(
    ("effect", "state", "reason"),
    [
        (Effect(cut=True), State.DOWN, "connect_timeout"),
        (Effect(refuse=True), State.DOWN, "connect_refused"),
        (Effect(refuse_login=True), State.DOWN, "auth_rejected"),
        (Effect(stalled_since_s=0.0), State.DOWN, "stale"),
        (Effect(added_s=1.2), State.DEGRADED, "condition"),
    ],
)
def test_a_fault_is_seen_as_the_far_end_would_show_it(effect: Effect, state: State, reason: str) -> None:
    plan = Past(era(1), SUNDAY_MS).plan
    fault = Fault("some", DATABASE.target, 100.0, 200.0, effect)
    witness = Witness(plan, DATABASE, {DATABASE.target: (fault,)}, 1)
    before, during, after = (witness.measure(at_ms) for at_ms in (99_000, 190_000, 200_000))
    assert before.state is after.state is State.UP
    assert during.state is state
    assert during.failure is not None
    assert during.failure.value == reason


def test_a_service_is_cut_off_only_while_every_channel_of_its_link_is() -> None:
    plan = Past(era(1), SUNDAY_MS).plan
    check = Watched("lgsp-cao-bang/http", "lgsp-cao-bang", "http")
    cut = Effect(cut=True)
    faults = {
        "link-cao-bang-a": (Fault("cut", "link-cao-bang-a", 100.0, 300.0, cut),),
        "link-cao-bang-b": (Fault("cut", "link-cao-bang-b", 200.0, 400.0, cut),),
    }
    witness = Witness(plan, check, faults, 1)
    states = [witness.measure(at_s * 1000).state for at_s in (150, 250, 350)]
    assert states == [State.UP, State.DOWN, State.UP]


async def test_a_stored_past_is_in_order_and_gives_figures(store_url: str, store: Store, tmp_path: Path) -> None:
    past = Past(era(40), SUNDAY_MS)
    inventory = load(configured(tmp_path, past), environ={})
    await store.sync_inventory(inventory)
    rules = rules_of(inventory).checks
    built = [past.history(check, rules[check.id]) for check in (CHANNEL, DATABASE)]
    for _ in range(2):  # once more changes nothing
        await store.import_history(built)
    await store.settle(SUNDAY_MS)
    assert await problems_of(store_url) == []
    queries = await Queries.open(store_url)
    try:
        page = await queries.target_page(CHANNEL.target, SUNDAY_MS, 30 * DAY_MS // 1000)
    finally:
        await queries.aclose()
    assert page is not None
    assert page.simulated
    assert len(page.checks[0].points) == 30 * 24 - 1  # the monitor was away for an hour of the first Sunday
    assert all(point.p50_s and point.p99_s and point.p50_s <= point.p99_s for point in page.checks[0].points[:100])
    assert [month["from"] for month in page.months] == ["2026-08-31T17:00:00.000Z", "2026-09-30T17:00:00.000Z"]
    assert all(0.9 < float(str(month["availability"])) <= 1 for month in page.months)


async def test_a_past_of_hours_is_results_and_an_interrupted_build_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RAW_MS", 300_000)
    monkeypatch.setattr(history, "_ROUNDS", 1)
    monkeypatch.setattr(history, "_watched", lambda _: [CHANNEL, DATABASE])
    config = configured(tmp_path, Past(era(1), SUNDAY_MS))
    told: list[str] = []

    class KilledError(Exception):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(history, "_results", killed)
        with pytest.raises(KilledError):
            await history.build(config, 240, 1, told.append)
    await history.build(config, 240, 1, told.append)
    url = load(config, environ={}).settings.store
    assert await problems_of(url) == []
    queries = await Queries.open(url)
    page = await queries.target_page(CHANNEL.target, time.time_ns() // 1_000_000, 3600)
    await queries.aclose()
    assert page is not None
    assert len(page.checks[0].points) > 30
    await history.build(config, 240, 1, told.append)
    assert "the past was built before" in told[-1]


def test_a_length_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    for text in ("long", "0s", "9999d"):
        found = CliRunner().invoke(app, ["demo", "--directory", str(tmp_path), "--history", text])
        assert found.exit_code == WRONG_USE
    assert not any(tmp_path.iterdir())
