"""`thongsuot reflector` as a process of its own: both services, keys by file and by environment, and wrong use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.cli_base import NOT_MEASURED, WRONG_USE
from monitor.oneshot import prepare, run_once
from probes.model import Failure

COMMAND = [sys.executable, "-c", "from monitor.cli import main; main()", "reflector"]
KEY = "a key in a file"


def test_both_services_answer_who_knows_their_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--key-file", str(tmp_path / "key")]
    command += ["--throughput", "127.0.0.1:0"]
    environ = {**os.environ, "THONGSUOT_THROUGHPUT_KEY": "another key", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        stamp_port, throughput_port = (process.stdout.readline().split(" port ")[1].partition(",")[0] for _ in range(2))
        assert failure_of("stamp", stamp_port, count=2, key=KEY) is None
        assert failure_of("throughput", throughput_port, key="another key", size="200kB", duration="500ms") is None
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "answered 2, refused 0, limited 0, malformed 0, unauthentic 0" in told
    assert "tested 1, refused 0, denied 0, busy 0" in told
    assert KEY not in told


def failure_of(kind: str, port: str, **params: object) -> Failure | None:
    return asyncio.run(run_once(prepare(kind, f"127.0.0.1:{port}", params), "test")).failure


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--listen", "nowhere"], WRONG_USE, "'nowhere' is not ADDRESS:PORT"),
        (["--listen", "127.0.0.1:0", "--throughput", "127.0.0.1:0"], WRONG_USE, "need a key"),
        (["--listen", "127.0.0.1:0", "--key-file", "/nonexistent"], WRONG_USE, "cannot read the key"),
        (["--listen", "127.0.0.1:0", "--key-file", os.devnull], WRONG_USE, "a key has 8 to 1024 octets, not 0"),
        (["--listen", "127.0.0.1:0", "--allow", "10.0.0.1/8"], WRONG_USE, "has host bits set"),
        (["--listen", "192.0.2.1:0"], NOT_MEASURED, "cannot listen"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THONGSUOT_STAMP_KEY", "THONGSUOT_THROUGHPUT_KEY"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["reflector", *arguments])
    assert done.exit_code == status
    assert said in done.stderr
