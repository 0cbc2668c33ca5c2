"""`thongsuot validate` and `thongsuot reload`."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

import orjson

from config.errors import ConfigError
from config.loader import load
from monitor.cli import FINE, NOT_MEASURED, WRONG_USE, fail, say


def validate_config(directory: Path, *, as_json: bool) -> int:
    """Print all problems of the configuration, or what it holds; return the exit status."""
    try:
        inventory = load(directory, environ=os.environ)
    except ConfigError as error:
        if as_json:
            problems = [
                {
                    "file": str(problem.file),
                    "line": problem.line,
                    "path": problem.path,
                    "message": problem.message,
                    "suggestion": problem.suggestion,
                }
                for problem in error.problems
            ]
            say(orjson.dumps({"valid": False, "problems": problems}).decode())
            return WRONG_USE
        fail(WRONG_USE, *(str(problem) for problem in error.problems))
    counts = {
        "agencies": len(inventory.agencies),
        "sites": len(inventory.sites),
        "targets": len(inventory.targets),
        "checks": len(inventory.checks),
    }
    if as_json:
        say(orjson.dumps({"valid": True, "problems": [], **counts}).decode())
    else:
        say("valid: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return FINE


def reload_monitor(listen: str) -> int:
    """Ask the running monitor to read its configuration again; return the exit status."""
    request = urllib.request.Request(f"http://{listen}/-/reload", method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            say(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        with error:
            fail(WRONG_USE, error.read().decode().strip())
    except OSError as error:
        fail(NOT_MEASURED, f"no monitor answers on {listen}: {error}")
    return FINE
