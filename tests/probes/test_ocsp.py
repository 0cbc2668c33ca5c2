"""Revocation: against a real `openssl ocsp`, and against responders that mean harm."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from probes.conditions import compile_condition
from probes.kinds.http import PROBE, HttpParams
from probes.model import Failure
from tests.postgres import free_port
from tests.probes.http_programs import openssl_responder
from tests.probes.http_servers import check, check_tls, context, http, reply, serve, then_wait

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
PEM, PKCS8, CLEAR = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Ca:
    """An authority whose certificates name a responder."""

    def __init__(self, folder: Path, key=None):
        self.folder = folder
        self.key = key or rsa.generate_private_key(65537, 2048)
        self.certificate = self._sign(named("Goc"), self.key.public_key(), named("Goc"), ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(PEM))
        self.key_file = folder / "ca.key"
        self.key_file.write_bytes(self.key.private_bytes(PEM, PKCS8, CLEAR))

    def _sign(self, subject, public, issuer, *more, ca=False):
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(NOW - DAY).not_valid_after(NOW + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )  # fmt: skip
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, responder=""):
        """Return a certificate for 127.0.0.1 and a server context with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        more = [x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])]
        if responder:
            place = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
            )
            more.append(x509.AuthorityInformationAccess([place]))
        made = self._sign(named("may-chu"), key.public_key(), named("Goc"), *more)
        file = self.folder / f"{made.serial_number:x}.pem"
        file.write_bytes(key.private_bytes(PEM, PKCS8, CLEAR) + made.public_bytes(PEM))
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(file)
        return made, served

    def delegate(self, usage=ExtendedKeyUsageOID.OCSP_SIGNING):
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(named("Tra loi"), key.public_key(), named("Goc"), x509.ExtendedKeyUsage([usage]))
        return made, key

    def answer(self, made, *, status=ocsp.OCSPCertStatus.GOOD, this=NOW, until=NOW + DAY, signer=None, sends=()):
        is_revoked = status is ocsp.OCSPCertStatus.REVOKED
        certificate, key = signer or (self.certificate, self.key)
        builder = ocsp.OCSPResponseBuilder().add_response(
            made, self.certificate, hashes.SHA1(), status, this, until, NOW - DAY if is_revoked else None, None
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        if sends:
            builder = builder.certificates(list(sends))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Ca(tmp_path_factory.mktemp("ocsp"))


@pytest.fixture(scope="module")
def responder(ca):
    """A real responder that knows a good and a revoked certificate."""
    port = free_port()
    made = {name: ca.server(f"http://127.0.0.1:{port}/") for name in ("good", "revoked", "unknown")}

    def line(name, mark, when):
        serial = f"{made[name][0].serial_number:X}"
        serial = serial if len(serial) % 2 == 0 else f"0{serial}"
        return f"{mark}\t301231235959Z\t{when}\t{serial}\tunknown\t/CN=may-chu\n"

    index = ca.folder / "index.txt"
    index.write_text(line("good", "V", "") + line("revoked", "R", "260102030405Z,keyCompromise"))
    with openssl_responder(index, ca.file, ca.key_file, port):
        yield made


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_a_good_certificate_is_up_and_says_until_when(responder, ca, kind):
    async with serve(reply(200), responder["good"][1]) as server:
        run = check(server.url, ca_file=ca.file, ocsp=True) if kind == "http" else None
        found = await (run or check_tls(server.address, ca_file=ca.file, ocsp=True))
    assert (found.failure, found.message) == (None, "")
    assert found.facts["ocsp.status"] == "good"
    assert 0 < found.samples["ocsp_expires_s"] <= 86400 + 300
    assert found.samples["ocsp_s"] > 0
    assert "ocsp.status" in set(found.facts)


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_a_revoked_certificate_is_down_with_date_and_reason(responder, ca, kind):
    async with serve(reply(200), responder["revoked"][1]) as server:
        run = check(server.url, ca_file=ca.file, ocsp=True) if kind == "http" else None
        found = await (run or check_tls(server.address, ca_file=ca.file, ocsp=True))
        unasked = await check(server.url, ca_file=ca.file)
    assert found.failure is Failure.TLS_UNTRUSTED
    assert found.message == "the certificate has been revoked: since 2026-01-02 03:04:05 UTC, keyCompromise"
    assert unasked.failure is None


async def test_an_unknown_certificate_is_for_conditions_to_judge(responder, ca):
    async with serve(reply(200), responder["unknown"][1]) as server:
        found = await check(server.url, ca_file=ca.file, ocsp=True)
    assert found.failure is None
    assert compile_condition("ocsp.status != 'good'", PROBE).holds(found, 0.1)[0]
    assert found.facts["ocsp.status"] == "unknown"


@contextlib.asynccontextmanager
async def answering(ca, make):
    """Serve over TLS with a certificate whose responder answers what `make` makes of it."""
    made = None

    def respond(_request):
        answer = make(made)
        return answer if isinstance(answer, bytes) and answer.startswith(b"HTTP") else reply(200, answer)

    async with serve(respond) as fake:
        made, served = ca.server(fake.url)
        async with serve(reply(200), served) as server:
            yield server, fake


async def test_an_answer_is_kept_and_not_asked_for_again(ca):
    async with answering(ca, ca.answer) as (server, fake), context() as ctx:
        params = HttpParams(url=server.url, ca_file=ca.file, ocsp=True)
        for _ in range(3):
            assert (await http.run(params, ctx)).facts["ocsp.status"] == "good"
        assert len(fake.requests) == 1


async def test_a_delegate_of_the_issuer_may_sign(ca):
    signer = ca.delegate()
    async with answering(ca, lambda made: ca.answer(made, signer=signer, sends=signer[:1])) as (server, _):
        found = await check(server.url, ca_file=ca.file, ocsp=True)
    assert found.facts["ocsp.status"] == "good"


REVOKED = ocsp.OCSPCertStatus.REVOKED


def forged(ca, made):
    other = Ca(ca.folder, key=rsa.generate_private_key(65537, 2048))
    answer = ca.answer(made, status=REVOKED, signer=(other.certificate, other.key), sends=[other.certificate])
    ca.file.write_bytes(ca.certificate.public_bytes(PEM))
    ca.key_file.write_bytes(ca.key.private_bytes(PEM, PKCS8, CLEAR))
    return answer


def misused(ca, made):
    signer = ca.delegate(ExtendedKeyUsageOID.SERVER_AUTH)
    return ca.answer(made, status=REVOKED, signer=signer, sends=signer[:1])


def refusal():
    return ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
        serialization.Encoding.DER
    )


BAD = {
    "another's": (lambda ca, _: ca.answer(ca.server()[0], status=REVOKED), "another certificate"),
    "old": (lambda ca, made: ca.answer(made, this=NOW - 9 * DAY, until=NOW - DAY, status=REVOKED), "held until"),
    "from the future": (lambda ca, made: ca.answer(made, this=NOW + DAY, until=NOW + 2 * DAY), "from the future"),
    "forged": (forged, "not signed by the issuer"),
    "signed by a certificate for something else": (misused, "not signed by the issuer"),
    "a refusal": (lambda _ca, _made: refusal(), "TRY_LATER"),
    "garbage": (lambda _ca, _made: b"\x30\x03abc", "cannot be read"),
    "nothing": (lambda _ca, _made: b"", "cannot be read"),
    "too long": (lambda _ca, _made: b"x" * 70_000, "larger than"),
    "an error": (lambda _ca, _made: reply(500), "status = 500"),
}


@pytest.mark.parametrize(("make", "says"), BAD.values(), ids=BAD.keys())
async def test_an_answer_that_proves_nothing_says_nothing_about_the_service(ca, make, says):
    async with answering(ca, lambda made: make(ca, made)) as (server, _):
        found = await check(server.url, ca_file=ca.file, ocsp=True)
    assert found.failure is None
    assert found.facts["ocsp.status"] == "unavailable"
    assert says in found.facts["ocsp.reason"]


@pytest.mark.parametrize("responder_url", ["", "http://127.0.0.1:1/", "ldap://a/", "http://"])
async def test_a_responder_that_is_not_there_does_no_harm(ca, responder_url):
    async with serve(reply(200), ca.server(responder_url)[1]) as server:
        found = await check(server.url, ca_file=ca.file, ocsp=True)
    assert found.failure is None
    assert found.facts["ocsp.status"] == "unavailable"


async def test_c10_a_silent_responder_ends_within_the_time_out(ca):
    async with (
        serve(then_wait(b"")) as fake,
        serve(reply(200), ca.server(fake.url)[1]) as server,
        context(0.5) as ctx,
    ):
        found = await http.run(HttpParams(url=server.url, ca_file=ca.file, ocsp=True), ctx)
        assert asyncio.get_running_loop().time() < ctx.deadline + 0.1
    assert found.failure is None
    assert found.facts["ocsp.status"] == "unavailable"


def test_asking_without_verifying_has_no_meaning():
    with pytest.raises(ValueError, match="no meaning"):
        HttpParams(url="https://a.vn", ocsp=True, verify=False)
