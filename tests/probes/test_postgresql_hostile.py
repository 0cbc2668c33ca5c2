"""Servers that are not what they say, against the kind `postgresql`."""

import asyncio
import base64
import struct

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.postgresql_servers import (
    COMPLETE,
    OK,
    READY,
    SASL,
    answering,
    authentication,
    columns,
    error,
    logging_in,
    message,
    parameter,
    read_message,
    read_startup,
    row,
)
from tests.probes.tcp_servers import SLACK_S, saying, serve, silent

SECRET = "hunter2-rat-dai"


async def result_against(handler, timeout_s=3.0, options="?sslmode=disable", **parameters):
    async with serve(handler) as port:
        dsn = f"postgresql://user:{SECRET}@127.0.0.1:{port}/db{options}"
        result = await run_once(prepare("postgresql", dsn, {"details": False, **parameters}, timeout_s), "test")
    assert SECRET not in result.message
    assert result.duration_s < timeout_s + SLACK_S
    return result


@pytest.mark.parametrize(
    ("said", "failure", "message_"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.PROTOCOL, "at most 65536 are taken"),
        (b"SSH-2.0-OpenSSH\r\n", Failure.PROTOCOL, "at most 65536 are taken"),
        (b"\xff\xfe\0\0\0\0\0", Failure.PROTOCOL, "this is not PostgreSQL"),
        (b"R\0\0\0\3", Failure.PROTOCOL, "this is not PostgreSQL"),
        (b"R\x7f\xff\xff\xff", Failure.PROTOCOL, "the server sends 2147483647 bytes where at most 65536 are taken"),
        (b"D\xff\xff\xff\xff", Failure.BODY_TOO_LARGE, "bytes where at most"),
        (authentication(99), Failure.PROTOCOL, "an authentication that is not known: 99"),
        (authentication(5), Failure.PROTOCOL, "an authentication that is not known: 5"),
        (authentication(7), Failure.PROTOCOL, "an authentication that is not known: 7"),
        (message(b"R"), Failure.PROTOCOL, "authentication request is not one"),
        (READY, Failure.PROTOCOL, "a message 'Z' where none such belongs"),
        (row(b"1"), Failure.PROTOCOL, "a message 'D' where none such belongs"),
        (authentication(3), Failure.AUTH_REJECTED, "only a verified server is given"),
        (authentication(10, b"GSSAPI\0\0"), Failure.PROTOCOL, "no way to log in that is known: GSSAPI"),
        (authentication(10, b"SCRAM-SHA-256-PLUS\0\0"), Failure.PROTOCOL, "SCRAM-SHA-256-PLUS"),
        (error("57P03", "the database system is starting up"), Failure.QUERY_FAILED, "57P03: the database system is"),
        (error("28000", f"no entry for {SECRET}"), Failure.AUTH_REJECTED, "28000: no entry for ***"),
        (error("08P01", "unsupported startup parameter"), Failure.PROTOCOL, "08P01: unsupported"),
        (error("XX000", "a\r\n\x1b[31m" + "b" * 5000), Failure.QUERY_FAILED, "XX000: a"),
        (message(b"E"), Failure.QUERY_FAILED, "no SQLSTATE: no message"),
        (message(b"N", b"x" * 1000) * 100, Failure.PROTOCOL, "bytes where at most"),
        (parameter("a", "b") * 10_000, Failure.PROTOCOL, "bytes where at most"),
    ],
)
async def test_what_comes_instead_of_a_login(said, failure, message_):
    async def handler(reader, writer):
        await read_startup(reader)
        await saying(said)(reader, writer)

    result = await result_against(handler)
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert message_ in result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (b"S" + b"R\0\0\0\x08\0\0\0\0", Failure.PROTOCOL),
        (b"X", Failure.PROTOCOL),
        (b"N", Failure.TLS_REQUIRED),
        (b"", Failure.CONNECTION_CLOSED),
        (b"Sgarbage that is not TLS", Failure.PROTOCOL),
        (error("53300", "sorry, too many clients already"), Failure.QUERY_FAILED),
    ],
)
async def test_what_comes_instead_of_tls(reply, failure):
    result = await result_against(saying(reply, then_close=True), options="?sslmode=require")
    assert result.failure is failure
    assert "tls_s" in result.samples


async def test_garbage_instead_of_a_handshake():
    async def handler(reader, writer):
        await reader.readexactly(8)
        writer.write(b"S")
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await silent(reader, writer)

    assert (await result_against(handler, options="?sslmode=require")).failure is Failure.TLS_HANDSHAKE


def challenging(make):
    """Return a handler that answers the client's first SCRAM message with what `make(nonce)` gives."""

    async def handler(reader, writer):
        await read_startup(reader)
        writer.write(authentication(10, SASL))
        _, body = await read_message(reader)
        nonce = body.partition(b",r=")[2]
        for part in make(nonce):
            writer.write(part)
            await writer.drain()
            await read_message(reader)
        await silent(reader, writer)

    return handler


SALT = base64.b64encode(b"salt")


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        (lambda nonce: b"r=" + nonce + b"x,s=" + SALT + b",i=600001", "asks for 600001 SCRAM iterations"),
        (lambda nonce: b"r=" + nonce + b"x,s=" + SALT + b",i=99999999999999999999", "SCRAM iterations (limit 600000)"),
        (lambda nonce: b"r=" + nonce + b"x,s=" + SALT + b",i=0", "asks for 0 SCRAM iterations"),
        (lambda nonce: b"r=" + nonce + b"x,s=" + SALT + b",i=-1", "SCRAM iterations"),
        (lambda nonce: b"r=" + nonce + b"x,s=" + SALT + b",i=", "SCRAM iterations"),
        (lambda nonce: b"r=" + nonce + b",s=" + SALT + b",i=4096", "nonce does not continue ours"),
        (lambda nonce: b"r=another,s=" + SALT + b",i=4096", "nonce does not continue ours"),
        (lambda nonce: b"r=" + nonce + b"x" * 2000 + b",s=" + SALT + b",i=4096", "nonce does not continue ours"),
        (lambda nonce: b"r=" + nonce + b"x,s=!!,i=4096", "salt is not one"),
        (lambda nonce: b"r=" + nonce + b"x,s=,i=4096", "salt is not one"),
        (lambda nonce: b"m=ext,r=" + nonce + b"x,s=" + SALT + b",i=4096", "challenge is not one"),
        (lambda nonce: b"", "challenge is not one"),
    ],
)
async def test_a_challenge_that_is_not_one(challenge, reason):
    result = await result_against(challenging(lambda nonce: [authentication(11, challenge(nonce))]))
    assert result.failure is Failure.PROTOCOL
    assert reason in result.message


async def test_a_server_that_does_not_know_the_password_is_an_impostor():
    def make(nonce):
        return [
            authentication(11, b"r=" + nonce + b"x,s=" + SALT + b",i=4096"),
            authentication(12, b"v=" + base64.b64encode(bytes(32))) + OK + READY,
        ]

    result = await result_against(challenging(make))
    assert result.failure is Failure.PROTOCOL
    assert "does not prove that it knows the password" in result.message


async def test_a_server_that_skips_its_proof_is_not_believed():
    def make(nonce):
        return [authentication(11, b"r=" + nonce + b"x,s=" + SALT + b",i=4096"), OK + READY]

    assert (await result_against(challenging(make))).failure is Failure.PROTOCOL


ONE = columns(("a", 25))


@pytest.mark.parametrize(
    ("answer", "failure", "reason"),
    [
        (row(b"x" * 60) * 20_000, Failure.BODY_TOO_LARGE, "more than 1000 rows"),
        (ONE + row(b"x" * 60_000) * 100, Failure.BODY_TOO_LARGE, "bytes where at most"),
        (b"D\x7f\xff\xff\xff", Failure.BODY_TOO_LARGE, "2147483647 bytes where at most 10485"),
        (b"T\x7f\xff\xff\xff", Failure.PROTOCOL, "bytes where at most"),
        (message(b"T", b"\xff\xff"), Failure.PROTOCOL, "description of rows is not one"),
        (message(b"T", b"\0\1name without end"), Failure.PROTOCOL, "description of rows is not one"),
        (ONE + message(b"D", b"\0\1\0\0\0\x09x"), Failure.PROTOCOL, "row is not one"),
        (ONE + message(b"D", b"\xff\xff"), Failure.PROTOCOL, "row is not one"),
        (ONE + message(b"D", b""), Failure.PROTOCOL, "row is not one"),
        (message(b"?", b""), Failure.PROTOCOL, "this is not PostgreSQL"),
        (message(b"s"), Failure.PROTOCOL, "a message 's'"),
        (message(b"H", b"\0\0\0"), Failure.QUERY_FAILED, "COPY"),
        (error("42P01", "x" * 1000), Failure.QUERY_FAILED, "42P01: xxx"),
        (error("57014", "canceling statement due to user request"), Failure.QUERY_FAILED, "57014: canceling"),
        (message(b"N", b"x" * 60_000) * 20, Failure.PROTOCOL, "bytes where at most"),
    ],
)
async def test_what_comes_instead_of_rows(answer, failure, reason):
    result = await result_against(logging_in(answering(answer)))
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert reason in result.message
    assert "query_s" in result.samples


async def test_rows_that_are_not_what_their_types_promise_stay_text():
    many = columns(("i", 20), ("j", 114), ("t", 1184), ("b", 16), ("n", 1700), ("i", 23))
    wrong = row(b"9" * 5000, b"[" * 5000, b"soon", b"maybe", b"\xff", b"1")
    handler = logging_in(answering(many + wrong + COMPLETE + READY))
    result = await result_against(handler, down_when=["row.i == 1 && row.t == 'soon' && row.b == 'maybe'"])
    assert result.failure is Failure.CONDITION
    fewer = logging_in(answering(columns(("a", 23), ("b", 23)) + row(b"1") + COMPLETE + READY))
    assert (await result_against(fewer, down_when=["row.a != 1"])).state is State.UP
    none = logging_in(answering(row() + COMPLETE + READY))
    assert (await result_against(none)).state is State.UP


async def test_an_age_that_is_no_number():
    plain = columns(("a", 25)) + row(b"1") + COMPLETE + READY
    stamp = columns(("at", 1184)) + row(b"soon") + COMPLETE + READY
    script = answering(plain, stamp, columns(("age", 701)) + row(b"\xff\xfe") + COMPLETE + READY)
    result = await result_against(logging_in(script), freshness={"query": "x", "max_age": "1m"})
    assert result.failure is Failure.PROTOCOL
    script = answering(plain, stamp, COMPLETE + READY)
    result = await result_against(logging_in(script), freshness={"query": "x", "max_age": "1m"})
    assert result.failure is Failure.PROTOCOL


async def test_a_server_that_says_one_octet_at_a_time():
    async def drip(reader, writer):
        await read_startup(reader)
        for octet in OK + parameter("server_version", "15.1") + READY:
            writer.write(bytes((octet,)))
            await writer.drain()
        await answering(ONE + row(b"1") + COMPLETE + READY)(reader, writer)

    result = await result_against(drip)
    assert (result.state, result.message) == (State.UP, "")
    assert result.samples["server_version_num"] == 150001


@pytest.mark.parametrize("after", ["startup", "login", "query"])
async def test_a_server_that_hangs_up(after):
    async def handler(reader, writer):
        await read_startup(reader)
        if after == "startup":
            return
        writer.write(OK + READY)
        if after == "login":
            await read_message(reader)
            return
        await read_message(reader)
        writer.write(COMPLETE + READY + ONE + struct.pack(">cI", b"D", 100))
        await writer.drain()
        writer.write_eof()
        await silent(reader, writer)

    result = await result_against(handler)
    assert result.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET)
    assert ("in login" if after == "startup" else "in query") in result.message


async def test_a_server_that_never_reads_does_not_hold_us():
    gate = asyncio.Event()

    async def handler(reader, writer):
        writer.transport.pause_reading()
        await gate.wait()

    result = await result_against(handler, timeout_s=0.4, query="SELECT '" + "x" * 60_000 + "'")
    assert result.failure is Failure.TIMEOUT
