"""Results into the store from a file: the raw results, and for checks that are new to it their history as well.

History is decided by the same core as a live result, with a virtual clock, but opens no incident and tells nobody:
what is imported is over. Results of checks that the store has states of already are kept raw; their states stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from alerts.core import Core
from alerts.model import Result, Transition
from config.model import Inventory
from config.rules import rules_of
from monitor.jobs import jobs_of
from monitor.recent import Recent
from monitor.records import Batch, TargetNow
from monitor.replay import run
from monitor.result_json import read_results
from monitor.store import Store, StoreInUseError

OWNER = "thongsuot import"


class Imported(NamedTuple):
    """What an import did: results that were new, checks whose history was decided, and why not of all."""

    results: int
    checks: int
    remark: str


async def import_results(store: Store, inventory: Inventory, path: Path) -> Imported:
    """Import a file of results; importing it again changes nothing.

    Raises ResultError, OSError and StoreUnavailableError.
    """
    try:
        await store.take_lock(OWNER)
    except StoreInUseError as error:
        new = await store.import_results(read_results(path))
        return Imported(new, 0, f"states and availability are left to the running monitor: {error}")
    await store.sync_inventory(inventory)
    _, known = await store.load_memory()
    new = await store.import_results(read_results(path))
    fresh = [result for result in read_results(path) if result.check not in known]
    checks = await _decide(store, inventory, fresh)
    return Imported(new, checks, "")


async def _decide(store: Store, inventory: Inventory, results: list[Result]) -> int:
    """Save what the core makes of the results of checks that the store knows nothing of; return how many checks."""
    core = Core(rules_of(inventory))
    recent = Recent(jobs_of(inventory.checks.values()))
    batch = Batch()
    for event in run(core, results):
        if isinstance(event, Transition):
            batch.transitions.append(event)
    for result in sorted(results, key=_start):
        recent.add(result)
    checks = {result.check for result in results} & core.memory.checks.keys()
    batch.checks = [recent.check_now(check, core.memory.checks[check]) for check in sorted(checks)]
    batch.targets = [
        TargetNow(target.id, core.memory.targets[target.id])
        for target in inventory.targets.values()
        if any(check.id in checks for check in target.checks) or target.members
    ]
    batch.rollups = recent.take_rollups(0)
    await store.save(batch)
    return len(checks)


def _start(result: Result) -> int:
    return result.at_ms
