"""C10 for the kind `sftp`: a server that falls silent ends in `timeout` naming the phase, and leaves nothing open."""

import asyncio

import asyncssh
import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, saying, serve, silent
from tests.probes.test_sftp import ANYBODY

TIMEOUT_S = 0.6


@pytest.mark.parametrize("handler", [silent, saying(b"SSH-2.0-x\r\n"), saying(b"SSH-2.0")])
async def test_c10_a_server_that_falls_silent(handler):
    async with serve(handler) as port:
        result = await run_once(prepare("sftp", f"127.0.0.1:{port}", ANYBODY, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in handshake"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Anybody(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username):
        return username == "waits"

    def password_auth_supported(self):
        return True

    async def validate_password(self, username, password):
        await asyncio.Event().wait()


class NeverListing(asyncssh.SFTPServer):
    """Begins to list a directory and never goes on, nor closes it."""

    async def scandir(self, path):
        await asyncio.Event().wait()
        yield

    def stat(self, path):
        return asyncssh.SFTPAttrs(permissions=0o040755)


class Mute(asyncssh.SSHServerSession):
    """Takes the request for SFTP and never speaks it."""

    def subsystem_requested(self, subsystem):
        return True


class MuteServer(Anybody):
    """Lets everybody in to be ignored."""

    def session_requested(self):
        return Mute()


@pytest.mark.parametrize(
    ("options", "parameters", "phase"),
    [
        ({}, {"username": "waits"}, "login"),
        ({"server_factory": MuteServer}, {}, "open"),
        ({"sftp_factory": NeverListing}, {"path": "/"}, "list"),
    ],
)
async def test_c10_a_server_that_falls_silent_after_its_key(options, parameters, phase):
    keys = [asyncssh.generate_private_key("ssh-ed25519")]
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=keys, **{"server_factory": Anybody, **options})
    async with server:
        job = prepare("sftp", f"127.0.0.1:{server.get_port()}", {**ANYBODY, **parameters}, TIMEOUT_S)
        result = await run_once(job, "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in {phase}"
    assert TIMEOUT_S <= result.duration_s < TIMEOUT_S + SLACK_S
    assert result.samples[f"{phase}_s"] > 0.2 * TIMEOUT_S
