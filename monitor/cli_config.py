"""`thongsuot validate`, `thongsuot reload` and `thongsuot import-config`."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

import orjson
import yaml

from config import imports
from config.errors import ConfigError
from config.imports.translation import ForeignError
from config.loader import load
from monitor.cli_base import FINE, NOT_MEASURED, WRONG_USE, fail, say

FOREIGN_LIMIT_BYTES = 16 << 20


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


def import_foreign(format_: str, file: Path, out: Path | None, *, as_json: bool) -> int:
    """Translate another monitor's configuration and print or write it; return the exit status."""
    try:
        if file.stat().st_size > FOREIGN_LIMIT_BYTES:
            fail(WRONG_USE, f"{file} is larger than {FOREIGN_LIMIT_BYTES >> 20} MiB")
        found = imports.translate(format_, yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        fail(WRONG_USE, f"{file} cannot be read: {error}")
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f":{place.line + 1}" if place is not None else ""
        fail(WRONG_USE, f"{file}{where}: this is neither YAML nor JSON")
    except ForeignError as error:
        fail(WRONG_USE, f"{file}: {error}")
    if as_json:
        told = {"document": found.document, "left_out": found.left_out, "secrets": found.secrets}
        say(orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS).decode())
    elif out is None:
        say(found.as_yaml().rstrip())
    else:
        try:
            with out.open("x", encoding="utf-8") as written:
                written.write(found.as_yaml())
        except OSError as error:
            fail(WRONG_USE, f"{out} cannot be written: {error}")
        say(f"{out}: {sum(map(len, found.document.values()))} items, {len(found.left_out)} things not carried over")
    return FINE
