"""C50: percentiles of a year are those of its results within 2 %; least, greatest, count and sum are exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import ceil

import pytest

from monitor.histogram import SCALE, Histogram, decode, encode

INTERVALS = 365 * 288
PER_INTERVAL = 3
"""Results in five minutes, of a check every 100 s: a year of them."""


def year_us(rng: random.Random) -> Iterator[list[int]]:
    """Yield five minutes at a time: most around 30 ms, slower by day, a slow tail, and a week of another route."""
    for interval in range(INTERVALS):
        median_us = 30_000 + 12_000 * (96 < interval % 288 < 200) + 90_000 * (20_000 < interval < 22_016)
        yield [
            round(median_us * rng.lognormvariate(0, 0.25) * (1 if rng.random() < 0.98 else 1 + rng.expovariate(0.1)))
            for _ in range(PER_INTERVAL)
        ]


@pytest.mark.parametrize("coarsest", [SCALE, SCALE - 1])
def test_c50_percentiles_of_a_year_of_five_minutes(coarsest: int) -> None:
    rng = random.Random(50)
    raw_us: list[int] = []
    year, hour = Histogram(), Histogram()
    for number, values in enumerate(year_us(rng)):
        raw_us += values
        # What a store holds: bodies, and of some agents coarser ones.
        five_minutes = Histogram(coarsest if number % 7 == 0 else SCALE)
        for value in values:
            five_minutes.add(value)
        hour.merge(decode(encode(five_minutes), five_minutes.minimum, five_minutes.maximum, five_minutes.sum))
        if number % 12 == 11:
            year.merge(hour)
            hour = Histogram()
    raw_us.sort()
    assert year.scale == coarsest
    assert year.count == len(raw_us) == INTERVALS * PER_INTERVAL
    assert year.sum == sum(raw_us)
    assert (year.minimum, year.maximum) == (raw_us[0], raw_us[-1])
    bound = 0.02 if coarsest == SCALE else 0.022
    for q in (0.5, 0.95, 0.99):
        true = raw_us[ceil(q * len(raw_us)) - 1]
        assert year.quantile(q) == pytest.approx(true, rel=bound)


def test_c50_sums_are_the_same_in_any_order() -> None:
    rng = random.Random(51)
    parts = [Histogram() for _ in range(500)]
    for part in parts:
        for _ in range(30):
            part.add(rng.randrange(10**9))
    forward, backward = Histogram(), Histogram()
    for part in parts:
        forward.merge(part)
    for part in reversed(parts):
        backward.merge(part)
    assert forward == backward
