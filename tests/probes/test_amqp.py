"""The kind `amqp`, against a real RabbitMQ; what no RabbitMQ does is in test_amqp_hostile.py."""

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes import amqp_wire as wire
from probes.kinds.amqp import AmqpParams
from probes.model import Failure
from tests.probes.tcp_servers import measure, refusing_port
from tests.rabbitmq import PASSWORD, USER, RabbitServer

LOGIN = {"username": USER, "password": PASSWORD, "clear_password": True}


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rabbit")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    server = RabbitServer(directory / "cert.pem", directory / "key.pem")
    server.ca_file = str(directory / "ca.pem")
    try:
        server.start()
        yield server
    finally:
        server.close()


async def visit(server, **parameters):
    return await measure("amqp", f"{server.host}:{server.port}", timeout_s=20.0, **{**LOGIN, **parameters})


@asynccontextmanager
async def client(server):
    """Log in by hand as one who may publish and consume, and yield reader, writer and how to await a method."""
    reader, writer = await asyncio.open_connection(server.host, server.port)

    async def until(class_id, method_id):
        while True:
            head = await reader.readexactly(7)
            payload = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
            if head[0] == 1 and struct.unpack_from(">HH", payload) == (class_id, method_id):
                return payload

    try:
        writer.write(b"AMQP\0\0\x09\x01")
        await until(10, 10)
        writer.write(wire.start_ok({}, "PLAIN", f"\0quan-tri\0{PASSWORD}".encode()))
        await until(10, 30)
        writer.write(wire.frame(1, 0, struct.pack(">HHHIH", 10, 31, 1, 131072, 0)) + wire.connection_open("/"))
        await until(10, 41)
        writer.write(wire.channel_open())
        await until(20, 11)
        yield writer, until
        writer.write(wire.connection_close())
        await until(10, 51)
    finally:
        writer.transport.abort()


def method(class_id, method_id, arguments):
    return wire.frame(1, 1, struct.pack(">HH", class_id, method_id) + arguments)


def short(text):
    return bytes([len(text)]) + text


async def test_a_broker_is_up_with_its_phases_and_says_what_it_is(rabbit):
    found = await visit(rabbit)
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == {"resolve_s", "connect_s", "login_s", "open_s"}
    assert found.facts["product"] == "RabbitMQ"
    assert found.facts["version"].startswith("3.")
    assert found.facts["cluster_name"].startswith("thongsuot")
    elsewhere = await visit(rabbit, vhost="dữ liệu")
    assert (elsewhere.failure, elsewhere.message) == (None, "")


async def test_the_depth_of_a_queue_and_who_reads_it(rabbit):
    empty = await visit(rabbit, queue="dong-bo", consumers_min=1)
    assert (empty.samples["messages"], empty.samples["consumers"]) == (0, 0)
    assert (empty.failure, empty.message) == (Failure.CONDITION, "0 consumers read dong-bo, needed are 1")
    async with client(rabbit) as (writer, until):
        writer.write(method(85, 10, b"\0"))  # Confirm.Select: then we know when they are in the queue
        await until(85, 11)
        for _ in range(3):
            head = struct.pack(">HHQH", 60, 0, 2, 0)
            publish = method(60, 40, b"\0\0" + short(b"") + short(b"dong-bo") + b"\0")
            writer.write(publish + wire.frame(2, 1, head) + wire.frame(3, 1, b"hi"))
            await until(60, 80)
        full = await visit(rabbit, queue="dong-bo", messages_max=2)
        lenient = await visit(rabbit, queue="dong-bo", messages_max=3)
        # No more than it can hold: messages that it has taken are not ready.
        writer.write(method(60, 10, struct.pack(">IHB", 0, 1, 0)))
        await until(60, 11)
        writer.write(method(60, 20, b"\0\0" + short(b"dong-bo") + short(b"me") + b"\0" + struct.pack(">I", 0)))
        await until(60, 60)
        read = await visit(rabbit, queue="dong-bo", consumers_min=1)
        writer.write(method(50, 30, b"\0\0" + short(b"dong-bo") + b"\0"))
        await until(50, 31)
    assert (full.failure, full.samples["messages"]) == (Failure.CONDITION, 3)
    assert full.message == "3 messages are ready in dong-bo, allowed are 2"
    assert lenient.failure is None
    assert (read.failure, read.samples["messages"], read.samples["consumers"]) == (None, 2, 1)
    assert read.samples["query_s"] > 0


@pytest.mark.parametrize(
    ("parameters", "failure", "message"),
    [
        ({"password": "hunter2"}, Failure.AUTH_REJECTED, "403: ACCESS_REFUSED - Login was refused"),
        ({"username": "không-có"}, Failure.AUTH_REJECTED, "403: ACCESS_REFUSED - Login was refused"),
        ({"vhost": "không có"}, Failure.QUERY_FAILED, "530: NOT_ALLOWED - vhost không có not found"),
        ({"username": "nguoi-la"}, Failure.QUERY_FAILED, "530: NOT_ALLOWED - access to vhost '/' refused"),
        ({"queue": "không có"}, Failure.QUERY_FAILED, "404: NOT_FOUND - no queue 'không có' in vhost '/'"),
    ],
)
async def test_what_the_broker_refuses(rabbit, parameters, failure, message):
    found = await visit(rabbit, **parameters)
    assert found.failure is failure
    assert found.message.startswith(message)
    assert "hunter2" not in found.message


async def test_tls(rabbit):
    address = f"{rabbit.host}:{rabbit.tls_port}"
    login = {**LOGIN, "clear_password": False, "tls": True}
    found = await measure("amqp", address, timeout_s=20.0, ca_file=rabbit.ca_file, **login)
    untrusted = await measure("amqp", address, timeout_s=20.0, **login)
    parameters = {**login, "verify": False, "down_when": "cert.expires_in < duration('1h') || version < '3'"}
    result = await run_once(prepare("amqp", address, parameters, 20.0), "test")
    assert (found.failure, found.message) == (None, "")
    assert found.samples["tls_s"] > 0
    assert found.samples["cert_expires_s"] > 0
    assert untrusted.failure is Failure.TLS_UNTRUSTED
    assert (result.state, result.message) == (State.UP, "")


async def test_a_closed_port_refuses():
    found = await measure("amqp", f"127.0.0.1:{refusing_port()}", **LOGIN)
    assert found.failure is Failure.CONNECT_REFUSED


def test_it_works_on_uvloop_many_at_once(rabbit):
    async def many():
        return await asyncio.gather(*(visit(rabbit, queue="dong-bo") for _ in range(20)))

    assert [found.message for found in uvloop.run(many())] == [""] * 20


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"username": "a", "password": "b"}, "the password can be read on its way"),
        ({"tls": True, "queue": "q"}, "name username"),
        ({"username": "a", "tls": True, "messages_max": 1}, "name it"),
        ({"username": "a", "tls": True, "queue": "ữ" * 200}, "at most 255 bytes"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        AmqpParams(address="h:5672", **parameters)
