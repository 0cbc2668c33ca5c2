"""`thongsuot demo --history`: a past for the simulated country, before it is watched."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from config.errors import ConfigError
from monitor.cli_base import NOT_MEASURED, WRONG_USE, fail, say
from monitor.demo.history import LONGEST_S, build
from monitor.logs import set_up_logs
from monitor.store import StoreError
from monitor.supervisor import start_country, stop_country
from probes.units import parse_duration

SEED = 1
"""Of the country that `thongsuot demo` starts."""


def parse_length(text: str) -> float:
    """Return how long a past is wanted, in seconds; ends with exit status 2 when that is none."""
    try:
        length_s = parse_duration(text)
    except ValueError as error:
        fail(WRONG_USE, f"--history: {error}")
    if not 0 < length_s <= LONGEST_S:
        fail(WRONG_USE, f"--history: {text!r} is not more than nothing and at most {LONGEST_S // 86_400}d")
    return length_s


async def build_history(directory: Path, length_s: float) -> None:
    """Build it. The country stands only until it has written its configuration: nobody watches it meanwhile."""
    # What importing has to say of each check is no news here.
    set_up_logs(logging.WARNING)
    begun_s = time.monotonic()
    country, config = await start_country(directory)
    await stop_country(country)
    try:
        await build(config, length_s, SEED, say)
    except ConfigError as error:
        fail(WRONG_USE, *(str(problem) for problem in error.problems))
    except StoreError as error:
        fail(NOT_MEASURED, str(error))
    say(f"lịch sử: xong sau {time.monotonic() - begun_s:.0f} giây / done in {time.monotonic() - begun_s:.0f} s")
