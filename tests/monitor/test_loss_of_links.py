"""Availability by loss, read from the store: of a link's own checks, and of its members together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.queries import Queries
from monitor.queries import loss as reading
from monitor.store import Store
from tests.monitor.country import configured, live_through, result

SPAN_MS = 300_000
FROM_MS = 1_790_000_100_000
TO_MS = FROM_MS + 6 * SPAN_MS
LOST = {"a": "..xxx ", "b": ".x.x  ", "c": "xxxx..", "d": "......"}
"""By channel, interval by interval: carried, lost, or no packets."""

LINKS = """
settings: {timezone: Asia/Ho_Chi_Minh}
targets:
  - {id: a, type: link, checks: [{probe: icmp, address: 127.0.0.1, interval: 10s}]}
  - {id: b, type: link, checks: [{probe: icmp, address: 127.0.0.1, interval: 10s}]}
  - id: c
    type: link
    checks:
      - {probe: icmp, address: 127.0.0.1, interval: 10s}
      - {probe: tcp, address: "127.0.0.1:9", interval: 10s}
  - id: d
    type: link
    checks:
      - {probe: icmp, address: 127.0.0.1, interval: 10s}
      - {probe: icmp, name: bulk, address: 127.0.0.1, interval: 10s, critical: false}
  - {id: pair, type: link, members: [a, b], policy: any}
  - {id: strict, type: link, members: [a, b], policy: all}
  - {id: three, type: link, members: [a, b, c], policy: 2-of-n}
  - {id: above, type: link, members: [pair, c], policy: any}
  - {id: spare, type: link, members: [d], policy: any}
  - {id: both, type: group, members: [a, b], policy: all}
"""


@pytest.fixture
async def queries(store: Store, store_url: str, tmp_path: Path) -> AsyncIterator[Queries]:
    assert FROM_MS % SPAN_MS == 0
    history = [
        result(f"{channel}/icmp", FROM_MS + place * SPAN_MS + offset_ms, loss_ratio=float(mark == "x"))
        for channel, marks in LOST.items()
        for place, mark in enumerate(marks)
        for offset_ms in (0, 10_000)
        if mark != " "
    ]
    history += [result("d/bulk", FROM_MS + place * SPAN_MS, loss_ratio=1.0) for place in range(6)]
    history += [result(f"{channel}/icmp", FROM_MS - 1, rtt_mean_s=0.02) for channel in "abcd"]
    await live_through(store, configured(tmp_path / "conf", LINKS), history, TO_MS)
    opened = await Queries.open(store_url)
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("at_once", [1, 3, reading.CHECKS_AT_ONCE])
async def test_links_are_judged_by_their_checks_and_by_their_members(
    queries: Queries, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reading, "CHECKS_AT_ONCE", at_once)
    found = await queries.loss(["nothing", *"abcd", *LINKS_OF], FROM_MS, TO_MS, TO_MS)
    counted = {
        link: {one.check or "+".join(one.members): (one.intervals, one.unavailable) for one in all_of}
        for link, all_of in found.items()
    }
    assert counted == LINKS_OF | {
        "a": {"a/icmp": (5, 3)},
        "b": {"b/icmp": (4, 2)},
        "c": {"c/icmp": (6, 4)},
        "d": {"d/icmp": (6, 0), "d/bulk": (6, 6)},
    }


LINKS_OF = {
    "pair": {"a+b": (4, 1)},  # lost where both lost it; the fifth is open: b sent nothing
    "strict": {"a+b": (5, 4)},  # lost where either did
    "three": {"a+b+c": (4, 3)},  # two must carry: of the fifth a is lost, b is not known, c carried: it is open
    "above": {"pair+c": (6, 1)},
    "spare": {"d": (6, 0)},  # a check that is not critical takes nothing down
}


async def test_what_is_not_a_link_has_no_such_figure(queries: Queries) -> None:
    assert await queries.loss(["both"], FROM_MS, TO_MS, TO_MS) == {}
