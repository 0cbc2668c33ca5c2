"""The kind `kafka`, against a listener that speaks enough of the protocol, which aiokafka takes for a cluster."""

import asyncio
import ssl
import struct
from contextlib import suppress

import pytest
import trustme
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes import kafka_wire as wire
from probes.failures import TroubleError
from probes.kinds.kafka import KafkaParams
from probes.model import Failure
from tests.probes.kafka_servers import PASSWORD, USER, VERSIONS, Cluster, Part, array, text
from tests.probes.tcp_servers import measure, saying, serve, silent

LOGIN = {"username": USER, "password": PASSWORD, "clear_password": True}
TOPIC = {"topic": "dong-bo"}
GROUP = {**TOPIC, "group": "kho"}


async def visit(cluster, **parameters):
    async with cluster.serving() as address:
        return await measure("kafka", address, 10.0, **parameters)


@pytest.mark.parametrize("mechanism", [None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_the_listener_is_a_cluster_to_a_client_that_others_have_written(mechanism):
    cluster = Cluster(with_sasl=mechanism is not None)
    login = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    async with cluster.serving() as address:
        options = {"bootstrap_servers": address, **(login if mechanism else {})}
        partitions = [TopicPartition("dong-bo", 0), TopicPartition("dong-bo", 1)]
        async with AIOKafkaConsumer(group_id="kho", enable_auto_commit=False, **options) as consumer:
            assert await consumer.topics() == {"dong-bo"}
            assert await consumer.end_offsets(partitions) == dict(zip(partitions, (100, 50), strict=True))
            assert [await consumer.committed(partition) for partition in partitions] == [90, 50]
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        try:
            (topic,) = await admin.describe_topics(["dong-bo"])
            described = await admin.describe_cluster()
        finally:
            await admin.close()
    assert [(part["leader"], part["replicas"], part["isr"]) for part in topic["partitions"]] == [
        (0, [0, 1], [0, 1]),
        (1, [0, 1], [0, 1]),
    ]
    assert (described["cluster_id"], described["controller_id"], len(described["brokers"])) == ("cum-1", 1, 2)


async def test_a_cluster_is_up_with_its_phases():
    found = await visit(Cluster())
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == {"resolve_s", "connect_s", "login_s", "metadata_s", "brokers", "controller_id"}
    assert (found.samples["brokers"], found.samples["controller_id"]) == (2, 1)
    assert found.facts["cluster_id"] == "cum-1"


async def test_a_topic_and_a_groups_lag_asked_of_leaders_and_coordinator():
    cluster = Cluster()
    found = await visit(cluster, **GROUP)
    assert (found.failure, found.message) == (None, "")
    assert found.samples["partitions"] == 2
    assert found.samples["offset_sum"] == 150
    assert found.samples["lag_messages"] == 10
    assert found.samples["partitions_uncommitted"] == 0
    assert {(0, 2), (1, 2), (1, 9)} <= set(cluster.asked)
    assert cluster.asked.count((1, 18)) == 1  # one connection serves as leader and as coordinator


async def test_too_much_lag_and_no_lag_at_all():
    behind = await visit(Cluster(), **GROUP, lag_max=9)
    assert behind.failure is Failure.CONDITION
    assert behind.message == "kho is 10 messages behind in dong-bo, allowed are 9"
    partly = await visit(Cluster(parts=[Part(0, end=100, committed=90), Part(1, end=50)]), **GROUP, lag_max=10)
    assert (partly.failure, partly.samples["partitions_uncommitted"]) == (None, 1)
    never = await visit(Cluster(parts=[Part(0, end=100)]), **GROUP, lag_max=0)
    assert never.failure is None
    assert "lag_messages" not in never.samples


async def test_partitions_without_a_leader_or_a_replica():
    dead = await visit(Cluster(parts=[Part(0, end=5), Part(-1, in_sync=())]), **TOPIC)
    assert dead.failure is Failure.CONDITION
    assert dead.message == "1 of 2 partitions of dong-bo have no leader"
    assert dead.samples["offset_sum"] == 5
    async with Cluster(parts=[Part(0, in_sync=(0,)), Part(1)]).serving() as address:
        thin = await run_once(prepare("kafka", address, TOPIC, 10.0), "test")
    assert (thin.state, thin.failure) == (State.DEGRADED, Failure.CONDITION)
    assert thin.message == "1 of 2 partitions of dong-bo have fewer replicas in sync than they should"
    few = await visit(Cluster(), brokers_min=3)
    assert (few.failure, few.message) == (Failure.CONDITION, "2 brokers are alive, needed are 3")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_logging_in_on_every_broker(mechanism):
    cluster = Cluster(with_sasl=True)
    found = await visit(cluster, **GROUP, **LOGIN, mechanism=mechanism)
    wrong = await visit(cluster, **{**LOGIN, "password": "hunter2"}, mechanism=mechanism)
    assert (found.failure, found.samples["lag_messages"]) == (None, 10)
    assert wrong.failure is Failure.AUTH_REJECTED
    assert wrong.message.startswith("SASL_AUTHENTICATION_FAILED (58): no: ")
    assert "hunter2" not in wrong.message


async def test_what_the_cluster_refuses():
    no_mechanism = await visit(Cluster(with_sasl=True, mechanisms=("PLAIN",)), **LOGIN)
    assert no_mechanism.failure is Failure.PROTOCOL
    assert no_mechanism.message == "the broker offers no SCRAM-SHA-256 to log in, but PLAIN"
    unknown = await visit(Cluster(), topic="khong-co")
    assert unknown.message == "topic khong-co: UNKNOWN_TOPIC_OR_PARTITION (3)"
    hidden = await visit(Cluster(topic_error=29), **TOPIC)
    assert hidden.message == "topic dong-bo: TOPIC_AUTHORIZATION_FAILED (29)"
    group = await visit(Cluster(group_error=30), **GROUP)
    assert group.message == "group kho: GROUP_AUTHORIZATION_FAILED (30)"
    assert unknown.failure is hidden.failure is group.failure is Failure.QUERY_FAILED
    without_login = await visit(Cluster(with_sasl=True))
    assert without_login.failure is Failure.CONNECTION_CLOSED


async def test_tls_on_every_broker(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Cluster(with_sasl=True).serving(context) as address:
        login = {**LOGIN, "clear_password": False, "tls": True}
        found = await measure("kafka", address, 10.0, ca_file=str(tmp_path / "ca.pem"), **GROUP, **login)
        untrusted = await measure("kafka", address, 10.0, **login)
    assert (found.failure, found.samples["lag_messages"]) == (None, 10)
    assert found.samples["cert_expires_s"] > 0
    assert untrusted.failure is Failure.TLS_UNTRUSTED


def answering(*answers):
    """Return a handler that answers each request, under its number, with the next of the answers, and stays."""

    async def handler(reader, writer):
        for answer in answers:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            number = (await reader.readexactly(size))[4:8]
            writer.write(struct.pack(">i", 4 + len(answer)) + number + answer)
        await silent(reader, writer)

    return handler


def versions(**changed):
    offered = {**VERSIONS, **{int(name[1:]): version for name, version in changed.items()}}
    return b"\0\0" + array(*(struct.pack(">hhh", api, one, one) for api, one in offered.items()))


def advertising(host, port=9092):
    broker = struct.pack(">i", 0) + text(host) + struct.pack(">i", port) + text(None)
    partition = struct.pack(">hii", 0, 0, 0) + array() * 3
    topic = b"\0\0" + text("dong-bo") + b"\0" + array(partition)
    return b"\0\0\0\0" + array(broker) + text("c") + b"\0\0\0\0" + array(topic)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (saying(b"HTTP/1.1 400 Bad\r\n"), "this is not Kafka: it begins with b'HTTP'"),
        (saying(b"\0\0\0\0"), "this is not Kafka: it begins with"),
        (saying(b"\0\0\0\x06\0\0\0\x09\0\0"), "the broker answers a request that nobody made"),
        (answering(b"\0\x23"), "the broker's response is cut short"),
        (answering(b"\0\x23" + array()), "the broker does not tell its versions: UNSUPPORTED_VERSION (35)"),
        (answering(b"\0\0\x7f\xff\xff\xff"), "the broker's response has an array of 2147483647 items"),
        (answering(versions(_3=2)), "the broker speaks of METADATA the versions 2 to 2, needed is 5"),
        (answering(b"\0\0" + array()), "the broker speaks of LIST_OFFSETS the versions none, needed is 1"),
        (answering(versions(), b"\0\0\0\0"), "the broker's response is cut short"),
        (
            answering(versions(), b"\0\0\0\0" + array() + text("c") + b"\0\0\0\0" + array()),
            "the broker does not answer",
        ),
        (answering(versions(), advertising("a b\0")), "the cluster advertises broker 0 at 'a b:9092'"),
        (answering(versions(), advertising("127.0.0.1", 99999)), "the cluster advertises broker 0 at"),
        (answering(versions(), advertising("x" * 300)), "the cluster advertises broker 0 at 'xxx"),
    ],
)
async def test_brokers_that_are_none(handler, message):
    async with serve(handler) as port:
        found = await measure("kafka", f"127.0.0.1:{port}", 5.0, **TOPIC)
    assert found.failure is Failure.PROTOCOL
    assert found.message.startswith(message)
    assert found.message.isprintable()


@given(st.binary(max_size=300))
def test_whatever_a_broker_sends_is_read_or_is_trouble(data):
    for read in (
        wire.read_versions,
        wire.read_handshake,
        wire.read_authenticate,
        wire.read_metadata,
        wire.read_list_offsets,
        wire.read_coordinator,
        wire.read_offset_fetch,
    ):
        with suppress(TroubleError):
            read(wire.Cursor(data))


def test_it_works_on_uvloop_many_at_once():
    async def many():
        async with Cluster().serving() as address:
            return await asyncio.gather(*(measure("kafka", address, 20.0, **GROUP) for _ in range(20)))

    assert [found.message for found in uvloop.run(many())] == [""] * 20


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"group": "g"}, "in a topic: name it"),
        ({**TOPIC, "lag_max": 1}, "of a group: name it"),
        ({"username": "a"}, "the password can be read on its way"),
        ({"mechanism": "GSSAPI"}, "PLAIN"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        KafkaParams(address="h:9092", **parameters)
