"""Flapping: a check that changes too often to be believed is flagged and kept quiet, and still recorded.

The weighted history of Nagios ("Detection and Handling of State Flapping"): of the last 21 known outcomes, the 20
possible changes count with weights that rise evenly from 0.8 (oldest) to 1.2 (newest); their sum is 20, so that
a check that changes every time is at 100 %. Flapping begins at 30 % and ends below 25 %.

Weights are held in whole 1/190ths (0.8 = 152, 1.2 = 228, a step of 4), so that a share of exactly 30 % is 30 %.
"""

from __future__ import annotations

from collections.abc import Sequence

OUTCOMES = 21
"""How many known outcomes the history holds; there are 20 possible changes between them."""

CALM = (0,) * OUTCOMES
"""A full history of nothing but good outcomes: that of most checks, and one object for all of them."""

_WEIGHTS = tuple(range(152, 229, 4))
_FULL = sum(_WEIGHTS)
_START_PERCENT = 30
_STOP_PERCENT = 25


def change_share(history: Sequence[int]) -> float:
    """Return the weighted share of changes, 0 to 1, in a full history; 0 for one that is not full yet."""
    return _changes(history) / _FULL


def is_flapping(history: Sequence[int], *, flagged: bool) -> bool:
    """Say whether outcomes (badness, oldest first) flap, given whether they were flagged before.

    A history that is not full says nothing and leaves the flag as it is.
    """
    if len(history) < OUTCOMES:
        return flagged
    limit = _STOP_PERCENT if flagged else _START_PERCENT
    return _changes(history) * 100 >= limit * _FULL


def _changes(history: Sequence[int]) -> int:
    if len(history) < OUTCOMES:
        return 0
    recent = history[-OUTCOMES:]
    return sum(weight for weight, before, after in zip(_WEIGHTS, recent, recent[1:], strict=False) if before != after)
