"""`thongsuot import` and `export` as processes of their own: what they take, refuse and say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest

from alerts.model import Result
from monitor.result_json import result_line, write_results
from monitor.store import IMPORT_RESULTS
from tests.monitor.country import CONFIGURATION, steady

MIDNIGHT_MS = 1_790_010_000_000
HOUR_MS = 3_600_000
CHECKS = ("link-a/icmp", "dan-cu/http")
WITHOUT_PEOPLE = CONFIGURATION.split("  - id: dan-cu\n")[0]


class Shop:
    """A directory with a configuration, a store and files."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self._environ = {**os.environ, "TOKEN": "bi-mat", "STORE": url}
        (directory / "conf").mkdir()

    def configure(self, text: str) -> None:
        """Write the configuration."""
        text = text.replace("language: vi,", 'language: vi, store: "${env:STORE}",')
        (self._directory / "conf" / "country.yaml").write_text(text)

    def file(self, results: Iterable[Result], *lines: str) -> str:
        """Return the name of a file of results, with further lines behind them."""
        path = self._directory / "results.jsonl"
        write_results(path, results)
        with path.open("a") as stream:
            stream.writelines(lines)
        return str(path)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its exit status, and what it said on either stream."""
        command = [sys.executable, "-m", "monitor", *arguments, "--config", str(self._directory / "conf")]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environ, check=False)
        return done.returncode, done.stdout, done.stderr

    def exported(self) -> list[bytes]:
        """Return the lines of all results."""
        out = self._directory / "out.jsonl"
        self.run("export", "--from", "2000-01-01", "--to", "2100-01-01", "--out", str(out))
        return out.read_bytes().splitlines(keepends=True)

    def up_s(self, target: str) -> float | None:
        """Return how long a target was up in the first hour."""
        span = "--from", "2026-09-22T00:00", "--to", "2026-09-22T01:00"
        _, found, _ = self.run("availability", *span, "--target", target, "--json")
        return orjson.loads(found)["up_s"] if found else None


@pytest.fixture
def shop(tmp_path: Path, store_url: str) -> Shop:
    made = Shop(tmp_path, store_url)
    made.configure(CONFIGURATION)
    return made


def test_of_a_file_with_a_wrong_line_nothing_is_taken(shop: Shop) -> None:
    results = steady(CHECKS[:1], MIDNIGHT_MS, MIDNIGHT_MS + (IMPORT_RESULTS + 1) * 10_000)
    status, said, complaint = shop.run("import", shop.file(results, '{"check":"link-a/icmp"}\n'))
    assert (status, said) == (2, "")
    assert f"results.jsonl:{len(results) + 1}: at: expected a time" in complaint
    assert shop.exported() == []


def test_what_the_configuration_does_not_have_is_told_and_counted_once_it_has_it(shop: Shop) -> None:
    results = steady(CHECKS, MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS)
    shop.configure(WITHOUT_PEOPLE)
    told = "kept and not counted: the configuration does not have dan-cu/http\n"
    assert shop.run("import", shop.file(results)) == (0, "720 new results\n", told)
    assert (shop.up_s("link-a"), shop.up_s("dan-cu")) == (3600, None)
    shop.configure(CONFIGURATION)
    assert shop.run("import", shop.file(results)) == (0, "0 new results\n", "")
    assert (shop.up_s("link-a"), shop.up_s("dan-cu")) == (3600, 3600)
    assert sorted(shop.exported()) == sorted(map(result_line, results))


@pytest.mark.parametrize("key", ["check", "agent", "samples"])
def test_a_name_with_a_control_character_is_refused(shop: Shop, key: str) -> None:
    values = {"check": "link-a/ic\0mp", "agent": "hn\n1", "samples": {"rtt\0_s": 1.0}}
    line = {"check": "link-a/icmp", "at": "2026-10-01T00:00:00Z", "state": "up", key: values[key]}
    status, said, complaint = shop.run("import", shop.file([], orjson.dumps(line).decode() + "\n"))
    assert (status, said) == (2, "")
    assert f"results.jsonl:1: {key}: expected " in complaint
