"""The kind `redis`, against a real server with a replica, and against servers that are not what they say."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.failures import TroubleError
from probes.kinds import redis
from probes.model import Context, Failure, Resources
from probes.redis_wire import Reader
from tests.postgres import free_port
from tests.probes.tcp_servers import measure, refusing_port, saying, serve

SECRET = "hunter2-rat-dai"
WAIT_S = 20.0


class RedisServer:
    """One server, stopped by its process id."""

    def __init__(self, *options):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-redis-"))
        self._options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        self._options += ["--requirepass", SECRET, "--masterauth", SECRET, "--repl-ping-replica-period", "1"]
        self._options += ["--repl-diskless-sync-delay", "0", *options]
        if os.geteuid() == 0:
            shutil.chown(self.directory, "redis")

    def start(self):
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            command += ["--reuid", "redis", "--regid", "redis", "--clear-groups"]
        with (self.directory / "log").open("ab") as log:
            started = [*command, "redis-server", *self._options]
            self.process = subprocess.Popen(started, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + WAIT_S
        while self.ask("PING", check=False) != "PONG":
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.02)
        return self

    def ask(self, *words, check=True):
        environ = {**os.environ, "REDISCLI_AUTH": SECRET}
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=check, env=environ).stdout.strip()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def primary():
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def replica(primary):
    server = RedisServer("--replicaof", "127.0.0.1", str(primary.port)).start()
    yield server
    server.close()


async def result_of(address, timeout_s=10.0, **parameters):
    parameters = {"password": SECRET, **parameters}
    result = await run_once(prepare("redis", address, parameters, timeout_s), "test")
    assert SECRET not in result.message
    return result


async def until(condition, address, **parameters):
    deadline = time.monotonic() + WAIT_S
    while True:
        found = await measure("redis", address, timeout_s=10.0, **{"password": SECRET, **parameters})
        if condition(found):
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def test_a_primary_and_its_replica(primary, replica):
    found = await until(lambda m: m.samples.get("replicas") == 1, primary.address, replication={"replicas": 1})
    assert (found.failure, found.facts["role"], found.facts["unseen"]) == (None, "primary", "")
    assert {"resolve_s", "connect_s", "login_s", "query_s", "details_s"} <= set(found.samples)
    assert found.samples["connections"] >= 1
    assert found.samples["size_bytes"] > 100_000
    assert found.samples["backup_failing"] == 0
    assert found.samples["replicas_lag_bytes"] >= 0
    assert not {"memory_ratio", "aof_failing", "replication_lag_s"} & set(found.samples)
    copy = await until(lambda m: m.samples.get("replication_running") == 1, replica.address, role="replica")
    assert (copy.failure, copy.facts["role"]) == (None, "replica")
    assert 0 <= copy.samples["replication_lag_s"] < 10
    wrong = await result_of(replica.address, role="primary")
    assert (wrong.failure, wrong.message) == (Failure.CONDITION, "the server is a replica; expected is a primary")
    few = await result_of(primary.address, replication={"replicas": 2})
    assert few.message == "the primary has 1 replicas, expected are at least 2"


async def test_a_replica_whose_link_is_down_and_a_promotion(primary, replica):
    job = prepare("redis", replica.address, {"password": SECRET, "session": "keep", "role": "replica"}, 10.0)
    resources = Resources()

    async def once():
        return await redis.run(job.params, Context(10.0, asyncio.get_running_loop().time() + 10.0, resources))

    try:
        first, second = await once(), await once()
        assert "login_s" in first.samples
        assert set(second.samples) & {"resolve_s", "connect_s", "login_s"} == set()
        replica.ask("REPLICAOF", "127.0.0.1", str(refusing_port()))
        deadline = time.monotonic() + WAIT_S
        while (lost := await once()).failure is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert (lost.failure, lost.is_degraded, lost.samples["replication_running"]) == (Failure.STALE, True, 0)
        assert lost.message.startswith("replication is stopped: the link to the primary is down")
        replica.ask("REPLICAOF", "NO", "ONE")
        promoted = await once()
        assert promoted.message == "the server is a primary, and was a replica in the run before; expected is a replica"
        replica.ask("CLIENT", "KILL", "TYPE", "normal")
        assert (await once()).samples["role_changed"] == 0
    finally:
        await resources.aclose()
        replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{now}", ""),
        ("{now}000", ""),
        ("2020-01-01T00:00:00Z", "s old, allowed are 60 s"),
        ("", "there is no key 'sync', or it is empty"),
        ("soon", "what should be compared is neither a number nor a time"),
    ],
)
async def test_the_time_in_a_key(primary, value, message):
    primary.ask("SET", "sync", value.format(now=int(time.time()) - 10))
    result = await result_of(primary.address, freshness={"key": "sync", "max_age": "60s"})
    assert message in result.message
    assert (result.failure is None) == (not message)
    if not message:
        assert 5 < result.samples["freshness_s"] < 40


async def test_the_documented_rights_are_enough(primary):
    words = re.search(r"ACL SETUSER (.*)", redis.__doc__)[1].replace(">…", ">x").split()
    primary.ask("ACL", "SETUSER", *words)
    primary.ask("SET", "sync:last_success", str(int(time.time())))
    as_user = {"user": "thongsuot", "password": "x"}
    rule = {"key": "sync:last_success", "max_age": "60s"}
    found = await measure("redis", primary.address, **as_user, role="primary", freshness=rule)
    assert (found.failure, found.facts["unseen"]) == (None, "")
    other = await result_of(primary.address, **as_user, freshness={**rule, "key": "sync"})
    assert other.failure is Failure.QUERY_FAILED
    assert other.message.startswith("NOPERM")
    primary.ask("ACL", "SETUSER", "thongsuot", "-info")
    blind = await measure("redis", primary.address, **as_user)
    assert blind.failure is None
    assert blind.facts["unseen"].startswith("the details (NOPERM")
    assert "role_changed" not in blind.samples
    assert (await result_of(primary.address, **as_user, role="primary")).state is State.UNKNOWN


async def test_who_is_not_let_in(primary):
    for parameters in ({"password": "wrong"}, {"password": None}, {"user": "nobody", "password": "x"}):
        result = await result_of(primary.address, **parameters)
        assert (result.state, result.failure) == (State.DOWN, Failure.AUTH_REJECTED)
        assert "login_s" in result.samples
    assert (await result_of(f"127.0.0.1:{refusing_port()}")).failure is Failure.CONNECT_REFUSED
    assert (await result_of(primary.address, database=999)).failure is Failure.QUERY_FAILED


async def test_a_full_server(primary):
    reader, writer = await asyncio.open_connection("127.0.0.1", primary.port)
    try:
        writer.write(f"AUTH {SECRET}\r\nCONFIG SET maxclients 1\r\n".encode())
        assert await reader.readexactly(10) == b"+OK\r\n+OK\r\n"
        full = await until(lambda m: m.failure not in (None, Failure.AUTH_REJECTED), primary.address)
        writer.write(b"CONFIG SET maxclients 1000\r\n")
        assert await reader.readexactly(5) == b"+OK\r\n"
    finally:
        writer.close()
    # The server says why and hangs up at once, which what we had said by then makes a reset.
    assert (full.failure, full.message) == (Failure.QUERY_FAILED, "ERR max number of clients reached")


@pytest.mark.parametrize("password", [SECRET, None])
@pytest.mark.parametrize("is_reset", [True, False])
async def test_why_a_server_hangs_up_is_what_it_said_last(password, is_reset):
    async def full(reader, writer):
        writer.write(f"-ERR max number of clients reached {password or ''}\r\n".encode())
        if is_reset:
            writer.close()  # with our command unread
            return
        await reader.read(1000)
        writer.close()

    async with serve(full) as port:
        result = await result_of(f"127.0.0.1:{port}", password=password)
    told = "ERR max number of clients reached" + (" ***" if password else "")
    assert (result.failure, result.message.strip()) == (Failure.QUERY_FAILED, told)


@pytest.fixture
def open_directory():
    """A directory that the server's user may read."""
    directory = Path(tempfile.mkdtemp(prefix="thongsuot-redis-tls-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def test_tls(open_directory):
    directory, authority = open_directory, trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    os.chmod(directory / "key.pem", 0o644)
    tls_port = free_port()
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(directory / "cert.pem"), "--tls-auth-clients", "no"]
    server = RedisServer(*options, "--tls-key-file", str(directory / "key.pem"))
    try:
        server.start()
        address = f"127.0.0.1:{tls_port}"
        found = await result_of(address, tls=True, ca_file=str(directory / "ca.pem"))
        assert (found.failure, found.samples["cert_expires_s"] > 0) == (None, True)
        assert (await result_of(address, tls=True)).failure is Failure.TLS_UNTRUSTED
        assert (await result_of(address, tls=True, verify=False)).state is State.UP
    finally:
        server.close()


@pytest.mark.parametrize(
    ("said", "failure", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", Failure.PROTOCOL, "this is not Redis"),
        (b"$99999999999\r\n", Failure.BODY_TOO_LARGE, "99999999999 bytes where at most"),
        (b"*99999999\r\n", Failure.PROTOCOL, "an array of 99999999"),
        (b"*1\r\n" * 50, Failure.PROTOCOL, "at depth 4"),
        (b"+" + b"x" * 5000, Failure.PROTOCOL, "this is not Redis"),
        (b"$x\r\n", Failure.PROTOCOL, "this is not Redis"),
        (b"$1\r\nabc", Failure.PROTOCOL, "this is not Redis"),
        (b"-WRONGPASS " + SECRET.encode() + b"\r\n+OK\r\n", Failure.AUTH_REJECTED, "WRONGPASS ***"),
        (b"+OK\r\n+OK\r\n+NO\r\n", Failure.PROTOCOL, "PING is not PONG"),
        (b"+OK\r\n+OK\r\n+PONG\r\n:5\r\n", Failure.PROTOCOL, "INFO is not one"),
        (b"+OK\r\n+OK\r\n+PONG\r\n$300000\r\n", Failure.BODY_TOO_LARGE, "300000 bytes"),
    ],
)
async def test_what_comes_instead_of_answers(said, failure, message):
    async with serve(saying(said)) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=1.0)
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert message in result.message
    assert result.message.isprintable()


async def test_a_replica_that_says_next_to_nothing_is_stopped():
    async with serve(saying(b"+OK\r\n+OK\r\n+PONG\r\n$23\r\nrole:slave\r\nx\r\ndb0:keys\r\n")) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=1.0)
    assert (result.state, result.failure) == (State.DEGRADED, Failure.STALE)
    assert result.message == "replication is stopped: the link to the primary is down"
    assert (result.samples["replication_running"], result.samples["keys"]) == (0, 0)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_are_answers_or_trouble(pieces):
    reader = Reader(400)
    try:
        for piece in pieces:
            reader.feed(piece)
            while reader.next() is not None:
                pass
    except TroubleError:
        return


def test_parameters():
    params = redis.RedisParams(address="h", password=SECRET)
    assert str(params.address) == "h:6379"
    assert SECRET not in f"{params!r} {params.model_dump_json()}"
    with pytest.raises(ValidationError, match="Extra inputs"):
        redis.RedisParams(address="h", replication={"heartbeat": {"table": "t", "column": "c"}})
