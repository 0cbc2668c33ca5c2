"""The kind `postgresql`, against a real server."""

import asyncio
import os
import ssl
from datetime import UTC, datetime
from functools import partial

import asyncpg
import pytest
import trustme
import uvloop

from alerts.model import State
from probes.model import Failure
from tests.postgres import PASSWORD, USER, PostgresServer
from tests.probes.tcp_servers import SLACK_S, checked, measure, refusing_port, serve

result_of = partial(checked, "postgresql")


async def test_a_server_is_up_with_its_phases(postgres):
    found = await measure("postgresql", postgres.dsn(), timeout_s=10.0)
    assert (found.failure, found.message) == (None, "")
    assert {"resolve_s", "connect_s", "tls_s", "login_s", "query_s"} <= set(found.samples)
    assert found.samples["rows"] == 1
    assert found.samples["in_recovery"] == 0
    assert found.samples["server_version_num"] >= 140000
    assert "freshness_s" not in found.samples
    assert found.facts["value"] == 1
    assert found.facts["server_version"].split(".")[0] == str(int(found.samples["server_version_num"]) // 10000)


async def test_conditions_look_at_the_first_row(postgres):
    sql = "SELECT 45 AS lag_s, NULL::int AS nothing, 'x' AS name UNION ALL SELECT 1, 2, 'y'"
    down = await result_of(postgres.dsn(), query=sql, down_when="row.lag_s > 30.0")
    assert (down.state, down.failure) == (State.DOWN, Failure.CONDITION)
    assert down.message == "row.lag_s > 30.0 (row.lag_s = 45)"
    assert down.samples["rows"] == 2
    up = await result_of(
        postgres.dsn(),
        query=sql,
        down_when=["row.lag_s > 60.0", "value != 45", "rows < 2", "row.nothing != null", "row.name != 'x'"],
    )
    assert (up.state, up.message) == (State.UP, "")
    missing = await result_of(postgres.dsn(), query=sql, down_when="row.lagg_s > 30.0")
    assert missing.failure is Failure.CONDITION
    empty = await result_of(postgres.dsn(), query="SELECT 1 WHERE false", down_when="row.x > 30.0")
    assert empty.failure is Failure.CONDITION


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("true", True),
        ("(-9223372036854775808)::int8", -(1 << 63)),
        ("1.5::numeric", 1.5),
        ("2.25::float4", 2.25),
        ("""'{"a": [1, null]}'::jsonb""", {"a": [1, None]}),
        ("'2026-11-23 07:00:00+07'::timestamptz", datetime(2026, 11, 23, tzinfo=UTC)),
        ("'2026-11-23 07:00:00'::timestamp", "2026-11-23 07:00:00"),
        ("'infinity'::timestamptz", "infinity"),
        ("'Việt Nam'::text", "Việt Nam"),
        ("'\\x00ff'::bytea", "\\x00ff"),
        ("NULL::int", None),
    ],
)
async def test_values_as_conditions_compare_them(postgres, expression, value):
    found = await measure("postgresql", postgres.dsn(), timeout_s=10.0, query=f"SELECT {expression}")
    assert found.facts["value"] == value
    assert type(found.facts["value"]) is type(value)


@pytest.mark.parametrize(
    ("expression", "age_s"),
    [
        ("clock_timestamp() - interval '100 s'", 100),
        ("localtimestamp - interval '100 s'", 100),
        ("interval '1 day 2 s'", 86402),
        ("100", 100),
        ("100.5::numeric", 100.5),
        ("clock_timestamp() + interval '50 s'", -50),
    ],
)
async def test_fresh_data_has_an_age_by_the_servers_clock(postgres, expression, age_s):
    freshness = {"query": f"SELECT {expression}", "max_age": "2d"}
    found = await measure("postgresql", postgres.dsn(), timeout_s=10.0, freshness=freshness)
    assert (found.failure, found.message) == (None, "")
    assert found.samples["freshness_s"] == pytest.approx(age_s, abs=5)


@pytest.mark.parametrize(
    ("sql", "failure", "message"),
    [
        ("SELECT interval '100 s'", Failure.STALE, "the newest row is 100 s old, allowed are 60 s"),
        ("SELECT current_date - 3", Failure.STALE, "s old, allowed are 60 s"),
        ("SELECT NULL::timestamptz", Failure.STALE, "there is no newest row"),
        ("SELECT now() WHERE false", Failure.STALE, "there is no newest row"),
        ("SELECT 'now'::text", Failure.QUERY_FAILED, "neither a time nor an age in its first column (text)"),
        ("SELECT 'NaN'::float8", Failure.STALE, "nan s old"),
        ("SELECT nothing", Failure.QUERY_FAILED, '42703: column "nothing" does not exist'),
    ],
)
async def test_data_that_is_not_fresh(postgres, sql, failure, message):
    result = await result_of(postgres.dsn(), freshness={"query": sql, "max_age": "60s"})
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert message in result.message
    assert result.samples["rows"] == 1


async def test_the_session_can_only_read_and_says_who_it_is(postgres):
    database = await postgres.create_database()
    dsn = postgres.dsn(database)
    written = await result_of(dsn, query="CREATE TABLE t (x int)")
    assert written.failure is Failure.QUERY_FAILED
    assert written.message == "25006: cannot execute CREATE TABLE in a read-only transaction"
    two = await result_of(dsn, query="COMMIT; CREATE TABLE t (x int)")
    assert two.message == "42601: cannot insert multiple commands into a prepared statement"
    who = await measure(
        "postgresql", dsn, query="SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    )
    assert who.facts["value"] == "thongsuot"
    limit = await measure("postgresql", dsn, timeout_s=10.0, query="SHOW statement_timeout")
    assert 9000 < int(limit.facts["value"].removesuffix("ms")) <= 9500


async def test_the_server_stops_a_statement_before_we_hang_up(postgres):
    result = await result_of(postgres.dsn(), timeout_s=1.6, query="SELECT pg_sleep(30)")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message.startswith("57014: the server stopped the statement after")
    assert result.message.endswith("in query")
    assert result.duration_s < 1.6 + SLACK_S
    still = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    assert (await measure("postgresql", postgres.dsn(), query=still)).facts["value"] == 0


@pytest.mark.parametrize(
    ("sql", "failure", "message"),
    [
        ("SELECT * FROM nowhere", Failure.QUERY_FAILED, '42P01: relation "nowhere" does not exist'),
        ("SELECT 1/0", Failure.QUERY_FAILED, "22012: division by zero"),
        ("SELECT generate_series(1, 1001)", Failure.BODY_TOO_LARGE, "the query gives more than 1000 rows"),
        ("SELECT repeat('x', 2000000)", Failure.BODY_TOO_LARGE, "bytes where at most"),
        ("SELECT repeat('x', 2000) FROM generate_series(1, 999)", Failure.BODY_TOO_LARGE, "bytes where at most"),
        ("COPY (SELECT 1) TO STDOUT", Failure.QUERY_FAILED, "COPY gives no rows to look at"),
        ("-- nothing", None, ""),
        ("SELECT generate_series(1, 1000)", None, ""),
    ],
)
async def test_statements_that_fail_or_give_too_much(postgres, sql, failure, message):
    result = await result_of(postgres.dsn(), query=sql)
    assert result.failure is failure
    assert message in result.message


async def test_who_is_not_let_in(postgres):
    wrong = postgres.dsn().replace(PASSWORD, "hunter2")
    for dsn in (wrong, postgres.dsn().replace(f":{PASSWORD}", ""), postgres.dsn().replace(USER, "nobody-here")):
        result = await result_of(dsn)
        assert (result.state, result.failure) == (State.DOWN, Failure.AUTH_REJECTED)
        assert "login_s" in result.samples
        assert "hunter2" not in result.message
    nowhere = await result_of(postgres.dsn("no_such_database"))
    assert nowhere.failure is Failure.QUERY_FAILED
    assert nowhere.message == '3D000: database "no_such_database" does not exist'


@pytest.mark.parametrize("secret", ["mật khẩu @/?#:% dài", "ﬀ\u00ad\u00a0x", "\u0627x", "x" * 200])
@pytest.mark.parametrize("how", ["scram-sha-256", "md5"])
async def test_passwords_of_all_kinds(postgres, secret, how):
    role = f"role_{abs(hash((secret, how))) % 10**9}"
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(f"SET password_encryption = '{how}'")
        await connection.execute(f"""CREATE ROLE {role} LOGIN PASSWORD '{secret}'""")
        stored = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", role)
        assert stored.lower().startswith(how[:3])
        dsn = f"postgresql://{role}:{secret.replace('%', '%25')}@{postgres.host}:{postgres.port}/postgres"
        result = await result_of(dsn)
        if how == "md5":  # this cluster takes no MD5 over the network
            assert result.failure is Failure.AUTH_REJECTED
        else:
            assert (result.state, result.message) == (State.UP, "")
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()


async def test_a_full_server_and_a_closed_port_and_no_tls(postgres):
    role = "only_one"
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
        full = await result_of(f"postgresql://{role}:x@{postgres.host}:{postgres.port}/postgres")
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()
    assert full.failure is Failure.QUERY_FAILED
    assert full.message.startswith("53300: too many connections")
    refused = await result_of(f"postgresql://a:b@127.0.0.1:{refusing_port()}/x")
    assert refused.failure is Failure.CONNECT_REFUSED
    required = await result_of(postgres.dsn() + "?sslmode=require")
    assert required.failure is Failure.TLS_REQUIRED
    assert (await result_of(postgres.dsn() + "?sslmode=disable")).state is State.UP


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """A server with a certificate, and a role for each way to log in."""
    authority = trustme.CA()
    directory = tmp_path_factory.mktemp("postgresql")
    directory.chmod(0o755)
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    server = PostgresServer({"ssl": "on"})
    try:
        leaf.private_key_pem.write_to_path(server.data / "server.key")
        leaf.cert_chain_pems[0].write_to_path(server.data / "server.crt")
        owner = server.data.stat()
        for name in ("server.key", "server.crt"):
            (server.data / name).chmod(0o600)
            os.chown(server.data / name, owner.st_uid, owner.st_gid)
        rules = "host all clear_text all password\nhost all old_md5 all md5\nhost all all all scram-sha-256\n"
        (server.data / "pg_hba.conf").write_text(rules)
        server.start()
        yield server, directory / "ca.pem"
    finally:
        server.close()


async def test_tls_as_sslmode_says(tls_server):
    server, ca_file = tls_server
    strict = server.dsn() + f"?sslmode=verify-full&sslrootcert={ca_file}"
    found = await measure("postgresql", strict, query="SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert (found.failure, found.message) == (None, "")
    assert found.facts["value"] is True
    assert found.samples["cert_expires_s"] > 0
    assert found.facts["cert.expires_in"].total_seconds() == pytest.approx(found.samples["cert_expires_s"], abs=5)
    by_name = strict.replace("127.0.0.1", "localhost")
    assert (await result_of(by_name)).failure is Failure.TLS_NAME
    assert (await result_of(by_name.replace("verify-full", "verify-ca"))).state is State.UP
    assert (await result_of(server.dsn() + "?sslmode=verify-full")).failure is Failure.TLS_UNTRUSTED
    for mode in ("require", "prefer", "allow", "disable"):
        result = await result_of(server.dsn() + f"?sslmode={mode}", query="SELECT 1")
        assert (result.state, "cert_expires_s" in result.samples) == (State.UP, mode != "disable")


async def test_channel_binding_is_used_where_the_server_offers_it(tls_server):
    """A relay that ends TLS with a certificate of its own is found out though nobody verifies certificates."""
    server, _ = tls_server
    relay_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(relay_tls)

    async def relay(reader, writer):
        assert len(await reader.readexactly(8)) == 8
        writer.write(b"S")
        await writer.start_tls(relay_tls)
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        onward, back = await asyncio.open_connection(server.host, server.port)
        back_writer = back
        back_writer.write(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert await onward.readexactly(1) == b"S"
        await back_writer.start_tls(trusting)

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

        try:
            await asyncio.gather(pump(reader, back_writer), pump(onward, writer))
        finally:
            back_writer.transport.abort()

    async with serve(relay) as port:
        result = await result_of(server.dsn().replace(str(server.port), str(port)) + "?sslmode=require")
    assert result.failure is Failure.AUTH_REJECTED
    assert "channel binding" in result.message


async def test_a_password_in_clear_is_for_verified_servers_only(tls_server):
    server, ca_file = tls_server
    connection = await asyncpg.connect(server.dsn())
    try:
        for role in ("clear_text", "old_md5"):
            await connection.execute("SET password_encryption = 'md5'")
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'bí mật'")
        place = f"{server.host}:{server.port}/postgres"
        md5 = await result_of(f"postgresql://old_md5:bí mật@{place}?sslmode=disable")
        bare = await result_of(f"postgresql://clear_text:bí mật@{place}?sslmode=disable")
        unverified = await result_of(f"postgresql://clear_text:bí mật@{place}?sslmode=require")
        verified = await result_of(f"postgresql://clear_text:bí mật@{place}?sslmode=verify-full&sslrootcert={ca_file}")
    finally:
        await connection.execute("DROP ROLE clear_text; DROP ROLE old_md5")
        await connection.close()
    assert (md5.state, md5.message) == (State.UP, "")
    assert bare.failure is unverified.failure is Failure.AUTH_REJECTED
    assert "only a verified server is given" in bare.message
    assert (verified.state, verified.message) == (State.UP, "")


def test_it_works_on_uvloop_many_at_once(postgres):
    async def many():
        return await asyncio.gather(*(measure("postgresql", postgres.dsn(), timeout_s=20.0) for _ in range(20)))

    assert [found.message for found in uvloop.run(many())] == [""] * 20
