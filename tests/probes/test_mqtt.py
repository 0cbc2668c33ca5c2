"""The kind `mqtt`, against a real mosquitto and against brokers whose every octet the test decides."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes import mqtt_wire as wire
from probes.failures import TroubleError
from probes.kinds.mqtt import MqttParams
from probes.message_time import time_of
from probes.model import Failure
from tests.mosquitto import PASSWORD, USER, MosquittoServer
from tests.probes.tcp_servers import SLACK_S, measure, saying, serve, silent

LOGIN = {"username": USER, "password": PASSWORD, "clear_password": True}
VERSIONS = ("3.1.1", "5")


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mosquitto")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    server = MosquittoServer(directory / "cert.pem", directory / "key.pem")
    server.ca_file = str(directory / "ca.pem")
    try:
        server.start()
        yield server
    finally:
        server.close()


async def visit(server, timeout_s=10.0, **parameters):
    return await measure("mqtt", f"{server.host}:{server.port}", timeout_s, **{**LOGIN, **parameters})


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_broker_is_up_with_its_phases(mosquitto, version):
    found = await visit(mosquitto, version=version)
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == {"resolve_s", "connect_s", "login_s", "ping_s"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_echo_comes_back(mosquitto, version):
    found = await visit(mosquitto, version=version, echo_topic="giamsat/hn-1")
    assert (found.failure, found.message) == (None, "")
    assert found.samples["round_trip_s"] > 0
    assert found.samples["subscribe_s"] > 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_retained_message_and_its_age(mosquitto, version):
    written = datetime.now(UTC) - timedelta(seconds=100)
    mosquitto.publish("quan-trac/khí", b'{"at": {"measured": "%s"}, "pm25": 42}' % written.isoformat().encode())
    asked = {"version": version, "topic": "quan-trac/khí", "time_field": "at.measured"}
    fresh = await visit(mosquitto, **asked, max_age="10m")
    stale = await visit(mosquitto, **asked, max_age="1m")
    parameters = {**LOGIN, "version": version, "topic": "quan-trac/khí", "down_when": "json.pm25 > 40"}
    result = await run_once(prepare("mqtt", f"{mosquitto.host}:{mosquitto.port}", parameters, 10.0), "test")
    assert (fresh.failure, fresh.message) == (None, "")
    assert fresh.samples["freshness_s"] == pytest.approx(100, abs=30)
    assert fresh.samples["retained"] == 1
    assert fresh.facts["json"]["pm25"] == 42
    assert stale.failure is Failure.STALE
    assert stale.message.endswith("s old, allowed are 60 s")
    assert (result.state, result.message) == (State.DOWN, "json.pm25 > 40 (json.pm25 = 42)")


async def test_a_topic_without_a_message_is_stale_before_time_is_up(mosquitto):
    address = f"{mosquitto.host}:{mosquitto.port}"
    result = await run_once(prepare("mqtt", address, {**LOGIN, "topic": "quan-trac/không"}, 0.6), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.STALE)
    assert result.message == "there is no message on quan-trac/không, retained or new"
    assert result.duration_s < 0.6 + SLACK_S


async def test_a_message_that_is_published_while_we_listen_is_taken(mosquitto):
    probing = asyncio.create_task(visit(mosquitto, topic="quan-trac/mới", timeout_s=20.0))
    while not probing.done():
        await asyncio.to_thread(mosquitto.publish, "quan-trac/mới", b"1")
        await asyncio.sleep(0.05)
    assert (await probing).facts["payload"] == "1"


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_the_broker_refuses(mosquitto, version):
    wrong = await visit(mosquitto, version=version, password="hunter2-hunter2")
    nobody = await visit(mosquitto, version=version, username="", password="")
    assert wrong.failure is nobody.failure is Failure.AUTH_REJECTED
    assert "not authorized" in wrong.message
    assert "hunter2" not in wrong.message


async def test_a_topic_that_we_may_not_publish_to(mosquitto):
    told = await visit(mosquitto, version="5", echo_topic="chi-doc/x")
    assert told.failure is Failure.QUERY_FAILED
    assert told.message == "the broker refuses the message: not authorized (0x87)"
    address = f"{mosquitto.host}:{mosquitto.port}"
    silently = await run_once(prepare("mqtt", address, {**LOGIN, "echo_topic": "chi-doc/x"}, 0.6), "test")
    assert silently.message == "no answer within 0.6 s in round_trip"


async def test_tls(mosquitto):
    address = f"{mosquitto.host}:{mosquitto.tls_port}"
    login = {**LOGIN, "clear_password": False, "tls": True}
    found = await measure("mqtt", address, 10.0, ca_file=mosquitto.ca_file, **login)
    untrusted = await measure("mqtt", address, 10.0, **login)
    assert (found.failure, found.message) == (None, "")
    assert found.samples["cert_expires_s"] > 0
    assert untrusted.failure is Failure.TLS_UNTRUSTED


def test_it_works_on_uvloop_many_at_once(mosquitto):
    async def many():
        probes = (visit(mosquitto, 20.0, echo_topic=f"giamsat/{number}") for number in range(20))
        return await asyncio.gather(*probes)

    assert [found.message for found in uvloop.run(many())] == [""] * 20


CONNACK, SUBACK, PINGRESP = b"\x20\2\0\0", b"\x90\3\0\1\0", b"\xd0\0"


def answering(*answers):
    """Return a handler that answers whatever comes with the next of the answers, and stays."""

    async def handler(reader, writer):
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
        await silent(reader, writer)

    return handler


@pytest.mark.parametrize(
    ("answers", "version", "failure", "message"),
    [
        ([b"\x20\2\0\1"], "3.1.1", Failure.PROTOCOL, "the broker refuses the connection: unacceptable protocol"),
        ([b"\x20\2\0\3"], "3.1.1", Failure.QUERY_FAILED, "the broker refuses the connection: server unavailable"),
        ([b"\x20\2\0\4"], "3.1.1", Failure.AUTH_REJECTED, "the broker refuses the connection: bad user name"),
        ([b"\x20\2\0\1"], "5", Failure.PROTOCOL, "the broker refuses the connection: unacceptable protocol"),
        ([b"\x20\3\0\x89\0"], "5", Failure.QUERY_FAILED, "the broker refuses the connection: server busy (0x89)"),
        (
            [b"\x20\x15\0\x87\x12\x1f\0\x0fno hunter2-hunt"],
            "5",
            Failure.AUTH_REJECTED,
            "the broker refuses the connection: not authorized (0x87): no",
        ),
        ([b"\x20\x07\0\0\4\xfe\0\0\0"], "5", Failure.PROTOCOL, "the broker's packet has"),
        ([b"\x20\1\0"], "3.1.1", Failure.PROTOCOL, "the broker's packet is cut short"),
        ([b"\x20\xff\xff\xff\xff"], "3.1.1", Failure.PROTOCOL, "the broker's packet has a length that is none"),
        ([b"\x20\xff\xff\xff\x7f"], "3.1.1", Failure.PROTOCOL, "the broker sends a packet of 268435455 bytes"),
        ([b"HTTP/1.1 400\r\n"], "3.1.1", Failure.PROTOCOL, "this is not MQTT, or no packet for a client: 0x48"),
        ([b"SSH-2.0-OpenSSH\r\n"], "3.1.1", Failure.PROTOCOL, "this is not MQTT, or no packet for a client: 0x53"),
        ([PINGRESP], "3.1.1", Failure.PROTOCOL, "the broker sent a packet of type 13 where none such belongs"),
        ([CONNACK, CONNACK], "3.1.1", Failure.PROTOCOL, "the broker sent a packet of type 2 where none such"),
        ([CONNACK, PINGRESP, b"\x90\3\0\1\x80"], "3.1.1", Failure.QUERY_FAILED, "the broker refuses to let us read"),
        ([CONNACK, PINGRESP, b"\x90\3\0\7\0"], "3.1.1", Failure.PROTOCOL, "the broker answers a subscription that"),
        ([b"\x20\3\0\0\0", b"\xe0\2\x8b\0"], "5", Failure.QUERY_FAILED, "the broker ends the session: server shut"),
        ([CONNACK, PINGRESP, SUBACK + b"\x30\2\0\x99"], "3.1.1", Failure.PROTOCOL, "the broker's packet is cut short"),
    ],
)
async def test_brokers_that_turn_us_away_or_are_none(answers, version, failure, message):
    async with serve(answering(*answers)) as port:
        login = {**LOGIN, "password": "hunter2-hunt"}
        found = await measure("mqtt", f"127.0.0.1:{port}", 5.0, version=version, topic="t", **login)
    assert found.failure is failure
    assert found.message.startswith(message)
    assert "hunter2" not in found.message
    assert found.message.isprintable()


async def test_a_message_ahead_of_the_answer_is_taken_and_others_are_not():
    early = b"\x31\5\0\1tok" + b"\x30\5\0\1xno"
    async with serve(answering(CONNACK, b"\x30\5\0\1xno" + PINGRESP, early + SUBACK)) as port:
        found = await measure("mqtt", f"127.0.0.1:{port}", 5.0, topic="t")
    assert (found.failure, found.facts["payload"]) == (None, "ok")


async def test_endless_messages_end_at_the_limit():
    flood = b"\x30\x83\x80\x08" + b"\0\1x" + b"y" * 131_072
    async with serve(saying(CONNACK + flood * 20)) as port:
        found = await measure("mqtt", f"127.0.0.1:{port}", 10.0, topic="t")
    assert found.failure is Failure.PROTOCOL
    assert found.message.startswith("the server sends ")


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b"%d", None),
        (b"%d000", None),
        (b"%d000000", None),
        (b'"%d"', None),
        (b"{}", Failure.BODY_DECODE),
        (b"nan", Failure.BODY_DECODE),
        (b"\xff\xfe", Failure.BODY_DECODE),
        (b"[" * 100_000, Failure.BODY_DECODE),
        (b"2026-01-01T00:00:00", Failure.BODY_DECODE),
        (b"2026-01-01T07:00:00+07:00", Failure.STALE),
        (b"", Failure.BODY_DECODE),
    ],
)
async def test_when_a_message_was_written(payload, failure):
    payload = payload.replace(b"%d", str(int(time.time())).encode())
    body = b"\0\1t" + payload
    head = b"\x31" + bytes([len(body) % 128 | 0x80, len(body) // 128 % 128 | 0x80, len(body) // 16384])
    async with serve(answering(CONNACK, PINGRESP, SUBACK + head + body)) as port:
        found = await measure("mqtt", f"127.0.0.1:{port}", 5.0, topic="t", max_age="1h")
    assert found.failure is failure


def test_times_of_every_scale_are_the_same_moment():
    moment = 1_700_000_000
    for value in (moment, moment * 10**3, moment * 10**6, moment * 10**9, str(moment), "2023-11-14T22:13:20Z"):
        assert time_of(value) == moment
    for nothing in (None, True, [], 1e30):
        with pytest.raises(TroubleError):
            time_of(nothing)


@given(st.binary(max_size=200), st.sampled_from(VERSIONS))
def test_whatever_a_broker_sends_is_read_or_is_trouble(data, version):
    for read in (wire.read_connack, wire.read_suback, wire.read_puback, wire.read_disconnect):
        with suppress(TroubleError):
            read(data, version)
    with suppress(TroubleError):
        wire.read_publish(data[0] if data else 0, data, version)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"topic": "a/#"}, "no wildcards"),
        ({"echo_topic": "a/+/b"}, "no wildcards"),
        ({"max_age": "1m"}, "name the topic"),
        ({"topic": "a", "time_field": "at"}, "time_field serves max_age"),
        ({"username": "a"}, "the password can be read on its way"),
        ({"version": "4"}, "3.1.1"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        MqttParams(address="h:1883", **parameters)


def test_a_version_may_be_a_number_and_the_password_is_not_shown():
    params = MqttParams(address="h:1883", version=5, tls=True, username="a", password="hunter2")
    assert params.version == "5"
    assert "hunter2" not in repr(params)
