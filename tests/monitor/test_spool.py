"""The spool: in order, exactly what was put in, whatever byte the power went at."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from monitor.records import Batch
from monitor.spool import Spool, SpoolFullError
from monitor.spool_format import decode_batch, encode_batch
from tests.monitor.samples import RESULTS, START_MS, full_batch

MIB = 1 << 20


OpenSpool = Callable[..., Spool]


@pytest.fixture
def open_spool() -> Iterator[OpenSpool]:
    """Open spools that are closed after the test."""
    opened = []

    def open_one(directory: Path, limit_bytes: int = MIB, *further: int) -> Spool:
        opened.append(Spool(directory, limit_bytes, *further))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()


def numbered(number: int) -> Batch:
    return full_batch(START_MS + number, number=number)


def drained(spool: Spool) -> list[Batch]:
    """Take everything out, confirming each."""
    batches = []
    for token, batch in spool.drain():
        batches.append(batch)
        spool.done(token)
    return batches


def test_batches_come_out_as_they_went_in_and_in_order(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    batches = [numbered(n) for n in range(5)]
    for batch in batches:
        spool.append(batch)
    assert spool.pending() > 0
    assert drained(spool) == batches
    assert spool.pending() == 0
    assert drained(spool) == []


@given(st.lists(RESULTS, max_size=5))
def test_any_batch_survives_its_encoding(results: list) -> None:
    batch = full_batch()
    batch.results = results
    decoded = decode_batch(encode_batch(batch))
    assert decoded == batch
    assert [list(result.samples) for result in decoded.results] == [list(result.samples) for result in results]


def test_what_was_not_confirmed_comes_again(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for n in range(3):
        spool.append(numbered(n))
    first, second = spool.drain(), spool.drain()
    token, batch = next(first)
    assert next(second)[1] == batch == numbered(0)
    spool.done(token)
    assert [batch for _, batch in spool.drain()] == [numbered(1), numbered(2)]


def test_a_new_process_goes_on_after_the_last_confirmed_one(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for n in range(4):
        spool.append(numbered(n))
    drain = spool.drain()
    for _ in range(2):
        token, _ = next(drain)
        spool.done(token)
    spool.close()
    again = open_spool(tmp_path)
    again.append(numbered(4))
    assert drained(again) == [numbered(2), numbered(3), numbered(4)]


def test_segments_are_deleted_once_they_are_delivered(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path, MIB, 1000)
    for n in range(10):
        spool.append(numbered(n))
    assert len(list(tmp_path.glob("*.spool"))) > 2
    assert drained(spool) == [numbered(n) for n in range(10)]
    assert list(tmp_path.glob("*.spool")) == []


def test_appending_while_draining_loses_nothing(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append(numbered(0))
    seen = []
    for token, batch in spool.drain():
        seen.append(batch)
        if len(seen) < 4:
            spool.append(numbered(len(seen)))
        spool.done(token)
    assert seen == [numbered(n) for n in range(4)]
    assert spool.pending() == 0


def test_a_full_spool_refuses_and_takes_again_when_there_is_room(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path, 2000)
    stored = 0
    with contextlib.suppress(SpoolFullError):
        while True:
            spool.append(numbered(stored))
            stored += 1
    with pytest.raises(SpoolFullError):
        spool.append(numbered(stored))
    assert stored > 1
    assert spool.pending() <= 2000
    token, _ = next(spool.drain())
    spool.done(token)
    spool.append(numbered(stored))
    assert drained(spool) == [numbered(n) for n in range(1, stored + 1)]


def test_a_tail_torn_at_any_byte_is_cut_off(open_spool: OpenSpool, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    spool = open_spool(whole)
    spool.append(numbered(0))
    kept = spool.pending()
    spool.append(numbered(1))
    spool.close()
    (segment,) = whole.glob("*.spool")
    content = segment.read_bytes()
    for length in range(kept, len(content)):
        torn = tmp_path / "torn"
        torn.mkdir()
        (torn / segment.name).write_bytes(content[:length])
        spool = open_spool(torn)
        assert spool.pending() == kept
        assert spool.damaged_bytes == length - kept
        spool.append(numbered(2))
        assert drained(spool) == [numbered(0), numbered(2)]
        assert spool.pending() == 0
        shutil.rmtree(torn)


def test_a_spool_that_holds_only_a_torn_record_is_empty(open_spool: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "0000000001.spool").write_bytes(b"TSB1\x10\0\0\0")
    spool = open_spool(tmp_path)
    assert spool.pending() == 0
    assert drained(spool) == []


@pytest.mark.parametrize("flipped", [0, 5, 9, 12, 40])
def test_damage_costs_the_record_that_it_touches_and_no_more(
    open_spool: OpenSpool, tmp_path: Path, flipped: int
) -> None:
    spool = open_spool(tmp_path)
    ends = []
    for n in range(3):
        spool.append(numbered(n))
        ends.append(spool.pending())
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    content = bytearray(segment.read_bytes())
    content[ends[0] + flipped] ^= 0xFF
    segment.write_bytes(content)
    spool = open_spool(tmp_path)
    assert drained(spool) == [numbered(0), numbered(2)]
    assert spool.damaged_bytes == ends[1] - ends[0]
    assert spool.pending() == 0


def test_a_damaged_position_means_delivering_again(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for n in range(2):
        spool.append(numbered(n))
    token, _ = next(spool.drain())
    spool.done(token)
    spool.close()
    (tmp_path / "position").write_bytes(b"garbage that is long enough!")
    assert drained(open_spool(tmp_path)) == [numbered(0), numbered(1)]


def test_a_batch_of_another_version_is_put_aside(open_spool: OpenSpool, tmp_path: Path) -> None:
    body = zstandard.compress(b'{"results": "of the year 2040"}')
    record = struct.pack("<4sII", b"TSB1", len(body), crc32(body)) + body
    (tmp_path / "0000000001.spool").write_bytes(record)
    spool = open_spool(tmp_path)
    spool.append(numbered(1))
    assert drained(spool) == [numbered(1)]
    (aside,) = tmp_path.glob("*.unreadable")
    assert aside.read_bytes() == body


def test_a_full_disk_leaves_the_spool_as_it_was(open_spool: OpenSpool, small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool")
    spool.append(numbered(0))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
    held = 0
    with contextlib.suppress(OSError):
        while True:
            held = spool.pending()
            spool.append(numbered(held))
    with pytest.raises(OSError, match="No space left"):
        spool.append(numbered(held))
    assert spool.pending() == held
    filler.unlink()
    spool.append(numbered(500))
    assert spool.pending() > held
    batches = drained(spool)
    assert batches[0] == numbered(0)
    assert batches[-1] == numbered(500)
    assert spool.damaged_bytes == 0


_WRITER = """
import sys
from pathlib import Path
from monitor.spool import Spool
from tests.monitor.test_spool import numbered
spool = Spool(Path(sys.argv[1]), 1 << 30)
number = 0
while True:
    spool.append(numbered(number))
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_has_lost_nothing_that_it_confirmed(open_spool: OpenSpool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == 30:
                break
        writer.send_signal(signal.SIGKILL)
        confirmed = [30, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]
    batches = drained(open_spool(tmp_path))
    assert len(batches) >= confirmed + 1
    assert batches == [numbered(n) for n in range(len(batches))]
