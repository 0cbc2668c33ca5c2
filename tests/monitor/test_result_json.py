"""Results as JSON Lines: what is written is read again, and what is not a result is refused by file and line."""

from __future__ import annotations

import gzip
import subprocess
import sys

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.model import Result, State
from monitor.result_json import (
    LINE_BYTES,
    MESSAGE_LENGTH,
    SAMPLES,
    ResultError,
    parse_result,
    read_results,
    result_line,
    result_object,
    write_results,
)
from probes.model import Failure

DOWN = Result(
    "ndxp-dancu/http",
    "hn-1",
    1_790_812_810_000,
    0.0312,
    State.DOWN,
    Failure.HTTP_STATUS,
    "status != 200 (status = 503)",
    {"resolve_s": 0.001, "status": 503},
)
LINE = (
    b'{"check":"ndxp-dancu/http","agent":"hn-1","at":"2026-10-01T00:00:10.000Z","duration_s":0.0312,"state":"down",'
    b'"failure":"http_status","message":"status != 200 (status = 503)","samples":{"resolve_s":0.001,"status":503}}\n'
)


def line(**changes: object) -> bytes:
    return orjson.dumps({**result_object(DOWN), **changes})


def test_a_result_is_written_as_the_contract_says():
    assert result_line(DOWN) == LINE
    assert parse_result(LINE) == DOWN


NAMES = st.text("abcdefxyz-0123456789đườngầ", min_size=1, max_size=20)
RESULTS = st.builds(
    Result,
    st.builds("{}/{}".format, NAMES, NAMES),
    NAMES,
    st.integers(1, 253_402_300_799_999),
    st.floats(0, 86_400),
    st.sampled_from(list(State)),
    st.none() | st.sampled_from(list(Failure)),
    st.text(st.characters(categories=["L", "N", "P"]), max_size=50),
    st.dictionaries(NAMES, st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False), max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(RESULTS)
def test_whatever_is_written_is_read_again(result):
    assert parse_result(result_line(result)) == result


def test_only_what_is_needed_is_needed():
    found = parse_result(b'{"check":"a/http","at":"2026-10-01T07:00:10+07:00","state":"up"}')
    assert found == Result("a/http", "", 1_790_812_810_000, 0.0, State.UP, None, "", {})


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-10-01T00:00:10Z", 1_790_812_810_000),
        ("2026-10-01T00:00:10.0019999Z", 1_790_812_810_001),
        ("2026-10-01T07:00:10.5+07:00", 1_790_812_810_500),
        ("2026-09-30T19:00:10-05:00", 1_790_812_810_000),
        ("1970-01-01T00:00:00.001Z", 1),
    ],
)
def test_times_may_have_any_offset(text, at_ms):
    assert parse_result(line(at=text)).at_ms == at_ms


def test_keys_that_are_not_known_are_left_alone():
    assert parse_result(line(probe="http", address="https://ndxp.example/", later=[1, {"x": None}])) == DOWN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"check": None}, "check: expected an id such as ndxp-dancu/http, found nothing"),
        ({"check": "ndxp"}, "check: expected an id such as ndxp-dancu/http, found ndxp"),
        ({"check": "a/b/c"}, "check: expected"),
        ({"check": "a b/c"}, "check: expected"),
        ({"check": "a/" + "b" * 400}, "check: expected"),
        ({"check": 7}, "check: expected"),
        ({"agent": ["x"]}, 'agent: expected a text of at most 300 characters, found ["x"]'),
        ({"at": None}, "at: expected a time such as 2026-10-01T00:00:10.000Z, found nothing"),
        ({"at": 1790812810}, "at: expected a time such as"),
        ({"at": "yesterday"}, "at: expected a time such as 2026-10-01T00:00:10.000Z, found yesterday"),
        ({"at": "2026-10-01T00:00:10"}, "has no offset: end it with Z or an offset"),
        ({"at": "0001-01-01T00:00:00+23:59"}, "is not a time after 1970"),
        ({"at": "1969-12-31T23:59:59Z"}, "is not a time after 1970"),
        ({"duration_s": -1}, "duration_s: expected a number of seconds, found -1"),
        ({"duration_s": True}, "duration_s: expected a number of seconds, found true"),
        ({"duration_s": 1e12}, "duration_s: expected"),
        ({"duration_s": "1"}, "duration_s: expected"),
        ({"state": "ok"}, "state: expected one of up, degraded, down, unknown, found ok"),
        ({"state": ["up"]}, "state: expected one of"),
        ({"failure": "http_statsu"}, "did you mean 'http_status'?"),
        ({"failure": {}}, "failure: expected null or one of the failures"),
        ({"message": 5}, "message: expected a text"),
        ({"samples": [1]}, "samples: expected an object of at most 256 numbers by name"),
        ({"samples": {"rtt_s": "1"}}, "samples.rtt_s: expected a finite number, found 1"),
        ({"samples": {"ok": True}}, "samples.ok: expected a finite number, found true"),
        ({"samples": {"rtt_s": None}}, "samples.rtt_s: expected a finite number, found nothing"),
        ({"samples": {"": 1}}, "samples: expected numbers by names"),
        ({"samples": {str(n): n for n in range(SAMPLES + 1)}}, "samples: expected an object of at most 256"),
    ],
)
def test_what_a_key_may_not_be(changes, message):
    with pytest.raises(ResultError) as error:
        parse_result(line(**changes))
    assert message in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"{" * 5000,
        LINE.replace(b"0.0312", b"NaN"),
        LINE.replace(b"0.0312", b"1e999"),
        LINE.replace(b'"status":503', b'"status":-Infinity'),
        LINE.replace(b'"status":503', b'"status":1e400'),
        LINE.replace(b"hn-1", b"\xc3\x28"),
        b'{"samples":' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_or_not_a_number_is_refused(text):
    with pytest.raises(ResultError):
        parse_result(text)


def test_a_message_is_kept_to_one_printable_bounded_line():
    found = parse_result(line(message="one\ntwo\x1b[31m\u202e" + "x" * 5000))
    assert found.message.startswith("one two [31m x")
    assert len(found.message) == MESSAGE_LENGTH


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.jsonl.zst"])
def test_files_are_read_as_they_were_written(tmp_path, name):
    many = [DOWN._replace(at_ms=DOWN.at_ms + number, check=f"t{number}/http") for number in range(20_000)]
    path = tmp_path / name
    assert write_results(path, many) == 20_000
    assert list(read_results(path)) == many
    assert [left.name for left in tmp_path.iterdir()] == [name]


def test_what_other_programs_compress_is_read_too(tmp_path):
    plain, gz, zst = (tmp_path / name for name in ("r.jsonl", "r.jsonl.gz", "r.jsonl.zst"))
    plain.write_bytes(b"\xef\xbb\xbf" + LINE + b"\r\n\n" + LINE.strip())
    gz.write_bytes(gzip.compress(LINE) + gzip.compress(LINE.strip()))
    frames = zstandard.ZstdCompressor(level=19)
    zst.write_bytes(frames.compress(LINE) + frames.compress(LINE.strip()))
    for path in (plain, gz, zst):
        assert list(read_results(path)) == [DOWN, DOWN], path


def test_an_empty_file_has_no_results(tmp_path):
    for name in ("r.jsonl", "r.jsonl.gz", "r.jsonl.zst"):
        assert write_results(tmp_path / name, []) == 0
        assert list(read_results(tmp_path / name)) == []


def test_an_error_names_file_and_line(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(LINE + b"\n" + LINE.replace(b'"down"', b'"dead"'))
    with pytest.raises(ResultError, match=r"r\.jsonl:3: state: expected one of .*, found dead"):
        list(read_results(path))


@pytest.mark.parametrize("name", ["r.jsonl.gz", "r.jsonl.zst"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "not compressed"])
def test_a_damaged_file_is_refused_with_its_place(tmp_path, name, damage):
    path = tmp_path / name
    write_results(path, [DOWN._replace(at_ms=DOWN.at_ms + number * 7919) for number in range(3000)])
    whole = path.read_bytes()
    broken = {"cut": whole[: len(whole) // 2], "garbage": whole[:-40] + b"\x00" * 40, "not compressed": LINE}[damage]
    path.write_bytes(broken)
    with pytest.raises(ResultError, match=r"r\.jsonl\.(gz|zst):\d+: "):
        list(read_results(path))


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "r.jsonl"
    write_results(path, [DOWN])

    def failing():
        yield DOWN
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_results(path, failing())
    assert list(read_results(path)) == [DOWN]
    assert [left.name for left in tmp_path.iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.jsonl.zst"])
def test_a_line_without_end_is_refused(tmp_path, name):
    path = tmp_path / name
    opener = {"jsonl": open, "gz": gzip.open, "zst": zstandard.open}[name.rpartition(".")[2]]
    with opener(path, "wb") as stream:
        stream.write(LINE + b'{"message":"' + b"x" * LINE_BYTES + b'"}\n')
    with pytest.raises(ResultError, match=rf":2: longer than {LINE_BYTES} bytes"):
        list(read_results(path))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_bomb_is_never_held(tmp_path, suffix):
    """256 MiB without an end of line, read with memory for a fraction of it."""
    path = tmp_path / f"bomb.jsonl.{suffix}"
    piece = b"0" * (1 << 20)
    opener = zstandard.open if suffix == "zst" else gzip.open
    with opener(path, "wb") as stream:
        for _ in range(256):
            stream.write(piece)
    assert path.stat().st_size < 1 << 20
    script = (
        "import resource, sys\n"
        "from monitor.result_json import ResultError, read_results\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    list(read_results(sys.argv[1]))\n"
        "except ResultError as error:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True, timeout=60)
    grown_kib, _, message = done.stdout.partition(" ")
    assert "longer than" in message
    assert int(grown_kib) < 64 << 10


def test_a_zstandard_file_that_ends_between_two_blocks_is_refused(tmp_path):
    path = tmp_path / "r.jsonl.zst"
    frame = zstandard.ZstdCompressor().compressobj()
    path.write_bytes(frame.compress(LINE) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    reader = read_results(path)
    assert next(reader) == DOWN
    with pytest.raises(ResultError, match=":2: damaged: it ends in the middle of a frame"):
        next(reader)


def test_a_window_too_large_for_memory_is_refused(tmp_path):
    """A frame of one raw block whose header asks for a window of 1 GiB (RFC 8878, section 3.1.1.1.2)."""
    path = tmp_path / "r.jsonl.zst"
    for exponent, is_refused in ((20, True), (10, False)):
        header = b"\x28\xb5\x2f\xfd\x00" + bytes([exponent << 3])
        path.write_bytes(header + (len(LINE) << 3 | 1).to_bytes(3, "little") + LINE)
        if is_refused:
            with pytest.raises(ResultError, match="damaged"):
                list(read_results(path))
        else:
            assert list(read_results(path)) == [DOWN]
