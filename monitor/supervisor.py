"""`thongsuot up` and `thongsuot demo`: start the processes, start again what dies, stop all of them together."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog

log = structlog.get_logger()

RESTART_FIRST_S, RESTART_MOST_S = 1.0, 30.0
STEADY_S = 60.0
"""A process that lived this long is started again without delay when it dies."""
STOP_GRACE_S = 15.0
HOPELESS = (2,)
"""Exit statuses that no restart mends: wrong use or configuration."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep running: its name in the log, and its command line."""

    name: str
    command: Sequence[str]


def monitor_program(config: Path) -> Program:
    """Return the monitor process."""
    return Program("monitor", (sys.executable, "-m", "monitor", "monitor", "--config", str(config)))


def web_program(config: Path) -> Program:
    """Return the web process."""
    return Program("web", (sys.executable, "-m", "monitor", "web", "--config", str(config)))


async def supervise(programs: Sequence[Program]) -> int:
    """Keep the programs running until SIGTERM or SIGINT; return the exit status.

    A program that exits with a status that no restart mends stops all of them, with that status.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keepers = [asyncio.create_task(_keep(program, stop)) for program in programs]
    statuses = await asyncio.gather(*keepers)
    return max(statuses, default=0)


async def _keep(program: Program, stop: asyncio.Event) -> int:
    delay_s = RESTART_FIRST_S
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        # Its own session: Ctrl-C reaches only this process, which then stops the others in order.
        process = await asyncio.create_subprocess_exec(*program.command, start_new_session=True)
        status = await _run_until(process, stop)
        if stop.is_set():
            return 0
        if status in HOPELESS:
            stop.set()
            return status
        delay_s = RESTART_FIRST_S if loop.time() - started > STEADY_S else min(delay_s * 2, RESTART_MOST_S)
        log.error("a process ended and is started again", name=program.name, status=status, in_s=delay_s)
        await _sleep(delay_s, stop)
    return 0


async def _run_until(process: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
    """Wait for the process to end; when `stop` is set first, end it."""
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(ended), STOP_GRACE_S)
        except TimeoutError:
            process.kill()
    return await ended


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def start_country(directory: Path) -> tuple[asyncio.subprocess.Process, Path]:
    """Start the simulated country; return its process and the configuration that watches it.

    Raises RuntimeError when it does not come up.
    """
    command = (sys.executable, "-m", "monitor.demo", "--directory", str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True)
    if process.stdout is None:
        raise RuntimeError("the simulated country has no output to read")
    line = await process.stdout.readline()
    if not line:
        status = await process.wait()
        message = f"the simulated country did not start (exit status {status})"
        raise RuntimeError(message)
    return process, Path(orjson.loads(line)["config"])


async def stop_country(country: asyncio.subprocess.Process) -> None:
    """End the simulated country, if it still runs."""
    if country.returncode is None:
        country.terminate()
    await country.wait()


async def run_demo(directory: Path, ready: Callable[[Path], None]) -> int:
    """Start the simulated country, and the product that watches it, until SIGTERM or SIGINT.

    `ready` is told the configuration before the product starts.
    """
    country, config = await start_country(directory)
    try:
        ready(config)
        return await supervise((monitor_program(config), web_program(config)))
    finally:
        await stop_country(country)
