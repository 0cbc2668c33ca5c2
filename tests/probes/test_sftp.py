"""The kind `sftp`, against a real OpenSSH server and against peers that are none."""

import asyncio
import builtins

import pytest
import uvloop
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes import sftp_session
from probes.kinds.sftp import SftpParams
from probes.model import Failure
from tests.probes.tcp_servers import measure, refusing_port, saying, serve
from tests.sshd import PASSWORD, USER, SshServer

ANYBODY = {"username": USER, "password": PASSWORD, "verify": False}
ANOTHER_KEY = "SHA256:" + "A" * 43


@pytest.fixture(scope="module")
def sshd():
    server = SshServer()
    try:
        server.start()
        server.put("cu.csv", 100, age_s=7200)
        server.put("mới.csv", 23, age_s=600)
        server.put("khac.txt", 5, age_s=0)
        (server.files / "thu-muc").mkdir()
        (server.files / "rong").mkdir()
        (server.files / "kin").mkdir(mode=0o700)
        yield server
    finally:
        server.close()


async def visit(server, **parameters):
    asked = {"username": USER, "key_file": str(server.user_key), "host_keys": [server.fingerprint()], **parameters}
    return await measure("sftp", f"{server.host}:{server.port}", 20.0, **asked)


async def test_a_server_is_up_with_its_phases(sshd):
    found = await visit(sshd)
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == {"resolve_s", "connect_s", "handshake_s", "login_s", "open_s"}
    assert found.facts["host_key"] == sshd.fingerprint()
    assert found.facts["software"].startswith("SSH-2.0-OpenSSH_")


async def test_the_files_of_a_directory_and_the_newest_ones_age(sshd):
    fresh = await visit(sshd, path=str(sshd.files), pattern="*.csv", max_age="1h", files_min=2)
    assert (fresh.failure, fresh.message) == (None, "")
    assert (fresh.samples["files"], fresh.samples["size_bytes"]) == (2, 123)
    assert fresh.samples["freshness_s"] == pytest.approx(600, abs=60)
    assert fresh.facts["newest"] == "mới.csv"
    stale = await visit(sshd, path=str(sshd.files), pattern="cu*", max_age="1h")
    assert stale.failure is Failure.STALE
    assert stale.message.endswith(" s old, allowed are 3600 s")
    one = await visit(sshd, path=str(sshd.files / "cu.csv"))
    assert (one.failure, one.samples["files"], one.samples["size_bytes"]) == (None, 1, 100)


async def test_too_few_files_and_none_at_all(sshd):
    few = await visit(sshd, path=str(sshd.files), files_min=4)
    assert few.failure is Failure.CONDITION
    assert few.message.startswith("3 files are in ")
    none = await visit(sshd, path=str(sshd.files / "rong"), max_age="1h")
    assert none.failure is Failure.STALE
    assert "freshness_s" not in none.samples
    assert none.samples["files"] == 0


async def test_paths_that_are_not_there_or_not_for_us(sshd):
    missing = await visit(sshd, path="/khong/co")
    hidden = await visit(sshd, path=str(sshd.files / "kin"))
    assert missing.failure is hidden.failure is Failure.QUERY_FAILED
    assert missing.message == "/khong/co: No such file"
    assert hidden.message.endswith("/kin: Permission denied")


async def test_more_entries_than_are_looked_at(sshd, monkeypatch):
    monkeypatch.setattr(sftp_session, "ENTRIES_LIMIT", 3)
    found = await visit(sshd, path=str(sshd.files))
    assert found.failure is Failure.BODY_TOO_LARGE


async def test_the_servers_key(sshd):
    changed = await visit(sshd, host_keys=[ANOTHER_KEY])
    assert changed.failure is Failure.TLS_UNTRUSTED
    assert changed.message.startswith(f"the server's key is {sshd.fingerprint()}, known is {ANOTHER_KEY}: ")
    assert "login_s" not in changed.samples  # nobody logs in to a server that is another one
    for name in ("host_ed25519", "host_rsa"):
        known = await visit(sshd, host_keys=[], known_hosts_file=sshd.known_hosts(name))
        assert (known.failure, known.facts["host_key"]) == (None, sshd.fingerprint(name))
    elsewhere = await visit(sshd, host_keys=[], known_hosts_file=sshd.known_hosts("user_ed25519"))
    assert elsewhere.failure is Failure.TLS_UNTRUSTED
    anyone = await visit(sshd, host_keys=[], verify=False)
    assert anyone.failure is None


async def test_login_by_password(sshd):
    found = await visit(sshd, key_file="", password=PASSWORD)
    wrong = await visit(sshd, key_file="", password="hunter2-hunter2")
    stranger = await visit(sshd, username="khong-co")
    assert (found.failure, found.message) == (None, "")
    assert wrong.failure is stranger.failure is Failure.AUTH_REJECTED
    assert "hunter2" not in wrong.message


async def test_files_of_our_own_that_cannot_be_used(sshd, tmp_path):
    absent = await visit(sshd, key_file=str(tmp_path / "none"))
    (tmp_path / "bad").write_text("no key")
    bad = await visit(sshd, key_file=str(tmp_path / "bad"))
    assert absent.failure is bad.failure is Failure.INTERNAL
    assert absent.message.endswith("cannot be used: No such file or directory")
    assert "is no private key" in bad.message


async def test_conditions(sshd):
    parameters = {**ANYBODY, "path": str(sshd.files), "down_when": "files > 2", "degraded_when": "login_s > 100.0"}
    result = await run_once(prepare("sftp", f"{sshd.host}:{sshd.port}", parameters, 20.0), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.CONDITION)


def test_it_works_on_uvloop_some_at_once(sshd):
    async def some():
        return await asyncio.gather(*(visit(sshd, path=str(sshd.files)) for _ in range(4)))

    assert [found.message for found in uvloop.run(some())] == [""] * 4


async def test_without_asyncssh_it_says_what_to_install(monkeypatch):
    ordinary = builtins.__import__

    def without(name, *rest):
        if name == "asyncssh":
            raise ImportError
        return ordinary(name, *rest)

    async with serve(saying(b"SSH-2.0-x\r\n")) as port:
        monkeypatch.setattr(builtins, "__import__", without)
        found = await measure("sftp", f"127.0.0.1:{port}", **ANYBODY)
    assert (found.failure, found.message) == (
        Failure.INTERNAL,
        "the kind sftp needs asyncssh: install thongsuot[sftp]",
    )


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"220 mail.example.vn ESMTP\r\n" * 2000, Failure.PROTOCOL),
        (b"x" * 100_000, Failure.PROTOCOL),
        (b"SSH-1.5-old\r\n", Failure.PROTOCOL),
        (b"SSH-2.0-x\r\n" + b"\xff" * 100, Failure.PROTOCOL),
        (b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 10, Failure.PROTOCOL),
        (b"", Failure.CONNECTION_CLOSED),
        (b"SSH-2.0-x\r\n", Failure.CONNECTION_CLOSED),
    ],
)
async def test_peers_that_are_no_ssh_server(said, failure):
    async with serve(saying(said, then_close=failure is Failure.CONNECTION_CLOSED)) as port:
        result = await run_once(prepare("sftp", f"127.0.0.1:{port}", ANYBODY, 10.0), "test")
    assert result.failure is failure
    assert result.message.isprintable()
    assert len(result.message) <= 300


async def test_a_closed_port_refuses():
    found = await measure("sftp", f"127.0.0.1:{refusing_port()}", **ANYBODY)
    assert found.failure is Failure.CONNECT_REFUSED


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({**ANYBODY, "verify": True}, "name the server's key"),
        ({**ANYBODY, "key_file": "k"}, "one of the two"),
        ({"username": "a", "verify": False}, "one of the two"),
        ({**ANYBODY, "max_age": "1h"}, "of a path: name it"),
        ({**ANYBODY, "host_keys": ["MD5:aa"]}, "is not a fingerprint"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        SftpParams(address="h:22", **parameters)


def test_the_password_is_not_shown():
    params = SftpParams(address="h:22", **{**ANYBODY, "password": "hunter2"})
    assert "hunter2" not in repr(params) + repr(params.login)


async def test_without_a_user_it_is_the_servers_greeting_that_counts(sshd):
    found = await measure("sftp", f"{sshd.host}:{sshd.port}")
    assert (found.failure, found.message) == (None, "")
    assert found.samples["greeting_s"] > 0
    assert found.facts["software"].startswith("SSH-2.0-OpenSSH_")


@pytest.mark.parametrize(
    ("said", "failure", "message"),
    [
        (b"welcome\r\nSSH-1.99-old\n", None, ""),
        (b"SSH-1.5-older\r\n", Failure.PROTOCOL, "this is not SSH 2: 'SSH-1.5-older'"),
        (b"220 mail.example.vn ESMTP\r\n", Failure.PROTOCOL, "this is not SSH 2: '220 mail.example.vn ESMTP'"),
        (b"x" * 20_000, Failure.PROTOCOL, "the server's line has more than 4096 bytes"),
        (b"", Failure.CONNECTION_CLOSED, "the server closed the connection in greeting"),
    ],
)
async def test_greetings_without_a_user(said, failure, message):
    async with serve(saying(said, then_close=not said)) as port:
        found = await measure("sftp", f"127.0.0.1:{port}", timeout_s=1.0)
    assert (found.failure, found.message) == (failure, message)


@pytest.mark.parametrize("name", ["password", "key_file", "path", "known_hosts_file"])
def test_what_is_for_those_who_log_in_needs_a_user(name):
    with pytest.raises(ValidationError, match=f"{name} is for those who log in: name username"):
        SftpParams(address="127.0.0.1:22", **{name: "x"})
