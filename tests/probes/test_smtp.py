"""The kind `smtp`, against aiosmtpd and against servers whose every octet the test decides."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop
from aiosmtpd.smtp import SMTP, AuthResult
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.kinds.smtp import SmtpParams
from probes.model import Failure
from tests.probes.tcp_servers import measure, saying, serve, silent

SECRET = "m\u1eadt-kh\u1ea9u"
LOGIN = {"username": "giamsat", "password": SECRET}


class Mailbox:
    """What the real server was asked for."""

    def __init__(self):
        self.recipients, self.messages, self.quits, self.names = [], [], 0, []

    async def handle_EHLO(self, server, session, envelope, hostname, responses):  # noqa: N802 - aiosmtpd's name
        self.names.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if not address.endswith("@example.vn"):
            return "550 5.1.1 no such user"
        self.recipients.append((envelope.mail_from, address))
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.messages.append(envelope)
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802
        self.quits += 1
        return "221 Bye"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == LOGIN["username"].encode() and data.password == SECRET.encode()
    return AuthResult(success=good, handled=good)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("smtp") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@asynccontextmanager
async def real(mailbox, *, tls=None, **options):
    """Serve aiosmtpd on a free port and yield the port."""
    loop = asyncio.get_running_loop()
    ready = []

    def make():
        ready.append(SMTP(mailbox, hostname="mx.example.vn", loop=loop, **options))
        return ready[-1]

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in ready:
            if one.transport is not None:
                one.transport.abort()
            if one._handler_coroutine is not None:
                one._handler_coroutine.cancel()
                await asyncio.gather(one._handler_coroutine, return_exceptions=True)


async def test_a_plain_server_is_up_with_its_phases_and_what_it_can_do():
    mailbox = Mailbox()
    async with real(mailbox, data_size_limit=12_345_678) as port:
        found = await measure("smtp", f"127.0.0.1:{port}")
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == {"resolve_s", "connect_s", "greeting_s", "ehlo_s", "size_max_bytes"}
    assert found.samples["size_max_bytes"] == 12_345_678
    assert found.facts["banner"].startswith("mx.example.vn ")
    assert "SIZE" in found.facts["extensions"]
    assert found.facts["tls_version"] == ""
    assert mailbox.names == ["[127.0.0.1]"]
    assert mailbox.quits == 1


async def test_starttls_then_login_then_the_envelope_and_no_message(server_tls, ca_file):
    mailbox = Mailbox()
    options = {"tls_context": server_tls, "require_starttls": True, "authenticator": authenticate}
    asked = {**LOGIN, "tls": "starttls", "ca_file": ca_file, "mail_from": "a@example.vn", "rcpt_to": "b@example.vn"}
    async with real(mailbox, auth_required=True, **options) as port:
        found = await measure("smtp", f"127.0.0.1:{port}", timeout_s=10.0, **asked)
    assert (found.failure, found.message) == (None, "")
    assert {"tls_s", "login_s", "envelope_s", "cert_expires_s"} <= set(found.samples)
    assert found.facts["tls_version"].startswith("TLSv1.")
    assert "PLAIN" in found.facts["auth"]
    assert found.facts["cert.expires_in"].total_seconds() > 0
    assert mailbox.recipients == [("a@example.vn", "b@example.vn")]
    assert mailbox.messages == []
    assert mailbox.quits == 1


async def test_implicit_tls_and_auth_login(server_tls, ca_file):
    mailbox = Mailbox()
    options = {"authenticator": authenticate, "auth_require_tls": False, "auth_exclude_mechanism": ["PLAIN"]}
    asked = {**LOGIN, "tls": "implicit", "ca_file": ca_file}
    async with real(mailbox, tls=server_tls, **options) as port:
        address = f"127.0.0.1:{port}"
        found = await measure("smtp", address, timeout_s=10.0, **asked)
        wrong = await measure("smtp", address, timeout_s=10.0, **{**asked, "password": "sai"})
        untrusted = await measure("smtp", address, timeout_s=10.0, tls="implicit")
        anyone = await measure("smtp", address, timeout_s=10.0, tls="implicit", verify=False)
    assert (found.failure, found.message) == (None, "")
    assert found.facts["auth"] == ["LOGIN"]
    assert wrong.failure is Failure.AUTH_REJECTED
    assert wrong.message.startswith("AUTH: 535 ")
    assert untrusted.failure is Failure.TLS_UNTRUSTED
    assert untrusted.samples["cert_expires_s"] > 0
    assert anyone.failure is None


async def test_a_wrong_password_is_rejected_and_never_shown(server_tls):
    options = {"tls_context": server_tls, "authenticator": authenticate}
    asked = {"username": "giamsat", "password": "hunter2-hunter2", "verify": False}
    async with real(Mailbox(), **options) as port:
        found = await measure("smtp", f"127.0.0.1:{port}", timeout_s=10.0, **asked)
    assert found.failure is Failure.AUTH_REJECTED
    assert "hunter2" not in found.message
    assert "hunter2" not in repr(SmtpParams(address="h:25", **asked))


async def test_a_refused_recipient_and_a_login_that_is_asked_for(server_tls):
    async with real(Mailbox()) as port:
        refused = await measure("smtp", f"127.0.0.1:{port}", rcpt_to="ai@example.com")
    async with real(Mailbox(), tls_context=server_tls, authenticator=authenticate, auth_required=True) as port:
        asked = await measure("smtp", f"127.0.0.1:{port}", verify=False, rcpt_to="b@example.vn")
    assert refused.failure is Failure.QUERY_FAILED
    assert refused.message == "RCPT TO:<ai@example.com>: 550 5.1.1 no such user"
    assert asked.failure is Failure.AUTH_REJECTED
    assert "530" in asked.message


async def test_a_server_without_starttls_where_tls_is_wanted():
    async with real(Mailbox()) as port:
        insisted = await measure("smtp", f"127.0.0.1:{port}", tls="starttls")
        to_log_in = await measure("smtp", f"127.0.0.1:{port}", **LOGIN)
    assert (insisted.failure, insisted.message) == (Failure.TLS_REQUIRED, "the server offers no STARTTLS")
    assert to_log_in.failure is Failure.TLS_REQUIRED


async def test_conditions_look_at_extensions_and_certificate(server_tls):
    async with real(Mailbox(), tls_context=server_tls) as port:
        conditions = ["tls_version == ''", "!('SIZE' in extensions) || cert.expires_in < duration('1h')"]
        parameters = {"verify": False, "down_when": conditions}
        up = await run_once(prepare("smtp", f"127.0.0.1:{port}", parameters, 10.0), "test")
        parameters = {"verify": False, "down_when": "size_max_bytes < 1e12"}
        down = await run_once(prepare("smtp", f"127.0.0.1:{port}", parameters, 10.0), "test")
    assert (up.state, up.message) == (State.UP, "")
    assert (down.state, down.failure) == (State.DOWN, Failure.CONDITION)
    assert "size_max_bytes" in down.message


def talking(*lines, greeting=b"220 mx\r\n"):
    """Return a handler that greets, answers each command with the next of the lines, and stays."""

    async def handler(reader, writer):
        writer.write(greeting)
        for line in lines:
            await reader.readline()
            writer.write(line)
        await silent(reader, writer)

    return handler


@pytest.mark.parametrize(
    ("handler", "failure", "message"),
    [
        (saying(b"554 no service for you\r\n"), Failure.QUERY_FAILED, "the greeting: 554 no service for you"),
        (saying(b"421-busy\r\n421 later\r\n"), Failure.QUERY_FAILED, "the greeting: 421 busy later"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), Failure.PROTOCOL, "this is not SMTP: 'SSH-2.0-OpenSSH_9.2'"),
        (saying(b"220-a\r\n250 b\r\n"), Failure.PROTOCOL, "this is not SMTP: '250 b'"),
        (saying(b"220-a\r\n" * 10_000), Failure.PROTOCOL, "the server's reply has more than 100 lines"),
        (saying(b"2" * 300_000), Failure.PROTOCOL, "the server's line has more than 4096 bytes"),
        (saying(b"220-\xff\x00\x1b[2J\r\n\r\n"), Failure.PROTOCOL, "this is not SMTP: ''"),
        (saying(b"", then_close=True), Failure.CONNECTION_CLOSED, "the server closed the connection in greeting"),
        (talking(b"550 go away\r\n"), Failure.QUERY_FAILED, "EHLO: 550 go away"),
        (talking(b"250-mx\r\n250 STARTTLS\r\n", b"454 not now\r\n"), Failure.TLS_REQUIRED, "STARTTLS: 454 not now"),
        (
            talking(b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"),
            Failure.PROTOCOL,
            "the server, or somebody in between, sent text before TLS began",
        ),
    ],
)
async def test_servers_that_turn_us_away_or_are_none(handler, failure, message):
    async with serve(handler) as port:
        found = await measure("smtp", f"127.0.0.1:{port}", timeout_s=10.0, verify=False)
    assert (found.failure, found.message) == (failure, message)


async def test_an_old_server_without_ehlo_is_asked_with_helo():
    async with serve(talking(b"502 what?\r\n", b"250 mx\r\n", b"221 bye\r\n")) as port:
        found = await measure("smtp", f"127.0.0.1:{port}")
    assert (found.failure, found.facts["extensions"]) == (None, [])


async def test_a_server_that_says_no_goodbye_is_up():
    async with serve(talking(b"250 mx\r\n")) as port:
        result = await run_once(prepare("smtp", f"127.0.0.1:{port}", {}, 0.5), "test")
    assert result.state is State.UP


async def test_an_echoed_secret_stays_out_of_the_message(server_tls):
    async def echo(reader, writer):
        writer.write(b"220 mx\r\n")
        await reader.readline()
        writer.write(b"250-mx\r\n250 AUTH PLAIN\r\n")
        writer.write(b"535 no " + await reader.readline())
        await silent(reader, writer)

    async with serve(echo, tls=server_tls) as port:
        found = await measure("smtp", f"127.0.0.1:{port}", tls="implicit", verify=False, **LOGIN)
    assert (found.failure, found.message) == (Failure.AUTH_REJECTED, "AUTH: 535 no AUTH PLAIN ***")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"rcpt_to": "a@b>\r\nDATA"}, "is not a mailbox"),
        ({"rcpt_to": "a b@c"}, "is not a mailbox"),
        ({"mail_from": "nobody"}, "is not a mailbox"),
        ({"tls": "none", **LOGIN}, "a password is only given under TLS"),
        ({"tls": "yes"}, "prefer"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(ValidationError, match=reason):
        SmtpParams(address="mail.example.vn:25", **parameters)


def test_it_works_on_uvloop_many_at_once():
    async def many():
        async with serve(talking(b"250 mx\r\n", b"221 bye\r\n")) as port:
            return await asyncio.gather(*(measure("smtp", f"127.0.0.1:{port}", timeout_s=20.0) for _ in range(20)))

    assert [found.failure for found in uvloop.run(many())] == [None] * 20
