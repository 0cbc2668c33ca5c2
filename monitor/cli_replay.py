"""`thongsuot replay`: what the rules would have done with recorded results."""

from __future__ import annotations

from pathlib import Path

import orjson

from config.rules import rules_of
from monitor.cli_base import FINE, NOT_MEASURED, WRONG_USE, fail, load_inventory, say
from monitor.replay import event_json, replay
from monitor.result_json import ResultError, read_results
from monitor.times import parse_time_ms


def replay_file(path: Path, config: Path, until: str | None, *, as_json: bool) -> int:
    """Print the events, one JSON object a line; `--json` says the same, for symmetry with other commands."""
    del as_json
    inventory = load_inventory(config)
    try:
        until_ms = None if until is None else parse_time_ms(until, inventory.settings.timezone)
        results = list(read_results(path))
    except (ResultError, ValueError) as error:
        fail(WRONG_USE, str(error))
    except OSError as error:
        fail(NOT_MEASURED, f"{path}: {error.strerror}")
    for event in replay(rules_of(inventory), results, until_ms):
        line = event_json(event)
        if line is not None:
            say(orjson.dumps(line).decode())
    return FINE
