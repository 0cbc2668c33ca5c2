"""The kind `mysql`, against a real MariaDB with a replica, and a node of a real Galera cluster."""

import asyncio
import re
import ssl
import time
from functools import partial
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare
from monitor.runner import measure as run_job
from probes import mysql_wire as wire
from probes.database_findings import Findings
from probes.kinds import mysql
from probes.model import Context, Failure, Resources
from probes.mysql_details import Galera, judge_galera
from tests.mariadb import MariadbServer
from tests.postgres import free_port
from tests.probes.tcp_servers import SLACK_S, awaited, checked, measure, refusing_port

result_of = partial(checked, "mysql")
until = partial(awaited, "mysql")

WAIT_S = 20.0
GALERA = Path("/usr/lib/galera/libgalera_smm.so")
PASSWORD = "mat-khau"


@pytest.fixture(scope="module")
def new_data():
    """A server's data as it is made, at rest: copying it is quicker than making it again."""
    server = MariadbServer()
    try:
        yield server.data
    finally:
        server.close()


@pytest.fixture(scope="module")
def primary(new_data, tmp_path_factory):
    """A primary with a database `app`, a user `watcher` who sees all, and TLS."""
    directory = tmp_path_factory.mktemp("mariadb")
    for path in (directory, *directory.parents[:3]):
        path.chmod(0o755)
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    (directory / "key.pem").chmod(0o644)
    tls = (f"--ssl-cert={directory / 'cert.pem'}", f"--ssl-key={directory / 'key.pem'}")
    server = MariadbServer(("--server-id=1", "--log-bin", "--connect-timeout=2", *tls), new_data)
    server.ca_file = directory / "ca.pem"
    try:
        server.start()
        server.execute(
            "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT, at TIMESTAMP(6));"
            f"CREATE USER watcher@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
            "GRANT SELECT ON *.* TO watcher@'127.0.0.1'; GRANT PROCESS, REPLICA MONITOR ON *.* TO watcher@'127.0.0.1';"
            f"CREATE USER copier@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
            "GRANT REPLICATION SLAVE ON *.* TO copier@'127.0.0.1'"
        )
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def replica(primary, new_data):
    """A replica of the primary."""
    server = MariadbServer(("--server-id=2", "--read-only"), new_data)
    try:
        server.start()
        server.execute(
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={primary.port}, master_user='copier',"
            f" master_password='{PASSWORD}', master_use_gtid=slave_pos, master_connect_retry=1; START SLAVE"
        )
        deadline = time.monotonic() + WAIT_S
        while not server.execute("SELECT 1 FROM mysql.user WHERE user = 'copier'"):
            assert time.monotonic() < deadline, server.execute("SHOW SLAVE STATUS")
            time.sleep(0.05)
        yield server
    finally:
        server.close()


async def test_a_server_is_up_with_its_phases_and_details(primary):
    found = await measure(
        "mysql", primary.dsn(), timeout_s=10.0, role="primary", details=["status", "transactions", "size"]
    )
    assert (found.failure, found.message, found.facts["unseen"]) == (None, "", "")
    assert {"resolve_s", "connect_s", "tls_s", "login_s", "query_s", "details_s"} <= set(found.samples)
    samples = found.samples
    assert (samples["rows"], samples["read_only"], samples["connections_max"]) == (1, 0, 40)
    assert (samples["locks_waiting"], samples["transactions"], samples["longest_transaction_s"]) == (0, 0, 0)
    assert samples["size_bytes"] > 0
    assert samples["server_version_num"] > 100_500
    assert samples["cert_expires_s"] > 0
    assert (found.facts["role"], found.facts["value"]) == ("primary", 1)
    assert not {"replication_running", "replication_lag_s", "galera_nodes"} & set(samples)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("-9223372036854775807 - 1", -(1 << 63)),
        ("18446744073709551615", 18446744073709551615.0),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("NULL", None),
        ("'Việt Nam'", "Việt Nam"),
        ("TIMESTAMP '2026-11-26 07:00:00'", "2026-11-26 07:00:00"),
        ("repeat('x', 300)", "x" * 300),
        ("repeat('x', 70000)", "x" * 70000),
    ],
)
async def test_values_as_conditions_compare_them(primary, expression, value):
    found = await measure("mysql", primary.dsn(), query=f"SELECT {expression} AS v", details=False)
    assert found.facts["value"] == value
    assert type(found.facts["value"]) is type(value)
    assert found.facts["row"] == {"v": value}


@pytest.mark.parametrize(
    ("sql", "failure", "message"),
    [
        ("SELECT * FROM nowhere", Failure.QUERY_FAILED, "1146 (42S02): Table 'app.nowhere' doesn't exist"),
        ("SELECT 1; SELECT 2", Failure.QUERY_FAILED, "1064 (42000)"),
        ("INSERT INTO t VALUES (1, 'x', now())", Failure.QUERY_FAILED, "command denied to user"),
        ("CREATE TEMPORARY TABLE x (y INT)", Failure.QUERY_FAILED, "READ ONLY transaction"),
        ("SELECT seq FROM seq_1_to_1001", Failure.BODY_TOO_LARGE, "more than 1000 rows"),
        ("SELECT repeat('x', 2000000)", Failure.BODY_TOO_LARGE, "bytes where at most"),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", Failure.QUERY_FAILED, ""),
        ("SELECT seq FROM seq_1_to_1000", None, ""),
        ("DO 1", None, ""),
    ],
)
async def test_statements_that_fail_or_give_too_much(primary, sql, failure, message):
    result = await result_of(primary.dsn(), query=sql)
    assert result.failure is failure
    assert message in result.message


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t",
        "CREATE TABLE made (x INT)",  # the server ends a transaction before it defines anything
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "ALTER TABLE t ADD COLUMN y INT",
        "RENAME TABLE t TO u",
    ],
)
async def test_nothing_is_written_whatever_the_user_may(primary, sql):
    primary.execute(
        f"CREATE USER writer@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON app.* TO writer@'127.0.0.1'"
    )
    try:
        written = await result_of(primary.dsn("writer"), query=sql)
        assert written.message == "1792 (25006): Cannot execute statement in a READ ONLY transaction"
    finally:
        primary.execute("DROP USER writer@'127.0.0.1'")


async def test_the_server_stops_a_statement_before_we_hang_up(primary):
    result = await result_of(primary.dsn(), timeout_s=1.2, query="SELECT sleep(30)")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == "1969: the server stopped the statement in query"
    assert result.duration_s < 1.2 + SLACK_S


async def test_who_is_not_let_in(primary):
    for dsn in (primary.dsn(password="hunter2"), primary.dsn("nobody"), primary.dsn(password="")):
        result = await result_of(dsn)
        assert (result.state, result.failure) == (State.DOWN, Failure.AUTH_REJECTED)
        assert "hunter2" not in result.message
        assert "login_s" in result.samples
    nowhere = await result_of(primary.dsn(database="nowhere"))
    assert (nowhere.failure, nowhere.message) == (Failure.QUERY_FAILED, "1049 (42000): Unknown database 'nowhere'")
    refused = await result_of(f"mysql://a:b@127.0.0.1:{refusing_port()}/x")
    assert refused.failure is Failure.CONNECT_REFUSED


async def test_tls_as_sslmode_says(primary, replica):
    strict = f"{primary.dsn()}?sslmode=verify-full&sslrootcert={primary.ca_file}"
    found = await measure("mysql", strict, query="SHOW SESSION STATUS LIKE 'Ssl_version'", details=False)
    assert (found.failure, found.facts["row"]["Value"]) == (None, "TLSv1.3")
    assert (await result_of(strict.replace("127.0.0.1", "localhost"))).failure is Failure.TLS_NAME
    assert (await result_of(primary.dsn() + "?sslmode=verify-full")).failure is Failure.TLS_UNTRUSTED
    assert "tls_s" not in (await result_of(primary.dsn() + "?sslmode=disable")).samples
    assert (await result_of(replica.dsn() + "?sslmode=require")).failure is Failure.TLS_REQUIRED


async def test_a_full_server(primary):
    primary.execute("SET GLOBAL max_connections = 10")
    held = []
    try:
        for _ in range(10):
            held.append(await asyncio.open_connection("127.0.0.1", primary.port))
            await held[-1][0].read(1)
        result = await result_of(primary.dsn())
    finally:
        for _, writer in held:
            writer.close()
        primary_is_free = time.monotonic() + WAIT_S
        while primary.execute("SET GLOBAL max_connections = 40", check=False) is None:
            assert time.monotonic() < primary_is_free
    assert result.failure is Failure.QUERY_FAILED
    assert "1040" in result.message


async def test_a_replica_at_rest_stopped_broken_and_compared(primary, replica):
    beating = {"heartbeat": {"table": "app.t", "column": "at"}, "max_lag": "1h"}
    primary.execute("INSERT INTO app.t (name, at) VALUES ('a', now(6))")
    found = await until(lambda m: m.samples.get("replication_lag_s") == 0, replica.dsn(), role="replica")
    assert (found.failure, found.facts["role"]) == (None, "replica")
    assert (found.samples["replication_running"], found.samples["replication_lag_s"]) == (1, 0)
    assert found.samples["read_only"] == 1
    held = await until(lambda m: m.samples.get("replicas") == 1, primary.dsn(), replication={"replicas": 1})
    assert (held.failure, held.samples["replicas"]) == (None, 1)
    beat = await until(lambda m: m.failure is None, replica.dsn(), replication=beating)
    assert 0 <= beat.samples["replication_lag_s"] < 600
    rule = {"dsn": replica.dsn(), "table": "app.t", "column": "id", "max_gap": 2}
    even = await until(lambda m: m.failure is None, primary.dsn(), in_step=rule)
    assert (even.failure, even.samples["gap"]) == (None, 0)
    replica.execute("STOP SLAVE SQL_THREAD")
    try:
        primary.execute("INSERT INTO app.t (name, at) VALUES ('b', now(6)), ('c', now(6)), ('d', now(6))")
        stopped = await measure("mysql", replica.dsn())
        assert (stopped.failure, stopped.is_degraded) == (Failure.STALE, True)
        assert stopped.message == "replication is stopped: the SQL thread says No"
        assert stopped.samples["replication_running"] == 0
        assert "replication_lag_s" not in stopped.samples
        assert (await result_of(replica.dsn(), replication={})).state is State.DOWN
        apart = await result_of(primary.dsn(), in_step=rule)
        place = f"127.0.0.1:{replica.port}"
        assert apart.message == f"not in step: the other one ({place}) is behind by 3, allowed are 2"
        counted = await result_of(replica.dsn(), details=False, in_step={**rule, "dsn": primary.dsn(), "column": "at"})
        assert counted.message.startswith("not in step: this database is behind by") or counted.failure is None
    finally:
        replica.execute("START SLAVE SQL_THREAD")
    wrong = await until(lambda m: "replication_lag_s" in m.samples, replica.dsn(), role="primary")
    assert wrong.message == "the server is a replica; expected is a primary"
    replica.execute("STOP SLAVE; CHANGE MASTER TO master_password = 'wrong'; START SLAVE")
    try:
        broken = await until(lambda m: "Access denied" in m.message, replica.dsn())
        assert broken.message.startswith("replication is stopped: the IO thread says Connecting: ")
    finally:
        replica.execute(f"STOP SLAVE; CHANGE MASTER TO master_password = '{PASSWORD}'; START SLAVE")


async def test_the_documented_grants_are_enough(primary):
    """The statements of the docstring, as they stand there."""
    primary.execute("CREATE DATABASE hotich")
    primary.execute("CREATE TABLE hotich.births (id INT, child TEXT, updated_at DATETIME(6))")
    primary.execute("CREATE TABLE hotich.sync_queue (x INT)")
    primary.execute("INSERT INTO hotich.births VALUES (7, 'secret', now(6) - INTERVAL 100 SECOND)")
    grants = re.search(r"(?s)\n    CREATE USER.*?sync_queue TO \S+;\n", mysql.__doc__)[0]
    primary.execute(grants.replace("10.0.0.%", "127.0.0.1").replace("'…'", "'x'"))
    try:
        dsn = primary.dsn("thongsuot", "x", "hotich")
        rules = {
            "query": "SELECT count(*) AS waiting FROM sync_queue",
            "freshness": {"table": "hotich.births", "column": "updated_at", "max_age": "15m"},
            "in_step": {"dsn": dsn, "table": "births", "column": "id", "max_gap": 0},
        }
        found = await measure("mysql", dsn, timeout_s=10.0, **rules)
        assert (found.failure, found.samples["gap"]) == (None, 0)
        assert 100 <= found.samples["freshness_s"] < 200
        assert found.samples["connections"] >= 1
        assert not {"transactions", "replicas", "role_changed"} & set(found.samples)
        assert found.facts["unseen"] == (
            "replication (GRANT REPLICATION CLIENT, with MariaDB REPLICA MONITOR), transactions (GRANT PROCESS)"
        )
        hidden = await result_of(dsn, role="primary")
        assert (hidden.state, hidden.failure) == (State.UNKNOWN, Failure.PERMISSION)
        assert (await result_of(dsn, query="SELECT child FROM births")).failure is Failure.QUERY_FAILED
        rule = {"query": "SELECT max(updated_at) FROM births", "max_age": "60s"}
        old = await result_of(dsn, freshness=rule)
        assert old.failure is Failure.STALE
        assert re.match(r"the newest row is 1\d\d s old, allowed are 60 s", old.message)
        for sql, failure in (("SELECT 30", None), ("SELECT NULL", Failure.STALE), ("SELECT 'x'", Failure.QUERY_FAILED)):
            assert (await result_of(dsn, freshness={**rule, "query": sql})).failure is failure
    finally:
        primary.execute("DROP USER thongsuot@'127.0.0.1'; DROP DATABASE hotich")


async def test_a_lock_that_is_held(primary):
    holder = await asyncio.create_subprocess_exec(
        "mariadb", "--no-defaults", "-u", "root", f"--socket={primary.socket}", stdin=asyncio.subprocess.PIPE
    )
    waiter = None
    try:
        primary.execute("INSERT IGNORE INTO app.t (id, name) VALUES (1, 'a')")
        holder.stdin.write(b"BEGIN; UPDATE app.t SET name = 'x' WHERE id = 1;\n")
        await holder.stdin.drain()
        watched = ["status", "transactions"]
        await until(lambda m: m.samples.get("transactions") == 1, primary.dsn(), details=watched)
        command = ["mariadb", "--no-defaults", "-u", "root", f"--socket={primary.socket}"]
        waiter = await asyncio.create_subprocess_exec(*command, "-e", "UPDATE app.t SET name = 'y' WHERE id = 1")
        await until(lambda m: m.samples.get("locks_waiting") == 1, primary.dsn(), details=watched)
    finally:
        holder.stdin.close()
        await holder.wait()
        if waiter is not None:
            await waiter.wait()


async def test_a_kept_session_is_one_and_is_opened_again_when_it_is_broken(primary):
    job = prepare("mysql", primary.dsn(), {"session": "keep", "query": "SELECT connection_id()"}, 10.0)
    resources = Resources()

    async def once():
        return await mysql.run(job.params, Context(10.0, asyncio.get_running_loop().time() + 10.0, resources))

    try:
        first, second = await once(), await once()
        assert first.facts["value"] == second.facts["value"]
        assert set(second.samples) & {"resolve_s", "connect_s", "tls_s", "login_s"} == set()
        assert second.samples["cert_expires_s"] > 0
        primary.execute(f"KILL {first.facts['value']}")
        third = await once()
        assert (third.failure, third.facts["value"] != first.facts["value"]) == (None, True)
        results = await asyncio.gather(*(run_job(job, resources, "test") for _ in range(3)))
        assert {result.state for result in results} == {State.UP}
    finally:
        await resources.aclose()
    count = "SELECT count(*) FROM information_schema.processlist WHERE user = 'watcher'"
    deadline = time.monotonic() + WAIT_S
    while primary.execute(count) != "0":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_node_of_a_galera_cluster(new_data):
    options = ["--wsrep-on=ON", f"--wsrep-provider={GALERA}", "--binlog-format=ROW", "--wsrep-cluster-address=gcomm://"]
    options += ["--innodb-autoinc-lock-mode=2", "--wsrep-sst-method=skip", "--wsrep-node-address=127.0.0.1"]
    listening = f"gmcast.listen_addr=tcp://127.0.0.1:{free_port()}; ist.recv_addr=127.0.0.1:{free_port()}"
    server = MariadbServer([*options, f"--wsrep-provider-options={listening}"], new_data)
    try:
        server.start()
        server.execute(f"CREATE USER watcher@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        dsn = server.dsn(database="")
        found = await until(lambda m: m.samples.get("galera_state") == 4, dsn)
        assert (found.failure, found.samples["galera_nodes"], found.samples["galera_ready"]) == (None, 1, 1)
        assert 0 <= found.samples["galera_flow_control_ratio"] <= 1
        lost = await result_of(dsn, galera={"nodes": 3})
        assert (lost.state, lost.failure) == (State.DOWN, Failure.CONDITION)
        assert lost.message == "the cluster has 1 nodes, expected are at least 3"
        assert (await result_of(dsn, galera={"nodes": 2, "state": "degraded"})).state is State.DEGRADED
        server.execute("SET GLOBAL wsrep_provider_options = 'pc.weight=0'", check=False)
    finally:
        server.close()


def test_a_dsn_is_shown_without_its_password():
    params = mysql.MysqlParams(
        dsn="mariadb://u:hunter2@h", in_step={"dsn": "mysql://u:hunter2@i/d", "table": "t", "max_gap": 1}
    )
    assert str(params.dsn) == "mysql://u:***@h:3306/?sslmode=prefer"
    assert "hunter2" not in f"{params!r} {params.model_dump()!r} {params.model_dump_json()}"
    with pytest.raises(ValidationError, match="begins with mysql://") as caught:
        mysql.MysqlParams(dsn="postgresql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


def test_proofs_and_versions():
    assert wire.native_proof(b"", b"x" * 20) == wire.sha2_proof(b"", b"x" * 20) == b""
    assert len(wire.native_proof(b"a", b"x" * 20)) == 20
    assert len(wire.sha2_proof(b"a", b"x" * 20)) == 32
    numbers = [wire.version_number(text) for text in ("5.5.5-10.11.19-MariaDB", "8.0.36", "11.4.2-MariaDB-log", "x")]
    assert numbers == [101119, 80036, 110402, None]
    assert ssl.HAS_TLSv1_3


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        (
            {"cluster_status": "non-Primary"},
            "down",
            "the node takes no part: its component is non-Primary, it is Synced",
        ),
        ({"ready": "OFF"}, "down", "the node takes no part: its component is Primary, it is Synced"),
        (
            {"local_state": "2", "local_state_comment": "Donor"},
            "degraded",
            "the node is not synced: it is Donor",
        ),
        ({"cluster_size": "2"}, "degraded", "the cluster has 2 nodes, expected are at least 3"),
        (
            {"cluster_size": "0", "cluster_status": "Disconnected"},
            "down",
            "the server is in no Galera cluster",
        ),
        ({}, "", ""),
    ],
)
async def test_what_a_node_says_of_its_cluster(status, state, message):
    well = {"wsrep_cluster_status": "Primary", "wsrep_cluster_size": "3", "wsrep_ready": "ON", "wsrep_local_state": "4"}
    findings = Findings()
    other = {f"wsrep_{name}": value for name, value in status.items()}
    judged = {**well, "wsrep_local_state_comment": "Synced", **other}
    judge_galera(judged, Galera(nodes=3, state="degraded"), findings)
    found = findings.measurement(Context(1.0, 1.0, Resources()))
    assert (found.message, found.is_degraded) == (message, state == "degraded")
