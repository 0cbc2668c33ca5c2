"""The kind `amqp` against brokers whose every octet the test decides."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes import amqp_wire as wire
from probes.failures import TroubleError
from probes.kinds.amqp import AmqpParams
from probes.model import Failure
from tests.probes.tcp_servers import measure, saying, serve, silent

LOGIN = {"username": "giamsat", "password": "hunter2-hunter2", "clear_password": True}


def method(class_id, method_id, arguments=b"", channel=0):
    return wire.frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def long(raw):
    return struct.pack(">I", len(raw)) + raw


def start(properties=b"", mechanisms=b"PLAIN AMQPLAIN", version=b"\0\x09"):
    return method(10, 10, version + long(properties) + long(mechanisms) + long(b"en_US"))


TUNE = method(10, 30, struct.pack(">HIH", 0, 0, 60))
OPEN_OK = method(10, 41, b"\0")
CHANNEL_OK = method(20, 11, long(b""), 1)


def close(code, text, class_id=10, method_id=50):
    return method(class_id, method_id, struct.pack(">HB", code, len(text)) + text + b"\0\0\0\0")


def answering(*answers):
    """Return a handler that answers whatever comes with the next of the answers, and stays."""

    async def handler(reader, writer):
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
        await silent(reader, writer)

    return handler


async def visit(*answers, **parameters):
    async with serve(answering(*answers)) as port:
        return await measure("amqp", f"127.0.0.1:{port}", timeout_s=10.0, **{**LOGIN, **parameters})


@pytest.mark.parametrize(
    ("answers", "failure", "message"),
    [
        ([b"AMQP\0\0\x09\x01"], Failure.PROTOCOL, "the broker does not speak AMQP 0-9-1, but offers 0.0.9"),
        ([b"AMQP\3\1\0\0"], Failure.PROTOCOL, "the broker does not speak AMQP 0-9-1, but offers 3.1.0"),
        ([b"HTTP/1.1 400 Bad\r\n"], Failure.PROTOCOL, "this is not AMQP: b'HTTP/1.'"),
        ([b"\1\0\0\xff\xff\xff\xff"], Failure.PROTOCOL, "the broker sends a frame of 4294967295 bytes"),
        ([start()[:-1] + b"x"], Failure.PROTOCOL, "this is not AMQP: a frame without its end"),
        ([start(version=b"\0\x08")], Failure.PROTOCOL, "the broker does not speak AMQP 0-9-1, but 0-8"),
        ([start(mechanisms=b"EXTERNAL")], Failure.PROTOCOL, "the broker offers no way to log in that is known: EXT"),
        ([start(b"\xffx")], Failure.PROTOCOL, "the broker's method is cut short"),
        ([start(b"\1a" + b"F\0\0\0\x06\1a" * 60)], Failure.PROTOCOL, "the broker's table is not one"),
        ([start(b"\1aV" * 500)], Failure.PROTOCOL, "the broker's table has more than 200 fields"),
        ([start(b"\1a?")], Failure.PROTOCOL, "the broker's table has a field of an unknown type, b'?'"),
        ([method(10, 10, b"")], Failure.PROTOCOL, "the broker's method is cut short"),
        ([wire.frame(1, 0, b"")], Failure.PROTOCOL, "the broker's method is cut short"),
        ([wire.frame(2, 0, b"body")], Failure.PROTOCOL, "the broker sent a frame of type 2"),
        ([TUNE], Failure.PROTOCOL, "the broker sent a method CONNECTION_TUNE where CONNECTION_START belongs"),
        ([method(99, 1)], Failure.PROTOCOL, "the broker sent a method that is not known where"),
        ([wire.frame(8, 0, b"") * 100_000], Failure.PROTOCOL, "the server sends 7 bytes where at most"),
        ([start(), close(403, b"no hunter2-hunter2")], Failure.AUTH_REJECTED, "403: no ***"),
        ([start(), close(320, b"CONNECTION_FORCED")], Failure.QUERY_FAILED, "320: CONNECTION_FORCED"),
        ([start(), TUNE, close(403, b"x\0\x1b")], Failure.QUERY_FAILED, "403: x"),
        ([start(), TUNE, OPEN_OK, CHANNEL_OK + close(404, b"none", 20, 40)], Failure.QUERY_FAILED, "404: none"),
        ([start(), TUNE, OPEN_OK, CHANNEL_OK + method(50, 11, b"\1q", 1)], Failure.PROTOCOL, "the broker's method is"),
    ],
)
async def test_brokers_that_turn_us_away_or_are_none(answers, failure, message):
    found = await visit(*answers, queue="q")
    assert found.failure is failure
    assert found.message.startswith(message)
    assert found.message.isprintable()


async def test_a_broker_that_hangs_up():
    async with serve(saying(b"", then_close=True)) as port:
        found = await measure("amqp", f"127.0.0.1:{port}", **LOGIN)
    assert found.failure is Failure.CONNECTION_CLOSED
    assert found.message == "the server closed the connection in login"


async def test_heartbeats_and_every_type_of_field_are_taken():
    fields = (
        b"\7productS" + long(b"Th\xc3\xb4ng")
        + b"\1at\1" + b"\1bb\xff" + b"\1cs\0\1" + b"\1dI\0\0\0\1" + b"\1el" + b"\0" * 8 + b"\1fd" + b"\0" * 8
        + b"\1gD\0\0\0\0\1" + b"\1hT" + b"\0" * 8 + b"\1iV" + b"\1jx" + long(b"\0") + b"\1kA" + long(b"V" * 3)
        + b"\1lF" + long(b"\1mt\0")
    )  # fmt: skip
    found = await visit(wire.frame(8, 0, b"") + start(fields), TUNE, OPEN_OK, method(10, 51))
    assert (found.failure, found.facts["product"]) == (None, "Thông")


@given(st.binary(max_size=300))
def test_whatever_a_broker_sends_is_read_or_is_trouble(data):
    for read in (wire.read_start, wire.read_tune, wire.read_close, wire.read_depth):
        with suppress(TroubleError):
            read(wire.Cursor(data))


def test_the_password_is_not_shown():
    assert "hunter2" not in repr(AmqpParams(address="h:1", **LOGIN))


async def test_without_a_user_it_is_up_once_the_broker_offers_a_login():
    async with serve(answering(start(mechanisms=b"EXTERNAL"))) as port:
        found = await measure("amqp", f"127.0.0.1:{port}")
    assert (found.failure, found.message) == (None, "")
    assert found.samples["login_s"] > 0
    assert "open_s" not in found.samples


@pytest.mark.parametrize("given", [{"queue": "q"}, {"vhost": "v"}, {"password": "x"}])
def test_what_is_for_those_who_log_in_needs_a_user(given):
    with pytest.raises(ValidationError, match="name username"):
        AmqpParams(address="127.0.0.1:5672", **given)
