"""The kind `sqlserver`, against a listener that Microsoft's own ODBC driver logs in to and reads from."""

import asyncio
import ssl
import struct
from datetime import UTC, timedelta
from functools import partial

import pytest
import trustme

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from monitor.runner import measure
from probes.model import Failure, Resources
from tests.probes.tcp_servers import SLACK_S, refusing_port, saying, serve, silent
from tests.probes.tcp_servers import measure as measure_facts
from tests.probes.tds_servers import (
    BIGINT,
    BIT,
    DATE,
    DATETIME,
    DATETIME2,
    FLOAT,
    INT,
    NOW,
    NVARCHAR,
    NVARCHAR_MAX,
    OFFSET,
    PASSWORD,
    USER,
    UTC_NOW,
    ZONE_MINUTES,
    Server,
    answer,
    columns,
    datetime2,
    done,
    environment,
    error,
    identity,
    login_ack,
    number,
    numbers,
    offset,
    packet,
    replicas,
    row,
    text,
    words,
)


def dsn(port, options="?encrypt=no", password=PASSWORD):
    return f"sqlserver://{USER}:{password}@127.0.0.1:{port}/app{options}"


async def result_of(server, timeout_s=5.0, options="?encrypt=no", password=PASSWORD, **parameters):
    async with serve(server) as port:
        result = await run_once(prepare("sqlserver", dsn(port, options, password), parameters, timeout_s), "test")
    assert password not in result.message
    assert result.duration_s < timeout_s + SLACK_S
    return result


def tls_server(tmp_path, name="127.0.0.1"):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return context


@pytest.mark.parametrize("encrypt", ["no", "yes"])
async def test_the_listener_is_a_sql_server_to_microsoft_s_own_driver(encrypt, tmp_path):
    server = Server(tls=tls_server(tmp_path) if encrypt == "yes" else None)

    def ask(port):
        import mssql_python

        where = f"Server=127.0.0.1,{port};Database=app;UID={USER};PWD={PASSWORD};"
        options = f"Encrypt={encrypt};TrustServerCertificate=yes;"
        connection = mssql_python.connect(where + options, timeout=5, autocommit=True)
        try:
            cursor = connection.cursor()
            found = []
            for sql in ("SELECT 1", "SERVERPROPERTY", "dm_exec_sessions", "backupset"):
                cursor.execute(sql)
                found.append(tuple(cursor.fetchall()[0]))
            return found
        finally:
            connection.close()

    async with serve(server) as port:
        one, names, activity, backups = await asyncio.wait_for(asyncio.to_thread(partial(ask, port)), 20)
    assert (one, activity, backups) == ((1,), (30, 100, 2, 1500, 60), (3600, None))
    assert names[:3] == ("16.0.4135.4", "READ_WRITE", "ONLINE")
    assert names[3] == UTC_NOW
    assert server.login["password"] == PASSWORD


async def test_a_database_is_up_with_its_phases_and_figures():
    server = Server()
    async with serve(server) as port:
        found = await measure_facts("sqlserver", dsn(port))
    assert (found.failure, found.message) == (None, "")
    assert {"resolve_s", "connect_s", "prelogin_s", "login_s", "query_s", "details_s"} <= set(found.samples)
    assert "tls_s" not in found.samples
    expected = {
        "rows": 1,
        "connections": 30,
        "connections_max": 100,
        "connections_ratio": 0.3,
        "locks_waiting": 2,
        "longest_lock_wait_s": 1.5,
        "longest_transaction_s": 60,
        "size_bytes": 5120,
        "backup_age_s": 3600,
        "read_only": 0,
        "role_changed": 0,
    }
    assert {name: found.samples[name] for name in expected} == expected
    assert "log_backup_age_s" not in found.samples
    assert [found.facts[name] for name in ("role", "version", "value", "unseen")] == ["primary", "16.0.4135.4", 1, ""]
    assert (server.login["database"], server.login["application"], server.sessions) == ("app", "thongsuot", 1)


async def test_nothing_stays_and_no_lock_is_waited_for_longer_than_the_time_left():
    server = Server()
    await result_of(server, timeout_s=2.0)
    assert "SET IMPLICIT_TRANSACTIONS ON" in server.asked[0]
    limit_ms = int(server.asked[0].partition("LOCK_TIMEOUT ")[2].partition(";")[0])
    assert 0 < limit_ms <= 1900
    assert "ROWCOUNT 1001" in server.asked[0]


async def test_tls_inside_of_prelogin_is_verified_and_timed(tmp_path):
    context = tls_server(tmp_path)
    up = await result_of(Server(tls=context), options=f"?caFile={tmp_path}/ca.pem")
    assert up.state is State.UP, up.message
    assert {"prelogin_s", "tls_s", "cert_expires_s"} <= set(up.samples)
    bad = await result_of(Server(tls=context), options="")
    assert bad.failure is Failure.TLS_UNTRUSTED
    any_ = await result_of(Server(tls=context), options="?trustServerCertificate=yes")
    assert any_.state is State.UP
    name = await result_of(Server(tls=context), options=f"?caFile={tmp_path}/ca.pem&hostNameInCertificate=db.vn")
    assert name.failure is Failure.TLS_NAME


async def test_tds_8_speaks_tls_before_anything_else(tmp_path):
    context = tls_server(tmp_path)
    context.set_alpn_protocols(["tds/8.0"])
    server = Server()
    async with serve(server, tls=context) as port:
        where = dsn(port, f"?encrypt=strict&caFile={tmp_path}/ca.pem")
        result = await run_once(prepare("sqlserver", where, {}, 5.0), "test")
    assert result.state is State.UP, result.message
    assert "tls_s" in result.samples


@pytest.mark.parametrize(("encrypt", "answered"), [("yes", 2), ("yes", 0), ("no", 3)])
async def test_encryption_that_does_not_come_about(encrypt, answered):
    result = await result_of(Server(encryption=answered), options=f"?encrypt={encrypt}")
    assert result.failure is Failure.TLS_REQUIRED


@pytest.mark.parametrize(
    ("said", "failure", "message"),
    [
        (error(18456, "Login failed for user 'u'.", 14), Failure.AUTH_REJECTED, "18456: Login failed for user 'u'."),
        (error(18486, "locked out", 14), Failure.AUTH_REJECTED, "18486: locked out"),
        (error(4060, "Cannot open database", 11), Failure.QUERY_FAILED, "4060: Cannot open database"),
        (error(40613, f"busy {PASSWORD}"), Failure.QUERY_FAILED, "40613: busy ***"),
        (b"", Failure.PROTOCOL, "neither lets us in nor says why not"),
        (
            login_ack() + environment(20, struct.pack("<HBH", 9, 0, 1433) + text("other", 2)),
            Failure.QUERY_FAILED,
            "to other:1433",
        ),
    ],
)
async def test_what_comes_instead_of_a_login(said, failure, message):
    async def handler(reader, writer):
        await reader.read(4096)
        writer.write(packet(4, b"\x01\x00\x06\x00\x01\xff\x02"))
        await reader.read(4096)
        writer.write(answer(said, done(2)))
        await silent(reader, writer)

    result = await result_of(handler)
    assert (result.state, result.failure) == (State.DOWN, failure), result.message
    assert message in result.message


async def test_a_wrong_password_is_turned_down():
    result = await result_of(Server(), password="hunter2-rat-dai")
    assert (result.failure, result.message) == (Failure.AUTH_REJECTED, f"18456: Login failed for user '{USER}'.")


MONEY, GUID, DECIMAL = b"\x6e\x08", b"\x24\x10", b"\x6c\x09\x12\x02"


@pytest.mark.parametrize(
    ("type_", "raw", "value"),
    [
        (BIGINT, number(-(1 << 63), 8), -(1 << 63)),
        (b"\x26\x01", b"\x01\xff", 255),
        (INT, number(None), None),
        (FLOAT, b"\x08" + struct.pack("<d", 1.5), 1.5),
        (BIT, b"\x01\x01", True),
        (NVARCHAR, words("Việt Nam"), "Việt Nam"),
        (NVARCHAR, words(None), None),
        (NVARCHAR_MAX, b"\xfe" + b"\xff" * 7 + b"\x02\0\0\0a\0" + b"\x02\0\0\0b\0" + b"\0\0\0\0", "ab"),
        (NVARCHAR_MAX, b"\xff" * 8, None),
        (DECIMAL, b"\x05\x00" + (12345).to_bytes(4, "little"), -123.45),
        (MONEY, b"\x08" + b"\0\0\0\0" + (15000).to_bytes(4, "little"), 1.5),
        (GUID, b"\x10" + bytes(range(16)), "03020100-0504-0706-0809-0a0b0c0d0e0f"),
        (DATE, b"\x03" + (NOW.toordinal() - 1).to_bytes(3, "little"), "2026-11-26"),
        (DATETIME, b"\x08" + struct.pack("<iI", 46350, 9 * 3600 * 300), "2026-11-26 09:00:00"),
        (DATETIME2, datetime2(NOW), "2026-11-26 09:00:00"),
        (b"\x38", struct.pack("<i", 7), 7),
    ],
)
async def test_values_as_conditions_compare_them(type_, raw, value):
    async with serve(Server(**{"SELECT 1": columns(("x", type_)) + row(raw) + done(16, 1)})) as port:
        found = await measure_facts("sqlserver", dsn(port), details=False)
    assert found.facts["row"] == {"x": value}
    assert type(found.facts["value"]) is type(value)


async def test_conditions_look_at_the_first_row_and_nulls_may_be_marked_in_a_bitmap():
    said = columns(("a", INT), ("b", INT)) + b"\xd2\x02" + number(45) + row(number(1), number(2)) + done(16, 2)
    result = await result_of(Server(**{"SELECT 1": said}), down_when=["row.a > 30", "row.b != null"])
    assert (result.failure, result.message) == (Failure.CONDITION, "row.a > 30 (row.a = 45)")
    assert result.samples["rows"] == 2


@pytest.mark.parametrize(
    ("type_", "raw", "age_s"),
    [
        (DATETIME2, datetime2(NOW - timedelta(seconds=100)), 100),
        (OFFSET, offset(NOW - timedelta(seconds=100)), 100),
        (DATETIME, b"\x08" + struct.pack("<iI", 46350, (9 * 3600 - 100) * 300), 100),
        (DATE, b"\x03" + (NOW.toordinal() - 1).to_bytes(3, "little"), 9 * 3600),
        (BIGINT, number(77, 8), 77),
        (FLOAT, b"\0", None),
    ],
)
async def test_the_age_of_the_newest_row_is_by_the_server_s_clock(type_, raw, age_s):
    server = Server(**{"MAX([sy]]nc])": columns(("t", type_)) + row(raw) + done(16, 1)})
    rule = {"table": "dbo.citi zens", "column": "sy]nc", "max_age": "90s"}
    result = await result_of(server, freshness=rule, details=False)
    assert (result.samples.get("freshness_s"), result.failure) == (age_s, None if age_s == 77 else Failure.STALE)
    assert "SELECT MAX([sy]]nc]) FROM [dbo].[citi zens]" in server.asked


@pytest.mark.parametrize(
    ("here", "there", "gap", "failure"),
    [
        (numbers(900), numbers(1000), 100, None),
        (numbers(899), numbers(1000), 101, Failure.STALE),
        (numbers(None), numbers(1000), None, Failure.STALE),
        (columns(("x", NVARCHAR)) + row(words("x")) + done(16, 1), numbers(1), None, Failure.QUERY_FAILED),
        (
            columns(("x", DATETIME2)) + row(datetime2(NOW)) + done(16, 1),
            columns(("x", DATETIME2)) + row(datetime2(NOW + timedelta(seconds=5))) + done(16, 1),
            5,
            None,
        ),
    ],
)
async def test_two_databases_in_step(here, there, gap, failure):
    async with serve(Server(COUNT_BIG=there)) as port:
        rule = {"dsn": dsn(port), "table": "c", "max_gap": 100}
        result = await result_of(Server(COUNT_BIG=here), in_step=rule, details=False)
    assert (result.failure, result.samples.get("gap")) == (failure, gap), result.message


# is_primary, is_local, is_suspended, state, send queue (KB), redo queue (KB), lag (s)
PRIMARY = (1, 1, 0, 2, None, None, None)


@pytest.mark.parametrize(
    ("rows", "role", "state", "samples"),
    [
        ([PRIMARY, (0, 0, 0, 2, 1, 2, 0)], "primary", State.UP, {"replication_lag_s": 0, "redo_queue_bytes": 2048}),
        ([PRIMARY, (0, 0, 0, 1, 5, 2, 31)], "primary", State.DOWN, {"replication_lag_s": 31, "send_queue_bytes": 5120}),
        ([PRIMARY, (0, 0, 1, 0, None, None, None)], "primary", State.DOWN, {"replication_running": 0}),
        ([PRIMARY], "primary", State.DOWN, {"replicas": 0}),
        ([(0, 1, 0, 1, 0, 0, 5)], "replica", State.UP, {"replication_lag_s": 5}),
        ([(0, 1, 0, None, None, None, None)], "replica", State.DOWN, {"replication_running": 0}),
        ([(0, 1, 0, 1, 0, 0, None)], "replica", State.DOWN, {"replication_running": 1}),
    ],
)
async def test_availability_groups(rows, role, state, samples):
    server = Server(dm_hadr=replicas(*rows))
    result = await result_of(server, role=role, replication={"max_lag": "30s", "replicas": 1, "state": "down"})
    assert result.state is state, result.message
    assert {name: result.samples[name] for name in samples} == samples


async def test_a_change_of_role_is_an_event():
    server, resources = Server(), Resources()
    async with serve(server) as port:
        job = prepare("sqlserver", dsn(port), {"role": "primary", "session": "keep"}, 5.0)
        try:
            first = await measure(job, resources, "test")
            server.answers["SERVERPROPERTY"] = identity("READ_ONLY")
            second = await measure(job, resources, "test")
        finally:
            await resources.aclose()
    assert (first.state, second.state, server.sessions) == (State.UP, State.DOWN, 1)
    assert second.samples["role_changed"] == second.samples["read_only"] == 1
    assert "login_s" not in second.samples
    assert any("ROLLBACK" in sql for sql in server.asked)


async def test_what_the_login_may_not_see_is_absent_and_named():
    hidden = error(300, "VIEW SERVER STATE permission was denied", 14) + done(2)
    server = Server(dm_hadr=hidden, dm_exec_sessions=hidden, backupset=error(229, "denied", 14) + done(2))
    async with serve(server) as port:
        found = await measure_facts("sqlserver", dsn(port))
    assert found.failure is None
    assert found.facts["unseen"] == (
        "replication (300; needs VIEW SERVER STATE), activity (300; needs VIEW SERVER STATE), "
        "backups (229; needs SELECT on msdb.dbo.backupset)"
    )
    assert "size_bytes" in found.samples
    assert "connections" not in found.samples


ONE = columns(("a", INT))


@pytest.mark.parametrize(
    ("said", "failure", "reason"),
    [
        (error(208, "Invalid object name 'x'."), Failure.QUERY_FAILED, "208: Invalid object name 'x'."),
        (error(1222, "Lock request time out"), Failure.TIMEOUT, "1222: Lock request"),
        (error(50000, "x\r\n\x1b" * 4000), Failure.QUERY_FAILED, "50000: x"),
        (ONE + row(number(1)) * 1001, Failure.BODY_TOO_LARGE, "more than 1000 rows"),
        (row(number(1)), Failure.PROTOCOL, "a row without columns"),
        (b"\x81\xfe\xff", Failure.PROTOCOL, "65534 columns"),
        (b"\x81\x01\x00", Failure.PROTOCOL, "breaks off"),
        (columns(("a", b"\xf1\x00")), Failure.QUERY_FAILED, "type that is not looked at (0xf1)"),
        (ONE + b"\xd1\x09abc", Failure.PROTOCOL, "breaks off"),
        (columns(("a", DATE)) + b"\xd1\x03\xff\xff\xff", Failure.PROTOCOL, "not what its type promises"),
        (columns(("a", OFFSET)) + b"\xd1\x0a" + b"\xff" * 10, Failure.PROTOCOL, "not what its type promises"),
        (columns(("a", INT)) + b"\xd1\x08" + b"\xff" * 8, None, ""),
        (columns(("a", GUID)) + b"\xd1\x03abc", Failure.PROTOCOL, "not what its type promises"),
        (
            columns(("a", NVARCHAR_MAX)) + b"\xd1\xfe" + b"\xff" * 7 + b"\xff\xff\xff\x7f",
            Failure.PROTOCOL,
            "breaks off",
        ),
        (b"\x00", Failure.PROTOCOL, "a token 0x00"),
        (b"\xae" + b"\x01\xff\xff\xff\xff", Failure.PROTOCOL, "breaks off"),
        (b"\xab\x01\x00x" * 400_000, Failure.BODY_TOO_LARGE, "more than is taken"),
    ],
)
async def test_what_comes_instead_of_rows(said, failure, reason):
    result = await result_of(Server(**{"SELECT 1": said}), details=False)
    assert result.failure is failure, result.message
    assert reason in result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.PROTOCOL),
        (b"\x04\x01\x00\x00\0\0\0\0", Failure.PROTOCOL),
        (packet(4, b"\xff"), Failure.PROTOCOL),
        (packet(4, b"\x01\xff\xff\xff\xff\xff"), Failure.PROTOCOL),
        (packet(4, b"\x00\x00\x00\x00\x00" * 20), Failure.PROTOCOL),
        (packet(4, b""), Failure.PROTOCOL),
        (packet(4, b"x" * 60_000, status=0) * 3, Failure.BODY_TOO_LARGE),
        (b"", Failure.CONNECTION_CLOSED),
    ],
)
async def test_what_comes_instead_of_prelogin(said, failure):
    result = await result_of(saying(said, then_close=True))
    assert (result.state, result.failure) == (State.DOWN, failure), result.message


async def test_garbage_instead_of_a_handshake():
    async def handler(reader, writer):
        await reader.read(4096)
        writer.write(packet(4, b"\x01\x00\x06\x00\x01\xff\x01"))
        await reader.read(4096)
        writer.write(packet(18, b"this is not TLS at all"))
        await silent(reader, writer)

    assert (await result_of(handler, options="")).failure is Failure.TLS_HANDSHAKE


async def test_a_statement_that_is_cut_off_is_told_to_stop():
    server = Server(**{"SELECT 1": b""})
    async with serve(server) as port:
        result = await run_once(prepare("sqlserver", dsn(port), {}, 0.4), "test")
        async with asyncio.timeout(5):
            while not server.attentions:
                await asyncio.sleep(0.005)
    assert result.failure is Failure.TIMEOUT


async def test_nobody_listens():
    result = await run_once(prepare("sqlserver", dsn(refusing_port()), {}, 3.0), "test")
    assert result.failure is Failure.CONNECT_REFUSED


@pytest.mark.parametrize(
    "text_",
    ["sqlserver://h", "sqlserver://u:s3cret@h/?encrypt=maybe", "mssql://u:s3cret@h", "sqlserver://u:s3cret@h:x"],
)
def test_a_wrong_dsn_is_explained_without_its_secret(text_):
    with pytest.raises(WrongUseError) as told:
        prepare("sqlserver", text_, {})
    assert "s3cret" not in str(told.value)


def test_the_zone_of_the_listener_is_what_the_tests_say():
    assert (NOW - timedelta(minutes=ZONE_MINUTES)).replace(tzinfo=UTC) == UTC_NOW
