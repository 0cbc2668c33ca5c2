"""Heartbeats: what follows from what jobs say, and from their silence."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.heartbeat_book import KEY, RUNS_MOST, TAIL_CHARACTERS, Book, Page, Signal, turned
from probes.heartbeat_schedule import parse_schedule
from probes.kinds.heartbeat import PROBE, HeartbeatParams, judge, samples_of
from probes.model import Context, Failure, Resources

HCM = ZoneInfo("Asia/Ho_Chi_Minh")
MINUTE = 60_000


def ms(text: str, zone: ZoneInfo = HCM) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def params(**more: Any) -> HeartbeatParams:
    return HeartbeatParams.model_validate({"token": "mot-job-nao-do", "schedule": "1h", "grace": "10m", **more})


def listening(from_ms: int = 0, deaf_from_ms: int = 0) -> Book:
    book = Book()
    book.heard_from_ms, book.deaf_from_ms = from_ms, deaf_from_ms
    return book


T0 = ms("2026-11-20T08:00:00")
HEARD = listening(T0 - 86_400_000, T0 - 86_500_000)


def verdict(page: Page, now_ms: int, book: Book = HEARD, **more: Any) -> Failure | None:
    return judge(params(**more), page, book, now_ms).failure


def test_a_job_is_fine_until_its_grace_is_over() -> None:
    page = turned(Page(T0), Signal.SUCCESS, T0)
    assert verdict(page, T0 + 70 * MINUTE) is None
    found = judge(params(), page, HEARD, T0 + 70 * MINUTE + 1)
    assert found.failure is Failure.HEARTBEAT_MISSED
    assert found.message == "a run was due at 20/11/2026 09:00:00; the last run ended at 20/11/2026 08:00:00"


def test_a_failed_run_is_told_with_its_exit_code_and_the_end_of_its_log() -> None:
    page = turned(Page(T0), Signal.FAILURE, T0, exit_code=3, tail="bắt đầu\nORA-01017: bị từ chối\n\n")
    found = judge(params(), page, HEARD, T0 + 1)
    assert found == (
        Failure.HEARTBEAT_FAILED,
        "the run that ended at 20/11/2026 08:00:00 failed with exit code 3: ORA-01017: bị từ chối",
    )
    assert verdict(turned(page, Signal.SUCCESS, T0 + MINUTE), T0 + 2 * MINUTE) is None


def test_a_job_never_heard_of_is_unknown_until_it_is_overdue() -> None:
    page = Page(T0)
    assert verdict(page, T0 + MINUTE) is Failure.AGENT_LOST
    assert verdict(page, T0 + 71 * MINUTE) is Failure.HEARTBEAT_MISSED


def test_a_run_under_way_is_not_missed_but_must_end() -> None:
    page = turned(turned(Page(T0), Signal.SUCCESS, T0), Signal.START, T0 + 60 * MINUTE)
    assert verdict(page, T0 + 85 * MINUTE, max_run="30m") is None
    found = judge(params(max_run="30m"), page, HEARD, T0 + 91 * MINUTE)
    assert found.failure is Failure.HEARTBEAT_MISSED
    assert found.message == "the run that began at 20/11/2026 09:00:00 has not ended within 1800 s"
    # Without a limit of its own, a run may take as long as the grace.
    assert verdict(page, T0 + 71 * MINUTE) is Failure.HEARTBEAT_MISSED


def test_runs_that_overlap_are_told_apart_by_their_ids() -> None:
    page = turned(Page(T0), Signal.START, T0, "a")
    page = turned(page, Signal.START, T0 + MINUTE, "b")
    assert samples_of(params(), page, T0 + 2 * MINUTE)["runs_open"] == 2
    page = turned(page, Signal.SUCCESS, T0 + 3 * MINUTE, "b")
    assert page.run_ms == 2 * MINUTE
    assert samples_of(params(), page, T0 + 4 * MINUTE)["runs_open"] == 1
    page = turned(page, Signal.SUCCESS, T0 + 5 * MINUTE, "a")
    assert page.run_ms == 5 * MINUTE
    assert page.runs == {}


def test_a_run_that_died_without_a_word_is_forgotten_after_a_later_success() -> None:
    page = turned(Page(T0), Signal.START, T0, "died")
    assert verdict(page, T0 + 11 * MINUTE) is Failure.HEARTBEAT_MISSED
    page = turned(turned(page, Signal.START, T0 + 20 * MINUTE, "next"), Signal.SUCCESS, T0 + 21 * MINUTE, "next")
    assert verdict(page, T0 + 40 * MINUTE) is None
    assert samples_of(params(), page, T0 + 40 * MINUTE)["runs_open"] == 0


def test_a_signal_that_comes_late_changes_nothing_newer() -> None:
    page = turned(turned(Page(T0), Signal.SUCCESS, T0 + MINUTE), Signal.FAILURE, T0, exit_code=1)
    assert (page.success_ms, page.failure_ms, page.exit_code) == (T0 + MINUTE, 0, None)


def test_what_may_have_gone_unheard_is_not_held_against_the_job() -> None:
    """The monitor was down from 08:50 to 09:30; the run was due at 09:00."""
    page = turned(Page(T0), Signal.SUCCESS, T0)
    book = listening(ms("2026-11-20T09:30:00"), ms("2026-11-20T08:50:00"))
    found = judge(params(), page, book, ms("2026-11-20T09:40:00"))
    assert found.failure is Failure.AGENT_LOST
    assert found.message == "a signal may have gone unheard; the next is due at 20/11/2026 10:30:00"
    # Silence from then on is the job's own.
    assert verdict(page, ms("2026-11-20T10:40:01"), book) is Failure.HEARTBEAT_MISSED
    # An outage of ours that was over before the run was due excuses nothing.
    early = listening(ms("2026-11-20T08:40:00"), ms("2026-11-20T08:10:00"))
    assert verdict(page, ms("2026-11-20T09:40:00"), early) is Failure.HEARTBEAT_MISSED


def test_a_cron_expression_goes_by_the_clock_of_its_zone() -> None:
    nightly = params(schedule="30 2 * * 1-5", grace="20m")
    friday = ms("2026-11-20T02:47:00")
    page = turned(Page(friday), Signal.SUCCESS, friday)
    book = listening(0, 0)
    book.heard_from_ms = friday - 1
    assert judge(nightly, page, book, ms("2026-11-22T12:00:00")).failure is None, "no run is due at the weekend"
    assert judge(nightly, page, book, ms("2026-11-23T02:49:59")).failure is None
    missed = judge(nightly, page, book, ms("2026-11-23T02:50:01"))
    assert missed.message.startswith("a run was due at 23/11/2026 02:30:00")


@pytest.mark.parametrize(
    ("after", "due"),
    [
        # Riga skips from 03:00 to 04:00 on 29 March 2026, and has 03:00 to 04:00 twice on 25 October 2026.
        ("2026-03-28T03:30:00+02:00", "2026-03-29T04:00:00+03:00"),
        ("2026-10-24T03:30:00+03:00", "2026-10-25T03:30:00+03:00"),
        ("2026-10-25T03:30:00+03:00", "2026-10-26T03:30:00+02:00"),
    ],
)
def test_a_change_of_the_clock_neither_skips_nor_repeats_a_run(after: str, due: str) -> None:
    cron = parse_schedule("30 3 * * *", ZoneInfo("Europe/Riga"))
    at_ms = round(datetime.fromisoformat(after).timestamp() * 1000)
    assert cron.after(at_ms) == round(datetime.fromisoformat(due).timestamp() * 1000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "soon"}, "not a duration"),
        ({"schedule": "0s"}, "longer than nothing"),
        ({"schedule": "61 2 * * *"}, "not a cron expression"),
        ({"schedule": "0 0 30 2 *"}, "not a cron expression"),
        ({"token": "short"}, "8 to 200"),
        ({"token": "with/slash/in/it"}, "8 to 200"),
        ({"timezone": "Asia/Saigon2"}, "no time zone"),
        ({"grace": "0s"}, "greater than 0"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        params(**wrong)


def test_the_token_is_never_shown() -> None:
    assert "mot-job-nao-do" not in repr(params())
    assert "mot-job-nao-do" not in params().key


async def test_a_probe_outside_a_monitor_cannot_know() -> None:
    ctx = Context(5.0, 0.0, Resources())
    found = await PROBE.run(params(), ctx)
    assert (found.failure, found.message) == (Failure.AGENT_LOST, "only a running monitor hears heartbeats")


async def test_a_probe_reads_the_book() -> None:
    ctx = Context(5.0, 0.0, Resources())
    book: Book = ctx.resources.get(KEY, Book)
    book.heard_from_ms = 1
    book.pages[params().key] = turned(Page(1), Signal.FAILURE, 2, exit_code=9, tail="hỏng")
    found = await PROBE.run(params(), ctx)
    assert found.failure is Failure.HEARTBEAT_FAILED
    assert found.samples["exit_code"] == 9
    assert found.facts["log"] == "hỏng"
    assert set(found.samples) <= set(PROBE.samples)


signals = st.tuples(
    st.sampled_from(Signal),
    st.integers(0, 10_000_000),
    st.sampled_from(["", "a", "b", "c"]),
    st.none() | st.integers(0, 255),
    st.text(max_size=50),
)


@given(st.lists(signals, max_size=80))
def test_whatever_jobs_say_the_page_stays_small_and_can_be_kept(said: list[tuple[Any, ...]]) -> None:
    page = Page(0)
    for signal, at_ms, run, exit_code, tail in said:
        page = turned(page, signal, at_ms, run, exit_code, tail * 100)
        assert len(page.runs) <= RUNS_MOST
        assert len(page.tail) <= TAIL_CHARACTERS
        assert page.run_ms is None or page.run_ms >= 0
    assert Page.from_json(page.as_json()) == page
    ends = [at_ms for signal, at_ms, *_ in said if signal is not Signal.START]
    assert page.ended_ms == max(ends, default=0)
