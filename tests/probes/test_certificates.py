"""The chain as facts, our own certificate, and what is missing in a chain."""

import pytest

from probes.conditions import compile_condition
from probes.kinds.http import PROBE
from probes.model import Failure
from tests.probes.http_programs import openssl_server
from tests.probes.http_servers import check, check_tls, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]


async def test_the_whole_chain_is_described(authority):
    async with serve(reply(200), authority.through_intermediate()) as server:
        found = await check(server.url, ca_file=authority.file)
    assert found.samples["cert_chain_length"] == 3
    own, intermediate, root = found.facts["certs"]
    assert own["issuer"] == intermediate["subject"]
    assert intermediate["issuer"] == root["subject"] == root["issuer"]
    assert own["names"] == ["127.0.0.1"]
    assert own["key"] == "EC secp256r1 256"
    assert own["signature"] == "sha256"
    assert int(own["serial"], 16) > 0
    assert own["expires_s"] > 0


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("certs.exists(c, c.signature == 'sha1')", False),
        ("certs.all(c, c.expires_s > 0)", True),
        ("timestamp(certs[0].not_after) > timestamp('2020-01-01T00:00:00Z')", True),
        ("cert_chain_length != 3", False),
    ],
)
async def test_conditions_reach_into_the_chain(authority, source, holds):
    async with serve(reply(200), authority.through_intermediate()) as server:
        found = await check(server.url, ca_file=authority.file)
    assert compile_condition(source, PROBE).holds(found, 0.1)[0] is holds


@pytest.mark.parametrize("probe", ["http", "tls"])
async def test_a_missing_intermediate_is_told_as_such(authority, tmp_path, probe):
    async with serve(reply(200), authority.without_intermediate(tmp_path)) as server:
        run = check(server.url, ca_file=authority.file) if probe == "http" else None
        found = await (run or check_tls(server.address, ca_file=authority.file))
    assert found.failure is Failure.TLS_UNTRUSTED
    assert "an intermediate may be missing" in found.message


async def test_an_authority_that_is_not_known_is_no_missing_intermediate(self_signed, authority):
    async with serve(reply(200), self_signed.context) as server:
        found = await check(server.url, ca_file=authority.file)
    assert found.failure is Failure.TLS_UNTRUSTED
    assert "intermediate" not in found.message


@pytest.fixture(scope="module", params=["tls1_2", "tls1_3"])
def strict(authority, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("strict")
    with openssl_server(*authority.files(folder), authority.file, request.param) as port:
        yield f"https://127.0.0.1:{port}/"


async def test_our_certificate_is_shown_to_a_server_that_asks(strict, authority, tmp_path):
    found = await check(strict, ca_file=authority.file, client_cert_file=authority.client(tmp_path))
    assert found.failure is None


async def test_a_server_that_wants_our_certificate_in_vain_says_so(strict, authority):
    found = await check(strict, ca_file=authority.file)
    assert found.failure is Failure.TLS_HANDSHAKE
    assert "alert" in found.message


async def test_our_own_expired_certificate_is_told_with_its_date(strict, authority, tmp_path):
    own = authority.client(tmp_path, expired=True)
    found = await check(strict, ca_file=authority.file, client_cert_file=own)
    assert found.failure is Failure.TLS_HANDSHAKE
    assert "certificate expired" in found.message
    assert "it expired on 2020-01-02 03:04:05 UTC" in found.message


async def test_a_certificate_of_another_authority_is_turned_down(strict, authority, self_signed):
    own, key = self_signed.file, self_signed.file.with_name("key.pem")
    found = await check(strict, ca_file=authority.file, client_cert_file=own, client_key_file=key)
    assert found.failure is Failure.TLS_HANDSHAKE
    assert "the peer turned our certificate down (alert: unknown ca)" in found.message


async def test_files_of_our_own_that_cannot_be_used_are_our_own_trouble(authority, self_signed, tmp_path):
    async with serve(reply(200), authority.server()) as server:
        for files in (
            {"client_cert_file": tmp_path / "none.pem"},
            {"client_cert_file": authority.file},
            {"client_cert_file": authority.client(tmp_path), "client_key_file": self_signed.file.with_name("key.pem")},
        ):
            found = await check(server.url, ca_file=authority.file, **files)
            assert found.failure is Failure.INTERNAL
            assert str(files["client_cert_file"]) in found.message
