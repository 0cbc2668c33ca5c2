"""The kind `oracle`: the real driver against a listener up to the login, and a stand-in for its connection after it."""

import asyncio
import ssl
import sys
from contextlib import nullcontext
from decimal import Decimal

import oracledb
import pytest
import trustme

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from probes.database_findings import Findings
from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.kinds import oracle
from probes.model import Context, Failure, Resources
from probes.oracle_figures import lag_s
from probes.oracle_guard import Frames
from probes.oracle_session import CODES, Session, trouble_of
from tests.probes.http_servers import linger
from tests.probes.oracle_servers import Connection, Listener, read_connect, refusal
from tests.probes.tcp_servers import SLACK_S, refusing_port, saying, serve, silent

SECRET = "hunter2-rat-dai"


def dsn(port, options="", path="/dancu", host="127.0.0.1"):
    return f"oracle://thongsuot:{SECRET}@{host}:{port}{path}{options}"


async def result_of(handler, timeout_s=5.0, options="", path="/dancu", tls=None, **parameters):
    async with serve(handler, tls=tls) as port:
        result = await run_once(prepare("oracle", dsn(port, options, path), parameters, timeout_s), "test")
    assert SECRET not in result.message
    assert result.duration_s < timeout_s + SLACK_S
    return result


@pytest.mark.parametrize(
    ("code", "path", "options", "message"),
    [
        (12514, "/dancu", "", 'DPY-6001: Service "dancu" is not registered'),
        (12505, "", "?sid=DANCU", 'DPY-6003: SID "DANCU" is not registered'),
        (12528, "/dancu", "", "DPY-6000: Listener refused connection"),
    ],
)
async def test_a_listener_that_refuses_is_reached_but_does_not_serve(code, path, options, message):
    listener = Listener(code)
    result = await result_of(listener, path=path, options=options)
    assert (result.state, result.failure) == (State.DOWN, Failure.QUERY_FAILED)
    assert result.message.startswith(message)
    assert {"resolve_s", "login_s"} <= set(result.samples)
    (asked,) = listener.asked
    assert (b"SID=DANCU" if options else b"SERVICE_NAME=dancu") in asked


async def test_the_listener_learns_neither_our_host_nor_our_paths():
    listener = Listener(12514)
    await result_of(listener)
    assert b"(PROGRAM=thongsuot)(HOST=thongsuot)(USER=thongsuot)" in listener.asked[0]


async def closing(reader, _writer):
    await read_connect(reader)


async def resetting(reader, writer):
    await read_connect(reader)
    linger(writer)
    writer.transport.abort()


@pytest.mark.parametrize("handler", [closing, resetting, saying(b"", then_close=True)])
async def test_a_listener_that_hangs_up(handler):
    result = await result_of(handler)
    assert result.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET), result.message


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100, Failure.PROTOCOL),
        (b"\0\x08\0\0\x63\0\0\0", Failure.PROTOCOL),
        (b"\xff\xff\0\0\x04\0\0\0", Failure.TIMEOUT),
        (refusal(12514)[:30], Failure.TIMEOUT),
        (b"\0\0\0\0\0\0\0\0" * 1000, Failure.PROTOCOL),  # without the guard: endless, until memory is gone
        (b"\0\x07\0\0\x04\0\0\0", Failure.PROTOCOL),
        (b"\0\x0a\0\0\x05\0\0\0\0\0", Failure.QUERY_FAILED),
    ],
)
async def test_what_is_not_a_listener(said, failure):
    result = await result_of(saying(said), timeout_s=0.5)
    assert (result.state, result.failure) == (State.DOWN, failure), result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300


def test_only_sound_frames_reach_the_driver():
    frames = Frames()
    accept = b"\0\x0a\0\0\x02\0\0\0\x01\x3f"  # of protocol 319: lengths have four octets from here on
    assert frames.feed(accept[:5]) == b""
    assert frames.feed(accept[5:] + b"\0\0\0\x09\x06\0\0\0x") == accept + b"\0\0\0\x09\x06\0\0\0x"
    with pytest.raises(TroubleError, match="this is not Oracle"):
        frames.feed(b"\0\x01\0\x01\x06\0\0\0")
    with pytest.raises(TroubleError, match="more than 4194304 bytes"):
        Frames().feed(b"\0" * (4 * 1024 * 1024 + 1))
    resend = Frames()
    assert resend.feed(b"\0\x08\0\0\x0b\x08\0\0") == b"\0\x08\0\0\x0b\0\0\0"
    assert resend.wants_tls_anew


async def test_nobody_listens():
    result = await run_once(prepare("oracle", dsn(refusing_port()), {}, 3.0), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.CONNECT_REFUSED)


async def test_a_name_that_is_none_is_the_resolver_s_to_find():
    result = await run_once(prepare("oracle", dsn(1521, host="db.invalid"), {}, 3.0), "test")
    assert result.failure.layer.value == "name"


async def test_tls_is_verified_by_our_own_context(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    bad = await result_of(Listener(12514), options="?tls=yes", tls=context)
    assert bad.failure is Failure.TLS_UNTRUSTED, bad.message
    good = await result_of(Listener(12514), options=f"?tls=yes&caFile={tmp_path}/ca.pem", tls=context)
    assert good.message.startswith("DPY-6001"), good.message
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("db.example.vn").configure_cert(other)
    name = await result_of(Listener(12514), options=f"?tls=yes&caFile={tmp_path}/ca.pem", tls=other)
    assert name.failure is Failure.TLS_NAME, name.message


async def test_a_check_that_is_cut_off_leaves_nothing_behind():
    gone = asyncio.Event()

    async def handler(reader, _writer):
        while await reader.read(65536):
            pass
        gone.set()

    before = len(asyncio.all_tasks())
    async with serve(handler) as port:
        result = await run_once(prepare("oracle", dsn(port), {}, 0.3), "test")
        async with asyncio.timeout(5):
            await gone.wait()
    assert result.failure is Failure.TIMEOUT
    assert len(asyncio.all_tasks()) == before


async def found_by(connection, timeout_s=5.0, **parameters):
    """Measure over a stand-in for the driver's connection."""
    params = oracle.OracleParams(dsn=dsn(1521), **parameters)
    resources, findings = Resources(), Findings()
    ctx = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources)
    trouble = None
    try:
        await oracle.measure(params, Session(connection, params.dsn, ctx), ctx, findings)
    except NETWORK_ERRORS as error:
        trouble = classify(error, ctx.phases.current)
    await resources.aclose()
    return findings.measurement(ctx, trouble)


async def test_a_primary_and_its_figures():
    connection = Connection()
    found = await found_by(connection, timeout_s=2.0, role="primary")
    assert (found.failure, found.message) == (None, "")
    expected = {
        "rows": 1,
        "read_only": 0,
        "connections": 30,
        "connections_max": 100,
        "connections_ratio": 0.3,
        "locks_waiting": 2,
        "longest_lock_wait_s": 15,
        "longest_transaction_s": 60.5,
        "size_bytes": 5120,
        "backup_age_s": 3600,
    }
    assert {name: found.samples[name] for name in expected} == expected
    assert "replication_lag_s" not in found.samples
    assert connection.asked[0] == "SET TRANSACTION READ ONLY"
    assert all(0 < limit_ms <= 1900 for limit_ms in connection.limits)


@pytest.mark.parametrize(
    ("rows", "failure", "lag"),
    [
        ([("apply lag", "+00 00:00:05"), ("transport lag", "+00 00:00:01.5")], None, 5),
        ([("apply lag", "+01 00:00:00"), ("transport lag", None)], Failure.STALE, 86400),
        ([("apply lag", None)], Failure.STALE, None),
        ([], Failure.STALE, None),
        ([("apply lag", "soon"), ("x",)], Failure.STALE, None),
    ],
)
async def test_the_apply_lag_of_a_standby(rows, failure, lag):
    connection = Connection(DATABASE_ROLE=[("PHYSICAL STANDBY",)], **{"v$dataguard_stats": rows})
    found = await found_by(connection, role="replica", replication={"max_lag": "30s"})
    assert (found.failure, found.samples.get("replication_lag_s")) == (failure, lag)


@pytest.mark.parametrize(
    ("text", "seconds"), [("+00 01:02:03", 3723.0), ("-00 00:00:01", -1.0), (None, None), ("x", None), (5, None)]
)
def test_an_interval_is_seconds(text, seconds):
    assert lag_s(text) == seconds


def database_error(text):
    return oracledb.DatabaseError(text)


async def test_what_the_login_may_not_see_is_absent_and_named():
    hidden = database_error("ORA-00942: table or view does not exist")
    connection = Connection(**{"v$session": hidden, "v$rman": database_error("ORA-01031: insufficient privileges")})
    found = await found_by(connection)
    assert found.failure is None
    assert found.facts["unseen"] == "locks (ORA-00942), backups (ORA-01031)"
    assert "connections" in found.samples


async def test_freshness_and_steps_are_one_number_each():
    rule = {"table": "APP.CITIZENS", "column": "SYNCED_AT", "max_age": "90s"}
    connection = Connection(CITIZENS=[(Decimal("100.5"),)])
    found = await found_by(connection, freshness=rule, details=False)
    assert (found.failure, found.samples["freshness_s"]) == (Failure.STALE, 100.5)
    assert 'FROM "APP"."CITIZENS"' in connection.asked[-1]
    assert 'MAX("SYNCED_AT")' in connection.asked[-1]
    empty = await found_by(Connection(CITIZENS=[(None,)]), freshness=rule, details=False)
    assert empty.failure is Failure.STALE
    text = await found_by(Connection(CITIZENS=[("soon",)]), freshness=rule, details=False)
    assert text.failure is Failure.QUERY_FAILED


async def test_the_other_database_s_trouble_names_it():
    port = refusing_port()
    rule = {"dsn": dsn(port), "table": "T", "max_gap": 1, "state": "degraded"}
    found = await found_by(Connection(**{'"T"': [(5,)]}), in_step=rule, details=False)
    assert (found.failure, found.is_degraded) == (Failure.CONNECT_REFUSED, True)
    assert found.message.startswith(f"the other one (127.0.0.1:{port}) cannot be asked: ")


async def test_more_rows_than_are_taken():
    found = await found_by(Connection(DUAL=[(1,)] * 1001), details=False)
    assert found.failure is Failure.BODY_TOO_LARGE


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("ORA-01017: invalid username/password; logon denied", Failure.AUTH_REJECTED),
        ("ORA-28000: The account is locked.", Failure.AUTH_REJECTED),
        ("ORA-00904: invalid identifier", Failure.QUERY_FAILED),
        ("ORA-01033: ORACLE initialization or shutdown in progress", Failure.QUERY_FAILED),
        ("DPY-4024: call timeout of 900 ms exceeded", Failure.TIMEOUT),
        ("ORA-03113: end-of-file on communication channel", Failure.CONNECTION_CLOSED),
        ("DPY-6005: cannot connect to database.\nDPY-4011: the database closed it", Failure.CONNECTION_CLOSED),
        ("DPY-3010: connections to this database server version are not supported", Failure.PROTOCOL),
        ("DPY-5002: internal error", Failure.PROTOCOL),
        ("something else", Failure.QUERY_FAILED),
        ("ORA-20000: " + "x\r\n" * 4000, Failure.QUERY_FAILED),
        (f"ORA-20000: {SECRET}", Failure.QUERY_FAILED),
    ],
)
def test_an_error_of_the_driver_is_a_failure(text, failure):
    trouble = trouble_of(database_error(text), "query", oracle.OracleParams(dsn=dsn(1521)).dsn)
    assert isinstance(trouble, TroubleError)
    assert trouble.failure is failure
    assert trouble.message.isprintable()
    assert SECRET not in trouble.message


def test_the_driver_raises_nothing_but_what_is_caught():
    raised = [kind for kind in vars(oracledb).values() if isinstance(kind, type) and issubclass(kind, oracledb.Error)]
    assert oracledb.DatabaseError in raised
    assert all(code[:4] in ("ORA-", "DPY-") and len(code) in (8, 9) for code in CODES)


@pytest.mark.parametrize(
    "text",
    ["oracle://u:s3cret@h", "oracle://u:s3cret@h/x?sid=y", "oracle://u:s3cret@h/x?tlss=yes", "ora://u:s3cret@h/x"],
)
def test_a_wrong_dsn_is_explained_without_its_secret(text):
    with pytest.raises(WrongUseError) as told:
        prepare("oracle", text, {})
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("sql", "is_fine"),
    [
        ("select 1 from dual", True),
        ("WITH t AS (SELECT 1 a FROM DUAL) SELECT a FROM t", True),
        ("/* DROP */ -- x\n (SELECT 1 FROM DUAL)", True),
        ("DROP TABLE citizens", False),
        ("truncate table citizens", False),
        ("-- SELECT\nCREATE TABLE t (a INT)", False),
        ("COMMIT", False),
        ("BEGIN EXECUTE IMMEDIATE 'DROP TABLE t'; END;", False),
        ("SELECTED", False),
    ],
)
@pytest.mark.parametrize("place", ["query", "freshness", "in_step"])
def test_what_oracle_would_commit_before_is_not_taken_for_a_query(sql, is_fine, place):
    url = "oracle://u:p@h/x"
    rules = {"freshness": {"query": sql, "max_age": "1m"}, "in_step": {"query": sql, "max_gap": 1, "dsn": url}}
    fate = nullcontext() if is_fine else pytest.raises(WrongUseError, match="begins with SELECT or WITH")
    with fate:
        prepare("oracle", url, {place: rules.get(place, sql)})


async def test_a_session_is_logged_off_and_not_waited_for():
    class Stuck(Connection):
        async def close(self):
            await asyncio.sleep(60)

    params = oracle.OracleParams(dsn=dsn(1521))
    ctx = Context(1.0, asyncio.get_running_loop().time() + 1.0, Resources())
    await asyncio.wait_for(Session(Stuck(), params.dsn, ctx).close(), 5)
    connection = Connection()
    await Session(connection, params.dsn, ctx).close()
    assert connection.closed == 1


async def test_silence_does_not_hold_us():
    assert (await result_of(silent, timeout_s=0.3)).failure is Failure.TIMEOUT


async def test_without_its_driver_the_check_is_unknown_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "oracledb", None)
    result = await result_of(silent)
    assert (result.state, result.failure) == (State.UNKNOWN, Failure.INTERNAL)
    assert result.message == "the probe kind oracle needs oracledb: pip install thongsuot[oracle]"
