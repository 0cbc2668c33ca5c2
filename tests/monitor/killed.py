"""A monitor to be killed a hundred times: the engine as it is, forked from a process that has loaded it already.

What it is fed instead of probing is a pure function of check, agent and time, and is noted in a file before it is fed:
whoever reads the store afterwards knows what may be there and how it must look. A board in shared memory says how
many of this life's results the engine has confirmed by then: these must be there.

    python -m tests.monitor.killed DIRECTORY      then, on standard input, a line for each life: its first late result
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from sqlalchemy import select

from alerts.model import Result, State
from config.loader import load
from monitor.app import Monitor
from monitor.logs import set_up_logs
from monitor.store.classes import DELIVERED
from monitor.store.outbox import notifications
from monitor.store.tables import LATE, outdated
from monitor.upkeep import SEALED_AFTER_MS
from probes.model import Failure
from tests.monitor.engine import rows

CHECKS = tuple(f"target-{number}/http" for number in range(8))
LOCAL, AWAY, HEIR = "local", "away", "heir"
"""Whose results are new, whose come hours late, and whose are good ones only."""
LATE_EVERY_MS = 2_000
TICK_S = 0.01
_FAILS_EVERY, _FAILS_FOR_MS = 5, 700
_BOARD = struct.Struct("<QQ")


class Known(NamedTuple):
    """What names a result."""

    check: str
    agent: str
    at_ms: int


def made(known: Known) -> Result:
    """Return the one result that this check can have had at this time."""
    check, agent, at_ms = known
    turn = at_ms // _FAILS_FOR_MS + crc32(check.encode())
    duration_s = (at_ms % 997 + 1) / 1_000_000
    samples = {"first_byte_s": duration_s / 2, "body_bytes": at_ms % 4_001}
    if agent == LOCAL and turn % _FAILS_EVERY == 0:
        message = f"status = {500 + at_ms % 5}"
        return Result(check, agent, at_ms, duration_s, State.DOWN, Failure.HTTP_STATUS, message, samples)
    return Result(check, agent, at_ms, duration_s, State.UP, None, "", samples)


def write_configuration(directory: Path, store: str, listen: str, hook: str) -> None:
    """Write what the monitor reads: an address that nobody asks for each check."""
    config = directory / "config"
    config.mkdir()
    (config / "store").write_text(store)  # it may hold a password
    check = {"probe": "http", "url": "http://127.0.0.1:9/", "interval": "10s", "timeout": "2s"}
    confirm = {"confirm": {"down": 3, "up": 2}}
    document = {
        "settings": {"store": "${file:store}", "spool": str(directory / "spool"), "listen": listen},
        "targets": [
            {"id": name.partition("/")[0], "type": "endpoint", "name": name, "checks": [{**check, **confirm}]}
            for name in CHECKS
        ],
        "receivers": [{"id": "noc", "channel": "webhook", "url": hook}],
        "routes": [{"receivers": ["noc"]}],
    }
    (config / "product.yaml").write_text(json.dumps(document))


class Board:
    """What a life tells of itself, readable after its death: confirmed results, and whether it has begun."""

    def __init__(self, directory: Path) -> None:
        with (directory / "board").open("a+b") as file:
            file.truncate(_BOARD.size)
            self._memory = mmap.mmap(file.fileno(), _BOARD.size)

    def write(self, confirmed: int, has_begun: int) -> None:
        self._memory[:] = _BOARD.pack(confirmed, has_begun)

    def read(self) -> tuple[int, bool]:
        confirmed, has_begun = _BOARD.unpack(self._memory[:])
        return confirmed, bool(has_begun)


def told(directory: Path) -> list[Known]:
    """Return everything that has been fed so far, in order; a line that was being written was not fed."""
    path = directory / "fed"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Known(check, agent, int(at_ms)) for check, agent, at_ms in map(str.split, lines)]


async def live(directory: Path, first_late: int) -> None:
    """Be the monitor of one life, until killed; SIGTERM ends it in good order."""
    board = Board(directory)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    monitor = await Monitor.open(directory / "config", load(directory / "config", environ={}))
    await monitor.start()
    monitor._schedule.stop()
    settling = asyncio.create_task(_settle_on_and_on(monitor))
    fed = os.open(directory / "fed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = first_late
    last_ms = 0
    while not stop.is_set():
        now_ms = max(time.time_ns() // 1_000_000, last_ms + 1)
        last_ms = now_ms
        some = [Known(check, LOCAL, now_ms) for check in CHECKS]
        some.append(_late(directory, number))
        number += 1
        await _feed(monitor, fed, some)
        board.write(monitor._writer.saved, 1)
        await asyncio.sleep(TICK_S)
    await _end_well(monitor, fed, last_ms)
    settling.cancel()
    await monitor.stop()


def _late(directory: Path, number: int) -> Known:
    begun_ms = int((directory / "late-from").read_text())
    return Known(CHECKS[number % len(CHECKS)], AWAY, begun_ms + number * LATE_EVERY_MS)


async def _feed(monitor: Monitor, fed: int, some: list[Known]) -> None:
    os.write(fed, "".join(f"{one.check} {one.agent} {one.at_ms}\n" for one in some).encode())
    for one in some:
        await monitor._inbox.put(made(one))


async def _settle_on_and_on(monitor: Monitor) -> None:
    while True:
        await monitor._settle()
        await asyncio.sleep(TICK_S)


async def _end_well(monitor: Monitor, fed: int, last_ms: int) -> None:
    """Feed good results until nothing is down, and leave when everybody is told and everything settled and sealed."""
    for place in range(4):
        await _feed(monitor, fed, [Known(check, HEIR, last_ms + 2 + place) for check in CHECKS])
    store = monitor.inventory.settings.store
    unsent = select(notifications.c.id).where(notifications.c.status < DELIVERED)
    late = select(outdated.c.id).where(outdated.c.what == LATE)
    while (
        len(monitor._inbox)
        or monitor._core.memory.incidents
        or await rows(store, unsent)
        or await rows(store, late)
        or await monitor._store.seal(last_ms - SEALED_AFTER_MS)
    ):
        await asyncio.sleep(TICK_S)


def _fork(directory: Path, first_late: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        asyncio.run(live(directory, first_late))
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def main() -> None:
    """Fork a life for every line, and say its process id, then the status that it ended with."""
    directory = Path(sys.argv[1])
    set_up_logs()
    for line in sys.stdin:
        pid = _fork(directory, int(line))
        _say(pid)
        _, status = os.waitpid(pid, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
