"""Passive checks of jobs that run by themselves: synchronisation, backups, exports. The job says that it ran.

    - probe: heartbeat
      token: ${file:tokens/sync-dancu}
      schedule: "30 2 * * *"            # or a period: 1h
      timezone: Asia/Ho_Chi_Minh
      grace: 20m
      degraded_when: ["runs_open > 1", "run_s > 3600"]

The job asks one address of the monitor's listener, with GET, HEAD or POST:

| address | says |
|---|---|
| `/heartbeat/<token>/start` | it begins |
| `/heartbeat/<token>` | it ended well |
| `/heartbeat/<token>/fail` | it failed |
| `/heartbeat/<token>/<exit code>` | it ended with that exit code; 0 is success |

The end of what is posted with it (4,000 characters) is kept as the tail of the job's log; the last line of a failed
run stands in the message. `?rid=<id>` names the run, so that runs that overlap are told apart. In a shell:

    curl -fsS -m 10 --retry 5 "$URL/start?rid=$$"; run-sync >log 2>&1; code=$?
    curl -fsS -m 10 --retry 5 --data-binary @log "$URL/$code?rid=$$"

**Due.** With a period, one period after the last run ended; with a cron expression (as Debian's cron reads it), at
its next moment after that, on the clock of `timezone`. The check is down (`heartbeat_missed`) when `grace` after that
no run has ended and none is under way, or when one that began has not ended within `max_run`; and
(`heartbeat_failed`) while the last run that ended had failed. A run that never says how it ended is forgotten once a
later one has ended well. A signal is acted upon at once; silence is noticed at the check's own interval.

**Unknown** it is while a job that was never heard of is not yet due, and when its signal may have come while nobody
listened (this monitor was down): until the next run is due, and its grace is over, nothing is held against it.

The address is known to whoever has the token: make it long and random. It is never shown.
"""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from probes.heartbeat_book import KEY, Book, Page, Verdict, last_line
from probes.heartbeat_schedule import parse_schedule
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.units import Duration

TOKEN_PATTERN = r"[A-Za-z0-9_-]{8,200}"  # noqa: S105 - what a token looks like
FINE = Verdict(None)


class HeartbeatParams(Params):
    """Parameters of a heartbeat."""

    schedule: str = Field(description="a period such as 1h, or a cron expression such as 30 2 * * 1-5")
    token: SecretStr = Field(description="what the job's address ends in: 8 to 200 letters, digits, - and _")
    timezone: str = Field("Asia/Ho_Chi_Minh", description="whose clock a cron expression goes by")
    grace: Duration = Field(600.0, gt=0.0, description="how late a run may end before it is missed")
    max_run: Duration | None = Field(None, gt=0.0, description="how long a run may take; default: as long as grace")

    _key: str = PrivateAttr()

    @field_validator("token")
    @classmethod
    def _fits_into_an_address(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(TOKEN_PATTERN, value.get_secret_value()):
            raise ValueError("a token has 8 to 200 letters, digits, - and _")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value not in available_timezones():
            message = f"there is no time zone {value!r}: write a name such as Asia/Ho_Chi_Minh"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _is_a_schedule(self) -> HeartbeatParams:
        parse_schedule(self.schedule, ZoneInfo(self.timezone))
        return self

    def model_post_init(self, _context: Any) -> None:
        """Work out once what every run needs."""
        self._key = key_of(self.token.get_secret_value())

    @property
    def key(self) -> str:
        """What the job's page is found by: the token itself is kept nowhere."""
        return self._key

    @property
    def max_run_ms(self) -> float:
        """How long a run may take, in milliseconds."""
        return 1000 * (self.max_run or self.grace)

    def next_due_ms(self, at_ms: int) -> int:
        """Return when the next run is due after one ended at `at_ms`."""
        return parse_schedule(self.schedule, ZoneInfo(self.timezone)).after(at_ms)


def key_of(token: str) -> str:
    """Return the digest that a token is known by."""
    return hashlib.sha256(token.encode()).hexdigest()


async def run(params: HeartbeatParams, ctx: Context) -> Measurement:
    """Look the job up in the book."""
    book: Book = ctx.resources.get(KEY, Book)
    if book.heard_from_ms is None:
        return Measurement(failure=Failure.AGENT_LOST, message="only a running monitor hears heartbeats")
    now_ms = time.time_ns() // 1_000_000
    page = book.pages.setdefault(params.key, Page(now_ms))
    verdict = judge(params, page, book, now_ms)
    return Measurement(samples_of(params, page, now_ms), verdict.failure, verdict.message, {"log": page.tail})


def judge(params: HeartbeatParams, page: Page, book: Book, now_ms: int) -> Verdict:
    """Say whether the job is in order at `now_ms`."""
    if page.failure_ms > page.success_ms:
        code = "" if page.exit_code is None else f" with exit code {page.exit_code}"
        line = last_line(page.tail)
        failed = f"the run that ended at {_clock(params, page.failure_ms)} failed{code}"
        return Verdict(Failure.HEARTBEAT_FAILED, f"{failed}: {line}" if line else failed)
    under_way = _runs_under_way(params, page, now_ms)
    if under_way:
        return _overrun(params, min(under_way), now_ms)
    due_ms = params.next_due_ms(page.ended_ms or page.known_ms)
    missed_ms = due_ms + round(params.grace * 1000)
    if now_ms > missed_ms:
        if book.was_deaf(due_ms, missed_ms):
            return _excused(params, book, now_ms)
        ended = (
            f"the last run ended at {_clock(params, page.ended_ms)}" if page.ended_ms else "no run was ever heard of"
        )
        return Verdict(Failure.HEARTBEAT_MISSED, f"a run was due at {_clock(params, due_ms)}; {ended}")
    if not page.ended_ms:
        return Verdict(Failure.AGENT_LOST, f"never heard of so far; due at {_clock(params, due_ms)}")
    return FINE


def _runs_under_way(params: HeartbeatParams, page: Page, now_ms: int) -> list[int]:
    """Return when the open runs began, without those that a later success has shown to be lost."""
    return [
        began_ms
        for began_ms in page.runs.values()
        if began_ms > page.success_ms or now_ms - began_ms <= params.max_run_ms
    ]


def _overrun(params: HeartbeatParams, began_ms: int, now_ms: int) -> Verdict:
    if now_ms - began_ms <= params.max_run_ms:
        return FINE
    limit_s = params.max_run_ms / 1000
    message = f"the run that began at {_clock(params, began_ms)} has not ended within {limit_s:g} s"
    return Verdict(Failure.HEARTBEAT_MISSED, message)


def _excused(params: HeartbeatParams, book: Book, now_ms: int) -> Verdict:
    """Judge a job whose signal may have gone unheard: by the next run that is due since somebody listens."""
    due_ms = params.next_due_ms(book.heard_from_ms or 0)
    if now_ms > due_ms + params.grace * 1000:
        return Verdict(Failure.HEARTBEAT_MISSED, f"a run was due at {_clock(params, due_ms)}, and none was heard of")
    return Verdict(Failure.AGENT_LOST, f"a signal may have gone unheard; the next is due at {_clock(params, due_ms)}")


def samples_of(params: HeartbeatParams, page: Page, now_ms: int) -> dict[str, float]:
    """Return what is known of the job, in figures."""
    samples: dict[str, float] = {"runs_open": len(_runs_under_way(params, page, now_ms))}
    due_ms = params.next_due_ms(page.ended_ms or page.known_ms)
    samples["overdue_s"] = max(0.0, (now_ms - due_ms) / 1000)
    if page.success_ms:
        samples["success_age_s"] = max(0.0, (now_ms - page.success_ms) / 1000)
    if page.run_ms is not None:
        samples["run_s"] = page.run_ms / 1000
    if page.exit_code is not None:
        samples["exit_code"] = page.exit_code
    return samples


def _clock(params: HeartbeatParams, at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(params.timezone))
    return moment.strftime("%d/%m/%Y %H:%M:%S")


PROBE = Probe(
    kind="heartbeat",
    params=HeartbeatParams,
    address="schedule",
    run=run,
    samples={
        "success_age_s": "time since the last run that ended well, seconds",
        "overdue_s": "how long a run has been due, seconds; 0 before it is due",
        "run_s": "how long the last run took that said when it began, seconds",
        "runs_open": "runs that have begun and not ended",
        "exit_code": "exit code of the last run that ended, where it told one",
    },
    facts={"log": "string"},
    latency="run_s",
)
