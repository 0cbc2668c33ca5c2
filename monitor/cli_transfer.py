"""`thongsuot import`, `export` and `db …`: results in and out, and care of the store."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alerts.periods import utc_text
from config.model import Inventory, Settings
from monitor.cli_base import FINE, NOT_FINE, NOT_MEASURED, WRONG_USE, fail, note, say
from monitor.logs import set_up_logs
from monitor.result_json import ResultError, read_results, result_line, result_writer
from monitor.store import Store, StoreError
from monitor.store.care import backup, check, vacuum
from monitor.store.copying import copy_store
from monitor.store.restoring import restore
from monitor.times import parse_period_ms

_BEGINNING = "1970-01-02"
_NAMED = 5
"""Checks that are named where more are unknown."""


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    try:
        store = await Store.open(url)
    except StoreError as error:
        fail(NOT_MEASURED, str(error))
    try:
        yield store
    except StoreError as error:
        fail(NOT_MEASURED, str(error))
    finally:
        await store.aclose()


async def import_file(path: Path, inventory: Inventory) -> int:
    """Import results; what is there already is left as it is, and of a file with a wrong line nothing is taken."""
    set_up_logs(logging.WARNING)  # what is worked out of each check is no news here
    try:
        checks = _looked_through(path)
        async with _opened(inventory.settings.store) as store:
            await store.adopt_inventory(inventory)
            new = await store.import_results(read_results(path))
    except ResultError as error:
        fail(WRONG_USE, str(error))
    except OSError as error:
        fail(NOT_MEASURED, f"{path}: {error.strerror}")
    say(f"{new} new results")
    unknown = sorted(checks - inventory.checks.keys())
    if unknown:
        named = ", ".join(unknown[:_NAMED]) + (", …" if len(unknown) > _NAMED else "")
        note(f"kept and not counted: the configuration does not have {named}")
    return FINE


def _looked_through(path: Path) -> set[str]:
    """Return whose results a file holds, having looked at every line of it; what can be read only once is not."""
    return {result.check for result in read_results(path)} if path.is_file() else set()


async def export_file(from_: str, to: str, settings: Settings, out: Path | None) -> int:
    """Export results in time order, to a file or to standard output; 3 when there are none."""
    try:
        from_ms, to_ms = parse_period_ms(from_, to, settings.timezone)
    except ValueError as error:
        fail(WRONG_USE, str(error))
    count = 0
    async with _opened(settings.store) as store:
        results = store.export_results(from_ms, to_ms)
        if out is None:
            async for result in results:
                sys.stdout.buffer.write(result_line(result))
                count += 1
            sys.stdout.buffer.flush()
        else:
            with result_writer(out) as write:
                async for result in results:
                    write(result)
                    count += 1
    if out is not None:
        say(f"{count} results")
    return FINE if count else NOT_MEASURED


async def upgrade_store(url: str) -> int:
    """Bring the schema up to date."""
    async with _opened(url):
        say("the store is up to date")
    return FINE


async def check_store(url: str) -> int:
    """Print what is wrong with the store."""
    problems = await _cared(check(url))
    for problem in problems:
        say(problem)
    if not problems:
        say("the store is in order")
    return NOT_FINE if problems else FINE


async def rebuild_rollups(settings: Settings, from_: str | None, to: str | None) -> int:
    """Count rollups again; 3 when there are no raw results of that time."""
    set_up_logs(logging.WARNING)
    now = datetime.now(UTC).isoformat()
    try:
        from_ms, to_ms = parse_period_ms(from_ or _BEGINNING, to or now, settings.timezone)
    except ValueError as error:
        fail(WRONG_USE, str(error))
    async with _opened(settings.store) as store:
        wrong, first_ms, end_ms = await store.rebuild(from_ms, to_ms)
    if first_ms >= end_ms:
        say("there are no raw results of that time that are no longer added to")
        return NOT_MEASURED
    say(f"{wrong} rollups of 5 minutes from {utc_text(first_ms)} to {utc_text(end_ms)} were put right")
    return FINE


async def backup_store(url: str, path: Path) -> int:
    """Copy the store while it is in use."""
    await _cared(backup(url, path))
    say(f"copied to {path}")
    return FINE


async def restore_store(url: str, path: Path) -> int:
    """Put a copy into the store, and check it."""
    problems = await _cared(restore(url, path))
    for problem in problems:
        say(problem)
    if not problems:
        say(f"restored from {path}; the store is in order")
    return NOT_FINE if problems else FINE


async def copy_to(source: str, target: str) -> int:
    """Copy a store into an empty database and verify it."""
    copied = await _cared(copy_store(source, target))
    for table, rows, checksum in copied:
        say(f"{table:<18} {rows:>12}  {checksum}")
    say("copied; what was written was read again and is the same")
    return FINE


async def vacuum_store(url: str) -> int:
    """Give back the space of what was deleted."""
    await _cared(vacuum(url))
    say("done")
    return FINE


async def _cared(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except (StoreError, OSError) as error:
        fail(NOT_MEASURED, str(error))
