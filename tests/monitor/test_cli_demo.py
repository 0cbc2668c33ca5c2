"""`thongsuot demo`, from its start to its end."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.journey.product import PATIENCE_S, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_demo_that_is_told_to_stop_ends_well(number: signal.Signals, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "demo", "--directory", str(tmp_path / "demo")),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await until(lambda: "the web process listens" in said.read_text(), "the country is watched")
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert said.read_text().rstrip().endswith("}"), "the last line is one of the log"
