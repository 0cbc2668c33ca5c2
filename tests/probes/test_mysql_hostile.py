"""Servers that are not what they say, against the kind `mysql`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes import mysql_wire as wire
from probes.failures import TroubleError
from probes.model import Failure
from tests.probes.mysql_servers import EOF, OK, error, greeting, logging_in, packet
from tests.probes.tcp_servers import SLACK_S, saying, serve

SECRET = "hunter2-rat-dai"


async def result_against(handler, timeout_s=3.0, options="?sslmode=disable", **parameters):
    async with serve(handler) as port:
        dsn = f"mysql://user:{SECRET}@127.0.0.1:{port}/db{options}"
        result = await run_once(prepare("mysql", dsn, {"details": False, **parameters}, timeout_s), "test")
    assert SECRET not in result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300
    assert result.duration_s < timeout_s + SLACK_S
    return result


@pytest.mark.parametrize(
    ("said", "failure", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.PROTOCOL, "where at most"),
        (b"SSH-2.0-OpenSSH\r\n", Failure.PROTOCOL, "where at most"),
        (b"\xff\xff\xff\0", Failure.PROTOCOL, "16777215 bytes where at most 65536"),
        (b"\0\0\0\0", Failure.PROTOCOL, "an empty packet"),
        (packet(0, b"\x09old"), Failure.PROTOCOL, "this is not MySQL"),
        (packet(0, b"\x0a" + b"x" * 500), Failure.PROTOCOL, "this is not MySQL"),
        (packet(0, b"\x0a8.0\0" + b"\0" * 32), Failure.PROTOCOL, "from before MySQL 4.1"),
        (packet(0, error(1040, b"Too many connections", b"")), Failure.QUERY_FAILED, "1040: Too many"),
        (packet(0, error(1130, b"Host is not allowed", b"")), Failure.AUTH_REJECTED, "1130: Host"),
        (packet(0, b"\xff"), Failure.QUERY_FAILED, "no message"),
    ],
)
async def test_what_comes_instead_of_a_greeting(said, failure, message):
    result = await result_against(saying(said))
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert message in result.message


@pytest.mark.parametrize(
    ("steps", "failure", "message"),
    [
        ((error(1045, b"denied for " + SECRET.encode()),), Failure.AUTH_REJECTED, "1045 (28000): denied for ***"),
        ((b"\xfeclient_ed25519\0" + b"x" * 32,), Failure.AUTH_REJECTED, "not known: client_ed25519"),
        ((b"\xfemysql_clear_password\0",), Failure.AUTH_REJECTED, "only a verified server is given"),
        ((b"\x01\x04",), Failure.AUTH_REJECTED, "only a verified server is given"),
        ((b"\x01\x07",), Failure.PROTOCOL, "step of a login is not one"),
        ((b"\xfemysql_native_password\0" + b"n" * 21,) * 20, Failure.PROTOCOL, "more than 8 steps"),
        ((b"\x01\x03",) * 9, Failure.PROTOCOL, "more than 8 steps"),
    ],
)
async def test_what_comes_instead_of_a_login(steps, failure, message):
    if steps[0] == b"\x01\x03":  # said without being asked again

        async def handler(reader, writer):
            writer.write(greeting() + b"".join(packet(2 + n, step) for n, step in enumerate(steps)))
            while await reader.read(100):
                pass

        result = await result_against(handler)
    else:
        result = await result_against(logging_in(*steps))
    assert result.failure is failure
    assert message in result.message


async def test_what_speaks_before_tls_is_not_believed():
    result = await result_against(saying(greeting(more=0x800) + packet(1, OK)), options="?sslmode=require")
    assert (result.failure, result.message) == (Failure.PROTOCOL, "the server speaks out of turn before TLS")
    assert (await result_against(saying(greeting()), options="?sslmode=require")).failure is Failure.TLS_REQUIRED


COLUMN = packet(2, b"\3def\0\0\0\1a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0")


@pytest.mark.parametrize(
    ("answer", "failure", "message"),
    [
        (packet(1, b"\xfb/etc/passwd"), Failure.PROTOCOL, "asks for a file of ours"),
        (packet(1, b"\xfc\xff\xff"), Failure.PROTOCOL, "description of rows"),
        (packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), Failure.PROTOCOL, "description of rows"),
        (packet(1, b"\1") + packet(2, b"\3de"), Failure.PROTOCOL, "row is not one"),
        (packet(1, b"\1") + packet(2, b"\3def\0\0\0\1a\0"), Failure.PROTOCOL, "description of rows"),
        (packet(1, b"\1") + COLUMN + packet(3, b"\0"), Failure.PROTOCOL, "has no end"),
        (packet(1, b"\1") + COLUMN + packet(3, EOF) + packet(4, b"\x09x"), Failure.PROTOCOL, "row is not one"),
        (packet(1, b"\1") + COLUMN + packet(3, EOF) + packet(4, b"\1x") * 2000, Failure.BODY_TOO_LARGE, "1000 rows"),
        (packet(1, b"\1") + COLUMN + packet(3, EOF) + b"\xff\xff\xff\4", Failure.BODY_TOO_LARGE, "bytes where at most"),
        (packet(1, error(1146, b"x\r\n\x1b[31m" + b"y" * 900)), Failure.QUERY_FAILED, "1146 (28000): x"),
    ],
)
async def test_what_comes_instead_of_rows(answer, failure, message):
    result = await result_against(logging_in(OK, then=answer))
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert message in result.message
    assert "query_s" in result.samples


async def test_rows_as_they_should_be_from_a_server_in_mysqls_words():
    answer = packet(1, b"\1") + COLUMN + packet(3, EOF) + packet(4, b"\3yes") + packet(5, EOF)
    result = await result_against(logging_in(b"\x01\x03", OK, then=answer), timeout_s=0.4, down_when="row.a != 'yes'")
    # The client says nothing between the two steps of a login from the server's cache.
    assert result.failure is Failure.TIMEOUT
    result = await result_against(logging_in(OK, then=answer), down_when="row.a != 'yes'")
    assert (result.state, result.samples["server_version_num"]) == (State.UP, 80036)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_packets_or_trouble(pieces):
    reader = wire.Reader(left=500)
    try:
        for piece in pieces:
            reader.feed(piece)
            while (packet_ := reader.next()) is not None:
                for read in (wire.read_greeting, wire.read_count, wire.read_column, lambda b: wire.read_row(b, 3)):
                    try:
                        read(packet_.body)
                    except TroubleError:
                        continue
                wire.read_error(packet_.body)
    except TroubleError:
        return
