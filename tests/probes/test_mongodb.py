"""The kind `mongodb`, against a listener that MongoDB's own driver accepts as a member."""

import asyncio
import ssl
import struct
import sys
from datetime import timedelta

import bson
import pymongo
import pytest
import trustme
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from probes import mongodb_wire
from probes.model import Failure
from tests.probes.mongodb_servers import NOW, PASSWORD, USER, Member, found, hello, member, message, read, refused
from tests.probes.tcp_servers import SLACK_S, measure, refusing_port, saying, serve, silent


def uri(port, options="?authSource=admin", password=PASSWORD):
    return f"mongodb://{USER}:{password}@127.0.0.1:{port}/app{options}"


async def result_of(server, timeout_s=5.0, options="?authSource=admin", password=PASSWORD, **parameters):
    async with serve(server) as port:
        result = await run_once(prepare("mongodb", uri(port, options, password), parameters, timeout_s), "test")
    assert password not in result.message
    assert result.duration_s < timeout_s + SLACK_S
    return result


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_the_listener_is_a_member_to_mongodb_s_own_driver(mechanism):
    server = Member(mechanism=mechanism)
    async with serve(server) as port:
        client = pymongo.AsyncMongoClient(
            "127.0.0.1",
            port,
            username=USER,
            password=PASSWORD,
            authMechanism=mechanism,
            directConnection=True,
            tz_aware=True,
        )
        async with client:
            assert (await client.admin.command("hello"))["setName"] == "rs0"
            newest = await client.app.citizens.find_one({}, {"synced_at": 1, "_id": 0}, sort=[("synced_at", -1)])
            assert newest == {"synced_at": NOW - timedelta(seconds=100)}
            async with await client.admin.aggregate([{"$currentOp": {}}]) as cursor:
                assert [row["waiting"] async for row in cursor] == [1]
            with pytest.raises(OperationFailure, match="no such command"):
                await client.admin.command("nonsense")


async def test_the_listener_turns_down_the_driver_with_a_wrong_password():
    async with serve(Member()) as port:
        client = pymongo.AsyncMongoClient("127.0.0.1", port, username=USER, password="wrong", directConnection=True)
        async with client:
            with pytest.raises(OperationFailure, match="Authentication failed"):
                await client.admin.command("ping")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_a_primary_is_up_with_its_phases_and_figures(mechanism):
    server = Member(mechanism=mechanism)
    async with serve(server) as port:
        found_ = await measure("mongodb", uri(port), role="primary", replica_set="rs0")
    assert (found_.failure, found_.message) == (None, "")
    assert {"resolve_s", "connect_s", "hello_s", "login_s", "query_s"} <= set(found_.samples)
    assert "tls_s" not in found_.samples
    expected = {
        "writable": 1,
        "connections": 30,
        "connections_max": 100,
        "connections_ratio": 0.3,
        "lock_queue": 2,
        "locks_waiting": 1,
        "longest_operation_s": 12,
        "longest_transaction_s": 2.5,
        "members": 3,
        "members_unavailable": 1,
        "replicas": 1,
        "replication_lag_s": 4,
        "replication_running": 1,
        "role_changed": 0,
        "size_bytes": 5120,
    }
    assert {name: found_.samples[name] for name in expected} == expected
    assert found_.facts["role"] == "primary"
    assert found_.facts["version"] == "7.0.12"
    assert server.sessions == 1


async def test_every_command_has_a_time_limit_on_the_server_and_none_writes():
    server = Member()
    await result_of(server, timeout_s=2.0, freshness={"collection": "c", "field": "synced_at", "max_age": "5m"})
    asked = [document for document in server.asked if not {"hello", "saslStart", "saslContinue"} & document.keys()]
    assert {next(iter(document)) for document in asked} == {
        "serverStatus",
        "replSetGetStatus",
        "aggregate",
        "dbStats",
        "find",
    }
    assert all(0 < document["maxTimeMS"] <= 1900 for document in asked)
    assert server.of("find")["projection"] == {"synced_at": 1, "_id": 0}
    assert server.of("find")["limit"] == 1


def status(*members):
    return {"set": "rs0", "members": list(members), "ok": 1.0}


@pytest.mark.parametrize(
    ("own", "members", "lag_s", "state"),
    [
        ({}, [member("a", 1, self=True), member("b", 2, 0)], 0, State.UP),
        ({}, [member("a", 1, self=True), member("b", 2, 31), member("c", 2, 1)], 31, State.DOWN),
        ({}, [member("a", 1, self=True), member("b", 2, 0, health=0.0)], None, State.DOWN),  # nobody follows
        ({"secondary": True}, [member("a", 1), member("b", 2, 5, self=True), member("c", 2, 90)], 5, State.UP),
        ({"secondary": True}, [member("a", 1), member("b", 2, 31, self=True)], 31, State.DOWN),
        ({"secondary": True}, [member("a", 8, health=0.0), member("b", 2, self=True)], None, State.DOWN),
        ({"other": True}, [member("a", 1), member("b", 3, self=True)], None, State.DOWN),  # RECOVERING
        ({"secondary": True}, ["nonsense", 5, {"state": "x"}], None, State.DOWN),
    ],
)
async def test_lag_is_a_difference_of_last_writes(own, members, lag_s, state):
    greeting = hello(**({"isWritablePrimary": False, **own} if own else {}))
    server = Member(hello=greeting, replSetGetStatus=status(*members))
    result = await result_of(server, replication={"max_lag": "30s", "replicas": 1, "state": "down"})
    assert (result.state, result.samples.get("replication_lag_s")) == (state, lag_s), result.message


async def test_a_change_of_role_is_an_event_and_the_wrong_role_is_down():
    server = Member()
    async with serve(server) as port:
        job = prepare("mongodb", uri(port), {"role": "primary"}, 5.0)
        from monitor.runner import measure as run
        from probes.model import Resources

        resources = Resources()
        try:
            first = await run(job, resources, "test")
            server.answers["hello"] = hello(isWritablePrimary=False, secondary=True)
            second = await run(job, resources, "test")
        finally:
            await resources.aclose()
    assert (first.state, first.samples["role_changed"]) == (State.UP, 0)
    assert (second.state, second.failure, second.samples["role_changed"]) == (State.DOWN, Failure.CONDITION, 1)
    assert second.message == "the server is a replica, and was a primary in the run before; expected is a primary"
    assert second.samples["writable"] == 0


async def test_another_replica_set_is_down():
    result = await result_of(Member(), replica_set="rs1")
    assert result.message == "the server is in the replica set rs0; expected is rs1"


@pytest.mark.parametrize(
    ("value", "age_s"),
    [
        (NOW - timedelta(seconds=100), 100),
        (Timestamp(int(NOW.timestamp()) - 100, 1), 100),
        (ObjectId.from_datetime(NOW - timedelta(seconds=100)), 100),
        (NOW + timedelta(seconds=5), -5),
    ],
)
async def test_the_age_of_the_newest_document_is_by_the_server_s_clock(value, age_s):
    server = Member(find=found({"meta": {"at": value}}))
    rule = {"collection": "c", "field": "meta.at", "max_age": "90s"}
    result = await result_of(server, freshness=rule)
    assert result.samples["freshness_s"] == age_s
    assert result.failure is (Failure.STALE if age_s > 90 else None)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (found(), Failure.STALE),
        (found({}), Failure.STALE),
        (found({"at": "soon"}), Failure.QUERY_FAILED),
        (found({"at": 5}), Failure.QUERY_FAILED),
        ({"ok": 1.0}, Failure.STALE),
        (refused(), Failure.QUERY_FAILED),
        (refused(50, "MaxTimeMSExpired", "operation exceeded time limit"), Failure.TIMEOUT),
    ],
)
async def test_a_newest_document_that_is_none(answer, failure):
    result = await result_of(Member(find=answer), freshness={"collection": "c", "field": "at", "max_age": "90s"})
    assert (result.state, result.failure) == (State.DOWN, failure)


@pytest.mark.parametrize(
    ("field", "here", "there", "gap", "failure"),
    [
        (None, {"n": 900, "ok": 1.0}, {"n": 1000, "ok": 1.0}, 100, None),
        (None, {"n": 899, "ok": 1.0}, {"n": 1000, "ok": 1.0}, 101, Failure.STALE),
        (None, {"n": 1101, "ok": 1.0}, {"n": 1000, "ok": 1.0}, -101, Failure.STALE),
        ("id", found({"id": 5}), found({"id": 7}), 2, None),
        ("at", found({"at": NOW}), found({"at": NOW + timedelta(seconds=101)}), 101, Failure.STALE),
        ("id", found(), found({"id": 7}), None, Failure.STALE),
        ("id", found(), found(), None, None),
        ("id", found({"id": "x"}), found({"id": 7}), None, Failure.QUERY_FAILED),
    ],
)
async def test_two_databases_in_step(field, here, there, gap, failure):
    command = "count" if field is None else "find"
    other = Member(**{command: there})
    async with serve(other) as port:
        rule = {"uri": uri(port), "collection": "c", "max_gap": 100, **({"field": field} if field else {})}
        result = await result_of(Member(**{command: here}), in_step=rule)
    assert (result.failure, result.samples.get("gap")) == (failure, gap)
    assert other.sessions <= 1


async def test_the_other_database_s_trouble_names_it():
    port = refusing_port()
    result = await result_of(Member(), in_step={"uri": uri(port), "collection": "c", "max_gap": 1})
    assert result.failure is Failure.CONNECT_REFUSED
    assert result.message.startswith(f"the other one (127.0.0.1:{port}) cannot be asked: ")


async def test_what_the_login_may_not_see_is_absent_and_named():
    server = Member(**dict.fromkeys(("serverStatus", "replSetGetStatus", "aggregate"), refused()))
    async with serve(server) as port:
        seen = await measure("mongodb", uri(port))
    assert seen.failure is None
    assert seen.facts["unseen"] == "serverStatus, replSetGetStatus, $currentOp"
    assert not {"connections", "replication_lag_s", "locks_waiting"} & seen.samples.keys()


async def test_without_its_figures_nothing_but_the_greeting_is_asked():
    server = Member()
    result = await result_of(server, details=False)
    assert result.state is State.UP
    assert {next(iter(document)) for document in server.asked} == {"hello", "saslStart", "saslContinue"}


async def test_a_kept_session_logs_in_once_and_is_replaced_when_it_is_gone():
    from monitor.runner import measure as run
    from probes.model import Resources

    server = Member()
    async with serve(server) as port:
        job = prepare("mongodb", uri(port), {"session": "keep"}, 5.0)
        resources = Resources()
        try:
            results = [await run(job, resources, "test") for _ in range(3)]
        finally:
            await resources.aclose()
    assert [result.state for result in results] == [State.UP] * 3
    assert server.sessions == 1
    assert ["login_s" in result.samples for result in results] == [True, False, False]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_a_wrong_password_is_turned_down(mechanism):
    result = await result_of(Member(mechanism=mechanism), password="hunter2-rat-dai")
    assert (result.state, result.failure) == (State.DOWN, Failure.AUTH_REJECTED)
    assert result.message == "18 AuthenticationFailed: Authentication failed."


async def test_a_server_that_makes_the_password_cheap_to_guess_is_not_answered():
    server = Member()
    server.iterations = 4095
    result = await result_of(server)
    assert (result.failure, result.message) == (
        Failure.PROTOCOL,
        "the server asks for 4095 SCRAM iterations (at least 4096)",
    )


async def test_tls_is_verified_and_timed(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serve(Member(), tls=context) as port:
        good = uri(port, f"?authSource=admin&tls=true&tlsCAFile={tmp_path}/ca.pem")
        up = await run_once(prepare("mongodb", good, {}, 5.0), "test")
        bad = await run_once(prepare("mongodb", uri(port, "?authSource=admin&tls=true"), {}, 5.0), "test")
    assert up.state is State.UP, up.message
    assert {"tls_s", "cert_expires_s"} <= set(up.samples)
    assert bad.failure is Failure.TLS_UNTRUSTED


def answering(said):
    async def handler(reader, writer):
        number, _, _ = await read(reader)
        writer.write(said(number))
        await silent(reader, writer)

    return handler


def deep(levels):
    document = b"\x05\0\0\0\0"
    for _ in range(levels):
        body = b"\x03a\0" + document + b"\0"
        document = struct.pack("<i", len(body) + 4) + body
    return document


def raw(number, body, flags=0, kind=0):
    return struct.pack("<iiii", 21 + len(body), 7, number, 2013) + struct.pack("<IB", flags, kind) + body


GOOD = bson.encode({"ok": 1.0})


@pytest.mark.parametrize(
    ("said", "failure", "reason"),
    [
        (lambda n: b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.PROTOCOL, "this is not MongoDB"),
        (lambda n: b"\0" * 64, Failure.PROTOCOL, "this is not MongoDB"),
        (lambda n: struct.pack("<iiii", -1, 1, n, 2013), Failure.PROTOCOL, "this is not MongoDB"),
        (lambda n: struct.pack("<iiii", 0x7FFFFFFF, 1, n, 2013), Failure.BODY_TOO_LARGE, "sends 2147483647 bytes"),
        (lambda n: raw(n, GOOD, flags=2), Failure.PROTOCOL, "flags that nobody asked for"),
        (lambda n: raw(n, GOOD, flags=0x80), Failure.PROTOCOL, "flags that nobody asked for"),
        (lambda n: raw(n, GOOD, kind=1), Failure.PROTOCOL, "does not begin with a document"),
        (lambda n: raw(n + 1, GOOD), Failure.PROTOCOL, "the server answers 2 where 1 was asked"),
        (lambda n: raw(n, b"\xff\xff\xff\x7f\0\0"), Failure.PROTOCOL, "is not BSON"),
        (lambda n: raw(n, GOOD[:-1] + b"\1"), Failure.PROTOCOL, "is not BSON"),
        (lambda n: raw(n, deep(5000)), Failure.PROTOCOL, "is not BSON"),
        (lambda n: message({"ok": 0.0, "errmsg": "x\r\n" * 5000, "code": "?"}, n), Failure.QUERY_FAILED, "x"),
        (lambda n: message({}, n), Failure.QUERY_FAILED, "no message"),
        (lambda n: message({"ok": 0, "code": 18, "errmsg": f"{PASSWORD}!"}, n), Failure.QUERY_FAILED, "***!"),
    ],
)
async def test_what_comes_instead_of_an_answer(said, failure, reason):
    result = await result_of(answering(said))
    assert (result.state, result.failure) == (State.DOWN, failure), result.message
    assert reason in result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300


async def test_an_endless_server_is_cut_off():
    async def handler(_reader, writer):
        while True:
            writer.write(b"\xff" * 65536)
            await writer.drain()

    assert (await result_of(handler)).failure is Failure.PROTOCOL


async def test_answers_one_octet_at_a_time():
    async def handler(reader, writer):
        number, _, _ = await read(reader)
        for octet in message(hello(), number):
            writer.write(bytes((octet,)))
            await writer.drain()
        while True:
            number, _, _ = await read(reader)
            writer.write(message(hello(), number))

    async with serve(handler) as port:
        found_ = await measure("mongodb", f"mongodb://127.0.0.1:{port}", details=False)
    assert found_.failure is None


async def test_refused_and_hung_up():
    refused_ = await run_once(prepare("mongodb", uri(refusing_port()), {}, 3.0), "test")
    assert refused_.failure is Failure.CONNECT_REFUSED
    closed = await result_of(saying(b"", then_close=True))
    assert (closed.failure, closed.message) == (
        Failure.CONNECTION_CLOSED,
        "the server closed the connection in hello",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mongodb+srv://u:s3cret@h/", "begins with mongodb://"),
        ("mongodb://u:s3cret@a,b/", "a check for each"),
        ("mongodb://u:s3cret@a/?tlss=true", "did you mean 'tls'?"),
        ("mongodb://u:s3cret@a/?tls=maybe", "tls is one of true, false"),
        ("mongodb://:s3cret@a/", "names its user"),
        ("mongodb://u:s3cret@a:99999/", "host is not"),
    ],
)
def test_a_wrong_connection_string_is_explained_without_its_secret(text, reason):
    with pytest.raises(WrongUseError) as told:
        prepare("mongodb", text, {})
    assert reason in str(told.value)
    assert "s3cret" not in str(told.value)


def test_the_password_is_not_shown():
    job = prepare("mongodb", "mongodb://u:s3cret@a/db?tls=true", {})
    assert job.id == "mongodb:mongodb://u:***@a:27017/db?tls=true"
    assert "s3cret" not in repr(job.params)


async def test_a_check_that_is_cut_off_leaves_nothing_behind():
    before = len(asyncio.all_tasks())
    await result_of(silent, timeout_s=0.3)
    assert len(asyncio.all_tasks()) == before


async def test_without_its_library_the_check_is_unknown_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bson", None)
    mongodb_wire.bson.cache_clear()
    result = await result_of(silent)
    assert (result.state, result.failure) == (State.UNKNOWN, Failure.INTERNAL)
    assert result.message == "the probe kind mongodb needs pymongo: pip install thongsuot[mongodb]"
