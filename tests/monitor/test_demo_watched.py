"""The product's own probes, configured by what the simulated country writes, conclude what its script expects."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.model import BADNESS, Result, State
from config.loader import load
from config.model import Inventory
from monitor.demo.country import Country, start
from monitor.demo.script import NOTHING
from monitor.demo.stage import HandClock
from monitor.jobs import Job, job_of
from monitor.runner import measure
from probes.model import Resources
from tests.monitor.demo_clients import move

MOMENTS = (95, 150, 215, 341, 390, 440, 500, 570)
"""Moments of the first cycle: between them every one of its faults has its turn."""
PATIENCE_S = 2.5
"""Enough for a slow gateway, and less than the configuration grants to a host that is silent."""

AT_ONCE = 16
"""Checks that run side by side: all of them together would be slow by themselves on a busy machine."""


@pytest.fixture
async def country(tmp_path: Path) -> AsyncIterator[Country]:
    country = await start(tmp_path, scale=0.0, clock=HandClock())
    yield country
    await country.close()


async def run(inventory: Inventory, targets: Iterable[str]) -> dict[str, Result]:
    """Run all checks of these targets once, some at a time; return results by check."""
    resources, seats = Resources(), asyncio.Semaphore(AT_ONCE)

    async def one(job: Job) -> Result:
        async with seats:
            return await measure(job, resources, "test")

    jobs = [job_of(check) for target in targets for check in inventory.targets[target].checks]
    hasty = [replace(job, timeout_s=min(job.timeout_s, PATIENCE_S)) for job in jobs]
    try:
        results = await asyncio.gather(*map(one, hasty))
    finally:
        await resources.aclose()
    return {result.check: result for result in results}


def worst(inventory: Inventory, target: str, results: dict[str, Result]) -> tuple[State, str]:
    """Return the state and reason of a target: those of its worst critical check."""
    mine = [results[check.id] for check in inventory.targets[target].checks if check.critical]
    result = max(mine, key=lambda r: BADNESS[r.state])
    return result.state, str(result.failure or "")


async def test_everything_is_up_at_the_start(country: Country) -> None:
    inventory = load(country.config, environ=os.environ)
    assert inventory.settings.simulated
    results = await run(inventory, inventory.targets)
    assert {check: (r.state, r.message) for check, r in results.items() if r.state != State.UP} == {}
    assert {check.probe for check in inventory.checks.values()} >= {"stamp", "http", "tls", "dns", "tcp", "postgresql"}
    assert len(results) == len(inventory.checks)


async def test_each_fault_is_seen_as_the_script_expects(country: Country) -> None:
    inventory = load(country.config, environ=os.environ)
    seen = set()
    for moment in MOMENTS:
        await move(country, moment)
        faults = [f for f in country.stage.active if moment - f.from_s > f.visible_s and f.at(moment) != NOTHING]
        seen |= {fault.what for fault in faults}
        expected = {target: expect for fault in faults for target, expect in fault.expect.items()}
        results = await run(inventory, expected)
        for target, (state, reason) in expected.items():
            if not inventory.targets[target].checks:
                continue  # a link of two channels: its state follows from theirs
            wanted = State.DOWN if state == "flapping" else State(state)
            assert worst(inventory, target, results) == (wanted, reason), (moment, target, results)
    assert seen == {fault.what for fault in country.stage.script.cycle(0)}


async def test_what_no_fault_touches_stays_up(country: Country) -> None:
    inventory = load(country.config, environ=os.environ)
    await move(country, 570)
    touched = {target for fault in country.stage.active for target in fault.expect}
    results = await run(inventory, set(inventory.targets) - touched)
    assert {check: (r.state, r.message) for check, r in results.items() if r.state != State.UP} == {}


async def test_groups_links_and_dependencies_are_those_of_the_country(country: Country) -> None:
    inventory = load(country.config, environ=os.environ)
    link = inventory.targets["link-cao-bang"]
    assert (link.members, link.need) == (("link-cao-bang-a", "link-cao-bang-b"), 1)
    assert inventory.targets["lgsp-cao-bang"].depends_on == ("link-cao-bang",)
    assert inventory.targets["csdl-thue"].depends_on == ("gw-tai-chinh",)
    assert inventory.targets["gw-tai-chinh"].depends_on == ("link-btc",)
    assert (inventory.targets["gw-ndxp"].need, inventory.targets["gw-ndxp"].type) == (1, "group")
    assert inventory.sites["04"].lat == pytest.approx(22.6657)
    assert inventory.targets["csdl-dan-cu"].agency == "BCA"
