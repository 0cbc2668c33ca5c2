"""`python -m monitor.demo --directory D`: run the country until SIGTERM.

When it is ready one line of JSON says where the configuration is. Whoever reads it through a pipe keeps the country
alive: when the reader is gone, the country stops.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import stat
import sys
from pathlib import Path

import orjson

from monitor.demo.blueprint import draw
from monitor.demo.country import OPEN_FILES, InUseError, schedule, start
from monitor.demo.domain import read

FINE, WRONG_USE, NOT_STARTED = 0, 2, 3


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monitor.demo", description="A simulated country on loopback.")
    parser.add_argument("--directory", type=Path, help="where its files go: configuration, certificates, logs, store")
    parser.add_argument("--seed", type=int, default=1, help="of weather and later faults (1)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of provinces and ministries, 0 to 1 (1)")
    parser.add_argument("--describe", action="store_true", help="say what there is and what will happen, and end")
    options = parser.parse_args()
    if not 0 <= options.scale <= 1:
        parser.error("--scale is a share: 0 to 1")
    if options.describe:
        _describe(options.seed, options.scale)
        return FINE
    if options.directory is None:
        parser.error("--directory is needed")
    try:
        asyncio.run(_run(options.directory, options.seed, options.scale))
    except InUseError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is what a command line is for
        return WRONG_USE
    except OSError as error:
        print(f"the simulated country cannot start: {error}", file=sys.stderr)  # noqa: T201
        return NOT_STARTED
    return FINE


def _describe(seed: int, scale: float) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    for what, count in draw(read(), scale).counts().items():
        print(f"{count:6}  {what}")  # noqa: T201
    for line in schedule(seed, scale):
        print(line)  # noqa: T201


async def _run(directory: Path, seed: int, scale: float) -> None:
    _allow_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    country = await start(directory, seed=seed, scale=scale)
    try:
        ready = {"config": str(country.config), "truth": str(country.truth), "web": country.web}
        sys.stdout.buffer.write(orjson.dumps(ready) + b"\n")
        sys.stdout.buffer.flush()
        _stop_with_reader(stop)
        stopping = asyncio.create_task(stop.wait())
        player = country.player or stopping
        await asyncio.wait({stopping, player}, return_when=asyncio.FIRST_COMPLETED)
        if player.done():
            player.result()  # what broke the play is worth a traceback
        stopping.cancel()
    finally:
        await country.close()


def _allow_files() -> None:
    """Raise the limit of open files as far as may be: each far end has a socket, and clients come on top."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _stop_with_reader(stop: asyncio.Event) -> None:
    """Stop when standard output is a pipe (or socket) that nobody reads any more: the parent was killed."""
    descriptor = sys.stdout.fileno()
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(descriptor)
            stop.set()

        # A pipe whose reader closed it reports an error, a socket its end; both wake a reader (poll(2)).
        loop.add_reader(descriptor, gone)


if __name__ == "__main__":
    sys.exit(main())
