"""A check's state from its results: confirmation, silence and flapping, each a pure function of plain values.

The rules (DESIGN section 6.4), and what they leave to be said:

- Worse: with `k of n`, X is the worst state that at least k of the last n known outcomes are at least as bad as;
  `n in a row` is `n of n`. If X is worse than the state, the check becomes X, dated at the first of those outcomes.
- Better: Y is the worst of the last `up` known outcomes. If Y is better than the state, the check becomes Y, dated
  at the first of them, and what came before no longer counts for becoming worse.
- From `unknown`, one `up` is enough; a bad state is confirmed as ever, and the check stays `unknown` meanwhile.
- An outcome `unknown` (the probe could not measure) neither counts nor resets, but it is a sign of life: there is
  no silence. As many of them in a row as a bad state needs make the check `unknown`, dated at the first.
- Becoming `unknown` forgets the outcomes before it: no run is confirmed across a gap.
- A change is never dated before the one before it.
"""

from __future__ import annotations

from typing import NamedTuple

from alerts.flapping import OUTCOMES, is_flapping
from alerts.model import (
    BADNESS,
    NO_RESULTS,
    CheckRule,
    CheckState,
    Confirm,
    Flapping,
    Result,
    State,
    Subject,
    Transition,
)

UNMEASURED = -1
"""Badness of an outcome `unknown` in `CheckState.recent`; only ever at its end, after the known ones."""

STATE_OF = {badness: state for state, badness in BADNESS.items()}

Outcome = tuple[int, int, str]
"""Start of a result in milliseconds, its badness, its reason."""


class _Change(NamedTuple):
    badness: int
    at_ms: int
    reason: str


def evaluate(
    rule: CheckRule, state: CheckState, result: Result
) -> tuple[CheckState, Transition | None, Flapping | None]:
    """Return the check's new memory, its change of state if any, and its flapping if that began or ended.

    A result that did not start after the last one changes nothing.
    """
    if result.at_ms <= state.last_at_ms:
        return state, None, None
    if result.state is State.UNKNOWN:
        after, transition = _unmeasured(rule, state, result)
        return after, transition, None
    badness = BADNESS[result.state]
    outcome = (result.at_ms, badness, _reason_of(result))
    recent = (*_known(state.recent), outcome)
    change = _change(rule, state, recent)
    after = _settled(rule, state, change, recent, result)._replace(last_at_ms=result.at_ms)
    after, flapping = _with_history(rule, after, badness, result.known_at_ms)
    return after, _transition(rule, state, after, result.known_at_ms), flapping


def stale_at_ms(rule: CheckRule, state: CheckState) -> int:
    """Return when silence makes the check `unknown`."""
    return state.last_at_ms + round(rule.stale_after_s * 1000)


def expire(rule: CheckRule, state: CheckState, now_ms: int) -> tuple[CheckState, Transition | None]:
    """Return the check's memory after silence: `unknown` from when the next result was due.

    A check that never had a result, or whose silence is not long enough yet, is left as it is.
    """
    due_ms = stale_at_ms(rule, state)
    if not state.last_at_ms or now_ms < due_ms:
        return state, None
    if state.state is State.UNKNOWN:
        return state._replace(recent=(), reason=NO_RESULTS, message=""), None
    next_ms = state.last_at_ms + round(rule.interval_s * 1000)
    since_ms = max(state.since_ms, min(next_ms, due_ms))
    after = state._replace(state=State.UNKNOWN, since_ms=since_ms, reason=NO_RESULTS, message="", recent=())
    return after, _transition(rule, state, after, now_ms)


def confirming(state: CheckState) -> bool:
    """Say whether the last known outcome contradicts the state, or is bad while the state is unknown."""
    for _, badness, _ in reversed(state.recent):
        if badness != UNMEASURED:
            return badness > 0 if state.state is State.UNKNOWN else badness != BADNESS[state.state]
    return False


def _reason_of(result: Result) -> str:
    return result.failure.value if result.failure is not None and result.state is not State.UP else ""


def _known(recent: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    end = len(recent)
    while end and recent[end - 1][1] == UNMEASURED:
        end -= 1
    return recent[:end]


def _change(rule: CheckRule, state: CheckState, recent: tuple[Outcome, ...]) -> _Change | None:
    if state.state is State.UNKNOWN:
        at_ms, badness, _ = recent[-1]
        return _Change(0, at_ms, "") if badness == 0 else _worse(rule.down, recent, 0)
    current = BADNESS[state.state]
    return _worse(rule.down, recent, current) or _better(rule.up, recent, current)


def _worse(confirm: Confirm, recent: tuple[Outcome, ...], current: int) -> _Change | None:
    window = recent[-confirm.window :]
    for badness in range(max(STATE_OF), current, -1):
        bad = [outcome for outcome in window if outcome[1] >= badness]
        if len(bad) >= confirm.needed:
            return _Change(badness, bad[0][0], _last_reason(bad, badness))
    return None


def _better(needed: int, recent: tuple[Outcome, ...], current: int) -> _Change | None:
    run = recent[-needed:]
    badness = max(outcome[1] for outcome in run)
    if len(run) < needed or badness >= current:
        return None
    return _Change(badness, run[0][0], _last_reason(run, badness))


def _last_reason(outcomes: list[Outcome] | tuple[Outcome, ...], badness: int) -> str:
    return next(outcome[2] for outcome in reversed(outcomes) if outcome[1] == badness)


def _settled(
    rule: CheckRule, state: CheckState, change: _Change | None, recent: tuple[Outcome, ...], result: Result
) -> CheckState:
    """Return the memory with the change made, or with the newest reason and message behind an unchanged state."""
    if change is None:
        kept = _trimmed(rule, state.state, recent)
        if result.state is state.state is not State.UP:
            return state._replace(reason=recent[-1][2], message=result.message, recent=kept)
        return state._replace(recent=kept)
    after = STATE_OF[change.badness]
    if state.state is State.UNKNOWN:
        counting = recent if change.badness else recent[-1:]
    else:
        counting = recent if change.badness > BADNESS[state.state] else recent[-rule.up :]
    kept = _trimmed(rule, after, counting)
    return state._replace(
        state=after,
        since_ms=max(change.at_ms, state.since_ms),
        reason=change.reason,
        message=(result.message or state.message) if change.badness else "",
        recent=kept,
    )


def _trimmed(rule: CheckRule, state: State, recent: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Keep what can still confirm something; a good outcome before the first bad one says nothing to an `up`."""
    kept = recent[-max(rule.down.window, rule.up) :]
    if state is not State.UP:
        return kept
    first_bad = next((index for index, outcome in enumerate(kept) if outcome[1]), len(kept))
    if rule.down.needed == rule.down.window and kept[-1][1] == 0:
        return ()
    return kept[first_bad:]


def _unmeasured(rule: CheckRule, state: CheckState, result: Result) -> tuple[CheckState, Transition | None]:
    reason = _reason_of(result)
    after = state._replace(last_at_ms=result.at_ms)
    if state.state is State.UNKNOWN:
        return after._replace(reason=reason, message=result.message), None
    recent = (*state.recent, (result.at_ms, UNMEASURED, reason))
    run = recent[len(_known(recent)) :]
    if len(run) < rule.down.needed:
        return after._replace(recent=recent), None
    since_ms = max(run[0][0], state.since_ms)
    after = after._replace(state=State.UNKNOWN, since_ms=since_ms, reason=reason, message=result.message, recent=())
    return after, _transition(rule, state, after, result.known_at_ms)


def _with_history(rule: CheckRule, state: CheckState, badness: int, now_ms: int) -> tuple[CheckState, Flapping | None]:
    history = (*state.history, badness)[-OUTCOMES:]
    flapping = is_flapping(history, flagged=state.flapping)
    after = state._replace(history=history, flapping=flapping)
    if flapping == state.flapping:
        return after, None
    return after, Flapping(Subject.CHECK, rule.id, now_ms, flapping)


def _transition(rule: CheckRule, before: CheckState, after: CheckState, now_ms: int) -> Transition | None:
    if before.state is after.state:
        return None
    return Transition(Subject.CHECK, rule.id, before.state, after.state, after.since_ms, now_ms, after.reason)
