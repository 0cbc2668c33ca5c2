"""Intervals of time as sets of moments: [from, to) in milliseconds, put in order, and cut with each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
"""[from, to) in milliseconds."""


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals, in order and disjoint; empty ones vanish."""
    found: list[Interval] = []
    for start_ms, end_ms in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if found and start_ms <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_ms))
        else:
            found.append((start_ms, end_ms))
    return found


def intersection(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return what is in both; both are in order and disjoint."""
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start_ms, end_ms = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start_ms < end_ms:
            found.append((start_ms, end_ms))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


def difference(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return what is in `left` and not in `right`; both are in order and disjoint."""
    found, j = [], 0
    for start_ms, end_ms in left:
        at_ms = start_ms
        while j < len(right) and right[j][1] <= at_ms:
            j += 1
        k = j
        while k < len(right) and right[k][0] < end_ms:
            if right[k][0] > at_ms:
                found.append((at_ms, right[k][0]))
            at_ms = max(at_ms, right[k][1])
            k += 1
        if at_ms < end_ms:
            found.append((at_ms, end_ms))
    return found


def length_ms(intervals: Iterable[Interval]) -> int:
    """Return how long disjoint intervals are together."""
    return sum(end_ms - start_ms for start_ms, end_ms in intervals)
