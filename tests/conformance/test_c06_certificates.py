"""C6. Self-signed: down without the CA, up with it. Expired: with its date. Wrong name: named so."""

import datetime
import ipaddress
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


def signed(name, issuer, key, signer, ends, *extensions):
    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    begins = WELL_PAST - datetime.timedelta(days=90)
    builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), 7, begins, ends)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def below_an_expired_root(folder):
    """Return a context whose own certificate is in order, and the file of its root, which has expired."""
    key, root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
    own = signed("may-chu", "goc", key, root_key, ends, here)
    plain = serialization.NoEncryption()
    own += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "own.pem").write_bytes(own)
    authority = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "root.pem").write_bytes(signed("goc", "goc", root_key, root_key, WELL_PAST, authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context, folder / "root.pem"


@KINDS
async def test_c6_an_expired_authority_that_was_not_sent_gives_no_date_of_another(kind, tmp_path):
    context, root = below_an_expired_root(tmp_path)
    async with serve(reply(200), context) as server:
        found = await probe(kind, server, ca_file=root)
    assert found.failure is Failure.TLS_EXPIRED
    assert found.message == "certificate has expired (an authority's own, which the peer did not send)"


@KINDS
@pytest.mark.parametrize("content", ["", "no PEM at all\n"])
async def test_c6_a_file_without_authorities_says_nothing_of_the_peer(kind, content, tmp_path, authority):
    (tmp_path / "ca.pem").write_text(content)
    async with serve(reply(200), authority.server()) as server:
        found = await probe(kind, server, ca_file=tmp_path / "ca.pem")
    assert found.failure is Failure.INTERNAL
    assert found.message == f"ca_file {tmp_path / 'ca.pem'} cannot be used: it holds no certificates in PEM"
