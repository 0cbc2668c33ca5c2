"""C11: a TCP dialogue with a banner, STARTTLS in the middle, and the upgraded certificate's expiry recorded."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import saying, serve, silent

SMTP = [
    {"expect": "^220 ([^ ]+) ESMTP"},
    {"send": "EHLO prober"},
    {"expect": "^250[ -]STARTTLS"},
    {"send": "STARTTLS"},
    {"expect": "^220 "},
    {"starttls": True},
    {"send": "EHLO prober"},
    {"expect": "^250[ -]AUTH"},
    {"send": "QUIT"},
]


def mail_server(tls: ssl.SSLContext):
    async def handler(reader, writer):
        writer.write(b"220 mail.example.vn ESMTP\r\n")
        assert await reader.readline() == b"EHLO prober\r\n"
        writer.write(b"250-mail.example.vn\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 ready\r\n")
        await writer.drain()
        await writer.start_tls(tls)
        assert await reader.readline() == b"EHLO prober\r\n"
        writer.write(b"250-mail.example.vn\r\n250 AUTH PLAIN\r\n")
        await silent(reader, writer)

    return handler


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


async def test_c11_the_upgraded_certificates_expiry_is_recorded(authority, tmp_path):
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=expires).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    parameters = {"dialogue": SMTP, "ca_file": str(tmp_path / "ca.pem")}
    async with serve(mail_server(context)) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", parameters), "test")
        soon = {**parameters, "degraded_when": ["cert.expires_in < duration('720h')"]}
        warned = await run_once(prepare("tcp", f"127.0.0.1:{port}", soon), "test")
    assert (result.state, result.message) == (State.UP, "")
    known = result.at_ms / 1000 + result.duration_s
    assert result.samples["cert_expires_s"] == pytest.approx(expires.timestamp() - known, abs=2.0)
    assert {"connect_s", "dialogue_s", "tls_s"} < set(result.samples)
    assert warned.state is State.DEGRADED
    assert warned.message == "cert.expires_in < duration('720h') (cert.expires_in = 480h)"


EHLO = [*SMTP[:5], {"starttls": True}]
REPLIES = pytest.mark.parametrize(
    "reply",
    [
        b"250-mail.example.vn\r\n250-STARTTLS\r\n250-SIZE 100\r\n250 OK\r\n",
        b"250-STARTTLS\r\n250 SMTPUTF8\r\n",
        b"250-STARTTLS\r\n250\r\n",
    ],
)


@REPLIES
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_c11_starttls_need_not_be_the_last_line_of_its_reply(reply, in_pieces, authority, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def handler(reader, writer):
        writer.write(b"220 mail.example.vn ESMTP\r\n")
        await reader.readline()
        for piece in reply.splitlines(keepends=True) if in_pieces else [reply]:
            writer.write(piece)
            await asyncio.sleep(0.01)
        await reader.readline()
        writer.write(b"220 ready\r\n")
        await writer.drain()
        await writer.start_tls(context)
        await silent(reader, writer)

    async with serve(handler) as port:
        parameters = {"dialogue": EHLO, "ca_file": str(tmp_path / "ca.pem")}
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", parameters), "test")
    assert (result.state, result.message) == (State.UP, "")
    assert result.samples["cert_expires_s"] > 0


@REPLIES
async def test_c11_after_the_rest_of_a_reply_the_next_one_counts(reply):
    async def handler(reader, writer):
        writer.write(b"220 mail.example.vn ESMTP\r\n")
        await reader.readline()
        writer.write(reply)
        await reader.readline()
        writer.write(b"454 TLS not available\r\n")
        await silent(reader, writer)

    async with serve(handler) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", {"dialogue": EHLO}), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.PROTOCOL)
    assert result.message == "expected '^220 ', read '454 TLS not available'"


async def test_c11_an_error_line_instead_of_the_banner():
    async with serve(saying(b"554 5.3.2 mail.example.vn not accepting messages\r\n")) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", {"dialogue": SMTP}), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.PROTOCOL)
    assert result.message == ("expected '^220 ([^ ]+) ESMTP', read '554 5.3.2 mail.example.vn not accepting messages'")


async def test_c11_an_error_line_instead_of_starttls():
    async def handler(reader, writer):
        writer.write(b"220 mail.example.vn ESMTP\r\n")
        await reader.readline()
        writer.write(b"250-mail.example.vn\r\n250 PIPELINING\r\n")
        await silent(reader, writer)

    async with serve(handler) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", {"dialogue": SMTP}), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.PROTOCOL)
    assert result.message == "expected '^250[ -]STARTTLS', read '250-mail.example.vn 250 PIPELINING'"
