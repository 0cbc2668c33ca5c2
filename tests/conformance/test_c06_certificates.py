"""C6. Self-signed: down without the CA, up with it. Expired: with its date. Wrong name: named so."""

import ssl
import time

import pytest

from probes.model import Failure
from tests.probes.http_servers import WELL_PAST, Authority, check, check_tls, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

KINDS = pytest.mark.parametrize("kind", ["http", "tls"])


async def probe(kind, server, **params):
    if kind == "http":
        return await check(server.url, **params)
    return await check_tls(server.address, **params)


def seconds_since_it_ended():
    return time.time() - WELL_PAST.timestamp()


@KINDS
async def test_c6_an_authority_nobody_knows_is_untrusted_and_fine_once_it_is_known(kind, authority):
    async with serve(reply(200), authority.server()) as server:
        unknown = await probe(kind, server)
        known = await probe(kind, server, ca_file=authority.file)
    assert unknown.failure is Failure.TLS_UNTRUSTED
    assert "trustme" in unknown.message
    assert unknown.samples["cert_expires_s"] > 0
    assert known.failure is None
    assert known.facts["tls.version"] == "TLSv1.3"


@KINDS
async def test_c6_self_signed_is_untrusted_without_it_and_fine_with_it(kind, self_signed):
    async with serve(reply(200), self_signed.context) as server:
        without = await probe(kind, server)
        with_it = await probe(kind, server, ca_file=self_signed.file)
    assert without.failure is Failure.TLS_UNTRUSTED
    assert "self-signed certificate" in without.message
    assert with_it.failure is None


@KINDS
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_c6_expired_is_down_with_its_date(kind, newest, authority):
    context = authority.expired()
    context.maximum_version = newest
    async with serve(reply(200), context) as server:
        found = await probe(kind, server, ca_file=authority.file)
    assert found.failure is Failure.TLS_EXPIRED
    assert found.message == "certificate has expired (on 2020-01-02 03:04:05 UTC)"
    assert found.samples["cert_expires_s"] == pytest.approx(-seconds_since_it_ended(), abs=5)
    assert found.facts["cert.not_after"] == WELL_PAST
    assert found.facts["cert.expires_in"].total_seconds() < 0


@KINDS
async def test_c6_not_valid_yet_is_told_from_expired(kind, authority):
    context = authority.server(not_before=WELL_PAST.replace(year=2125), not_after=WELL_PAST.replace(year=2126))
    async with serve(reply(200), context) as server:
        found = await probe(kind, server, ca_file=authority.file)
    assert found.failure is Failure.TLS_EXPIRED
    assert "valid from 2125-01-02" in found.message


@KINDS
async def test_c6_a_certificate_for_another_name_says_which(kind, authority):
    async with serve(reply(200), authority.server("kho.example.vn", "cong.example.vn")) as server:
        found = await probe(kind, server, ca_file=authority.file)
        renamed = await probe(kind, server, ca_file=authority.file, server_name="cong.example.vn")
    assert found.failure is Failure.TLS_NAME
    assert "127.0.0.1" in found.message
    assert "kho.example.vn" in found.message
    assert renamed.failure is None


@KINDS
async def test_c6_unverified_still_measures_the_expiry(kind, authority):
    async with serve(reply(200), authority.expired()) as server:
        found = await probe(kind, server, verify=False)
    assert found.failure is None
    assert found.samples["cert_expires_s"] == pytest.approx(-seconds_since_it_ended(), abs=5)


@KINDS
async def test_c6_an_intermediate_in_the_chain_verifies(kind, authority):
    async with serve(reply(200), authority.through_intermediate()) as server:
        found = await probe(kind, server, ca_file=authority.file)
    assert found.failure is None
    if kind == "tls":
        assert found.samples["cert_chain_length"] == 3


async def test_c6_a_renewed_file_of_authorities_counts_at_once(authority, tmp_path):
    file = tmp_path / "roots.pem"
    (tmp_path / "other").mkdir()
    file.write_bytes(Authority(tmp_path / "other").file.read_bytes())
    from tests.probes.http_servers import context, http

    async with serve(reply(200), authority.server()) as server, context() as ctx:
        params = http.HttpParams(url=server.url, ca_file=file)
        before = await http.run(params, ctx)
        file.write_bytes(authority.file.read_bytes())
        after = await http.run(params, ctx)
    assert before.failure is Failure.TLS_UNTRUSTED
    assert after.failure is None


@KINDS
@pytest.mark.parametrize("content", [None, "no certificate here"])
async def test_c6_a_file_of_authorities_that_cannot_be_used_is_our_own_trouble(kind, content, authority, tmp_path):
    file = tmp_path / "roots.pem"
    if content:
        file.write_text(content)
    async with serve(reply(200), authority.server()) as server:
        found = await probe(kind, server, ca_file=file)
    assert found.failure is Failure.INTERNAL
    assert str(file) in found.message
