"""The kind `tls`, TLS over memory, and connecting."""

import asyncio
import socket
import ssl

import pytest

from probes.connection import Connection, connect
from probes.failures import TroubleError
from probes.kinds.tls import PROBE, TlsParams
from probes.model import Failure
from probes.ocsp import OCSP_FACTS, OCSP_SAMPLES
from probes.resolver import Address
from probes.tls import TlsSession, Trust, context_for, peer_certificate, sni_name
from tests.probes.http_servers import check_tls, context, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]


async def test_every_sample_that_is_documented_is_measured_and_no_other(authority):
    async with serve(reply(200), authority.server()) as server:
        found = await check_tls(server.address, ca_file=authority.file)
    assert found.failure is None
    assert set(found.samples) == set(PROBE.samples) - set(OCSP_SAMPLES)
    assert found.samples["tls_version"] == 1.3
    assert found.samples["cert_chain_length"] == 2
    assert set(dict(found.facts)) == set(PROBE.facts) - set(OCSP_FACTS)


async def test_the_version_that_was_agreed_on_is_measured(authority):
    old = authority.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve(reply(200), old) as server:
        found = await check_tls(server.address, ca_file=authority.file)
    assert found.samples["tls_version"] == 1.2
    assert found.facts["tls.version"] == "TLSv1.2"


async def test_the_name_is_asked_for_by_sni(authority):
    asked = []
    served = authority.server("cong.example.vn")
    served.sni_callback = lambda _object, name, _context: asked.append(name)
    async with serve(reply(200), served) as server:
        found = await check_tls(server.address, ca_file=authority.file, server_name="cong.example.vn")
    assert found.failure is None
    assert asked == ["cong.example.vn"]


GARBAGE = {
    "plain text": b"220 mail.example.vn ESMTP\r\n",
    "zeros": bytes(100),
    "no cipher in common": b"\x15\x03\x03\x00\x02\x02\x28",
    "no version in common": b"\x15\x03\x01\x00\x02\x02\x46",
    "a record too long": b"\x16\x03\x03\xff\xff" + bytes(70_000),
    "a handshake of nonsense": b"\x16\x03\x03\x00\x10" + b"\x02" + bytes(15),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_fails_the_handshake(answer):
    async def script(_request, reader, writer):
        await reader.read(1)
        writer.write(answer)
        await reader.read()

    async with serve(script, reads=False) as server:
        found = await check_tls(server.address)
    assert found.failure is Failure.TLS_HANDSHAKE
    assert found.message.isprintable()


async def test_a_certificate_that_no_strict_parser_takes_shows_no_date():
    assert peer_certificate([b"not a certificate"]) is None
    assert peer_certificate([]) is None


async def test_the_alert_that_says_why_reaches_the_peer(authority):
    """A peer that is turned down can read why in its log."""
    seen = asyncio.get_running_loop().create_future()

    async def record(reader, writer):
        try:
            await writer.start_tls(authority.server())
            await reader.read()
        except ssl.SSLError as error:
            seen.set_result(error.reason)
        writer.transport.abort()

    listener = await asyncio.start_server(record, "127.0.0.1", 0)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    found = await check_tls("{}:{}".format(*listener.sockets[0].getsockname()))
    assert found.failure is Failure.TLS_UNTRUSTED
    async with asyncio.timeout(5):
        assert "UNKNOWN_CA" in await seen
    listener.close()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ldap.example.vn", "ldap.example.vn:443"),
        ("ldap.example.vn:636", "ldap.example.vn:636"),
        ("[::1]:636", "[::1]:636"),
        ("::1", "[::1]:443"),
    ],
)
def test_the_port_of_an_address_is_443_unless_it_is_named(address, shown):
    assert TlsParams(address=address).address == shown


@pytest.mark.parametrize(
    ("host", "name"),
    [("cong.example.vn.", "cong.example.vn"), ("fe80::1%eth0", "fe80::1"), ("127.0.0.1", "127.0.0.1")],
)
def test_the_name_to_verify(host, name):
    assert sni_name(host) == name


@pytest.mark.parametrize("name", ["x" * 70 + ".vn", "a..b", ".a"])
async def test_a_name_that_no_certificate_can_be_for_is_refused(name):
    async with context() as ctx:
        with pytest.raises(TroubleError) as caught:
            TlsSession(context_for(Trust(verify=False), ctx), name)
    assert caught.value.failure is Failure.TLS_NAME


async def test_the_context_is_made_once(authority):
    async with context() as ctx:
        trust = Trust(ca_file=str(authority.file))
        assert context_for(trust, ctx) is context_for(trust, ctx)
        assert context_for(trust, ctx) is not context_for(Trust(verify=False), ctx)


class Greeter(Connection):
    def ready(self):
        self.finish()


async def test_a_dead_address_leaves_time_for_a_living_one(full_backlog):
    host, _, port = full_backlog.partition(":")
    alive = socket.create_server(("127.0.0.2", int(port)))
    addresses = [Address(host, socket.AF_INET), Address("127.0.0.2", socket.AF_INET)]
    with alive:
        async with context(0.6) as ctx, asyncio.timeout_at(ctx.deadline):
            made = await connect(addresses, int(port), lambda: Greeter(ctx.phases), ctx)
            await made.done
            made.close()
    assert 0.25 < ctx.phases.samples.get("connect_s", 0.6) <= 0.6


async def test_of_several_dead_addresses_the_last_one_s_trouble_is_told(unused_tcp_port):
    addresses = [Address("127.0.0.3", socket.AF_INET), Address("127.0.0.2", socket.AF_INET)]
    async with context() as ctx:
        with pytest.raises(ConnectionRefusedError):
            await connect(addresses, unused_tcp_port, lambda: Greeter(ctx.phases), ctx)
