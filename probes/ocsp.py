"""Whether a certificate has been revoked, asked of the responder that it names itself (OCSP, RFC 6960 and RFC 9654).

Asked once a chain has been verified, in the phase `ocsp`, for the peer's own certificate. The answer has to be signed
by the issuer, or by a certificate that the issuer has made for it (section 4.2.2.2); it is kept for `KEPT_S` or until
its own next update, so that a check every ten seconds does not become a load on an authority's responder.

A responder that does not answer, or not properly, says nothing about the service: that is a status `unavailable`, which
conditions may judge, and no failure. Responses that a server staples to its handshake (RFC 6066, section 8) cannot be
seen: Python's ssl module does not pass them on.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from probes.certificates import PeerCertificate, utc_text
from probes.failures import NETWORK_ERRORS, TroubleError, classify, plain_line
from probes.http_request import Request, web_url
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure
from probes.tcp_stream import last_moment
from probes.tls import Trust

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509 import ocsp

KEY = "probes.ocsp"
"""Where the process keeps answers in `Context.resources`."""

ANSWER_LIMIT = 65536
KEPT_S = 300.0
KEPT_LIMIT = 10_000
"""Answers kept; one for each watched certificate."""

SKEW = timedelta(minutes=5)
"""How far a responder's clock may be from ours."""

OCSP_SAMPLES = {
    "ocsp_s": "time to ask whether the certificate was revoked, seconds; near 0 while an answer is kept",
    "ocsp_expires_s": "time until the end of what the responder said, seconds; negative once it passed",
}
"""What a kind documents that asks."""

OCSP_FACTS = {"ocsp.status": "string", "ocsp.reason": "string"}
"""`ocsp.status`: good, revoked, unknown or unavailable; `ocsp.reason`: why, where there is something to tell."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is known of a certificate.

    Attributes:
        status: good, revoked, unknown or unavailable.
        reason: why, for a person; "" for a good one.
        next_update: until when the answer holds, None where it does not say.

    """

    status: str
    reason: str = ""
    next_update: datetime | None = None

    @property
    def expires_s(self) -> float | None:
        """Seconds until the answer's end."""
        return None if self.next_update is None else self.next_update.timestamp() - datetime.now(UTC).timestamp()

    def trouble(self) -> TroubleError | None:
        """Return the failure that it is: that of a revoked certificate, and no other."""
        if self.status != "revoked":
            return None
        return TroubleError(Failure.TLS_UNTRUSTED, f"the certificate has been revoked: {self.reason}")

    def samples(self) -> dict[str, float]:
        """Return what is counted of it."""
        return {} if self.expires_s is None else {"ocsp_expires_s": self.expires_s}

    def fact(self, name: str) -> str:
        """Return one of OCSP_FACTS."""
        return self.status if name == "ocsp.status" else self.reason


async def ask(certificate: PeerCertificate, ctx: Context) -> Revocation:
    """Return what the responder says of the peer's certificate; of a verified chain."""
    ctx.phases.begin("ocsp")
    kept: dict[bytes, tuple[float, Revocation]] = ctx.resources.get(KEY, dict)
    key = hashlib.sha256(b"".join(_der(each) for each in certificate.chain[:2])).digest()
    now_s = asyncio.get_running_loop().time()
    if key in kept and kept[key][0] > now_s:
        ctx.phases.end()
        return kept[key][1]
    try:
        found = await _ask(certificate, ctx)
    except TimeoutError:
        found = Revocation("unavailable", "the responder does not answer in time")
    except TroubleError as error:
        found = Revocation("unavailable", error.message)
    ctx.phases.end()
    if found.status != "unavailable":
        if len(kept) >= KEPT_LIMIT:
            kept.clear()
        kept[key] = (now_s + min(KEPT_S, KEPT_S if found.expires_s is None else found.expires_s), found)
    return found


async def _ask(certificate: PeerCertificate, ctx: Context) -> Revocation:
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - few checks ask
    from cryptography.x509 import ocsp  # noqa: PLC0415

    if len(certificate.chain) < 2:
        return Revocation("unavailable", "the certificate signs itself: nobody can revoke it")
    own, issuer = certificate.chain[:2]
    url = _responder(own)
    if url is None:
        return Revocation("unavailable", "the certificate names no responder")
    # SHA-1 names the issuer, it protects nothing; every responder knows it (RFC 9654, section 3.1).
    asked = ocsp.OCSPRequestBuilder().add_certificate(own, issuer, hashes.SHA1()).build()  # noqa: S303
    body = asked.public_bytes(serialization.Encoding.DER)
    try:
        request = Request("POST", web_url(url), (("Content-Type", "application/ocsp-request"),), body=body)
    except ValueError as error:
        return Revocation("unavailable", f"the responder's address is none: {error}")
    content = await _fetch(request, ctx)
    try:
        return _read(ocsp.load_der_ocsp_response(content), own, issuer, asked)
    except ValueError:
        return Revocation("unavailable", "the responder's answer cannot be read")


async def _fetch(request: Request, ctx: Context) -> bytes:
    """Return a responder's answer. Raises TroubleError, TimeoutError."""
    rules = Rules(True, 3, ANSWER_LIMIT, Trust(), "", None)
    moment = last_moment(ctx)
    aside = Context(ctx.timeout_s, moment, ctx.resources)
    visit = Visit(request, rules, aside)
    try:
        async with asyncio.timeout_at(moment):
            await visit.go()
    except TimeoutError:
        raise
    except (*NETWORK_ERRORS,) as error:
        message = f"the responder: {classify(error, aside.phases.current)[1]}"
        raise TroubleError(Failure.INTERNAL, plain_line(message)) from None
    status = visit.head.status if visit.head is not None else 0
    if status != 200:
        raise TroubleError(Failure.INTERNAL, f"the responder: status = {status}")
    return (visit.exchange.content if visit.exchange is not None else None) or b""


def _read(
    answer: ocsp.OCSPResponse, own: x509.Certificate, issuer: x509.Certificate, asked: ocsp.OCSPRequest
) -> Revocation:
    """Return what an answer says, once it is known to be about this certificate, in force, and the issuer's."""
    from cryptography.x509 import ocsp  # noqa: PLC0415 - as in _ask

    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return Revocation("unavailable", f"the responder refuses: {answer.response_status.name}")
    single = next((each for each in answer.responses if _is_about(each, own, asked)), None)
    reason = "the answer is about another certificate"
    if single is not None:
        reason = _out_of_force(single) if _is_signed(answer, issuer) else "the answer is not signed by the issuer"
    if single is None or reason:
        return Revocation("unavailable", reason, single.next_update_utc if single is not None else None)
    status, until = single.certificate_status, single.next_update_utc
    if status is ocsp.OCSPCertStatus.REVOKED:
        since = single.revocation_time_utc
        why = f", {single.revocation_reason.value}" if single.revocation_reason is not None else ""
        return Revocation("revoked", f"since {utc_text(since) if since is not None else 'an unknown time'}{why}", until)
    is_good = status is ocsp.OCSPCertStatus.GOOD
    return Revocation("good", "", until) if is_good else Revocation("unknown", "the responder does not know it", until)


def _out_of_force(single: Any) -> str:
    """Say why an answer does not hold now (RFC 6960, section 4.2.2.1), "" when it does."""
    now = datetime.now(UTC)
    if single.this_update_utc > now + SKEW:
        return f"the answer is from the future: {utc_text(single.this_update_utc)}"
    until = single.next_update_utc
    return f"the answer held until {utc_text(until)}" if until is not None and until < now - SKEW else ""


def _is_about(single: Any, own: x509.Certificate, asked: ocsp.OCSPRequest) -> bool:
    if single.serial_number != own.serial_number:
        return False
    # A responder may name the issuer by another hash than we did; then the serial number and the signature decide.
    same_hash = type(single.hash_algorithm) is type(asked.hash_algorithm)
    return not same_hash or single.issuer_key_hash == asked.issuer_key_hash


def _is_signed(answer: ocsp.OCSPResponse, issuer: x509.Certificate) -> bool:
    """Say whether the issuer has signed, or someone with a certificate of the issuer for it."""
    if _verifies(answer, issuer):
        return True
    return any(_is_delegate(each, issuer) and _verifies(answer, each) for each in answer.certificates[:4])


def _is_delegate(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography import x509  # noqa: PLC0415 - as in _ask
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    now = datetime.now(UTC)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    in_force = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and in_force


def _verifies(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - as in _ask
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa  # noqa: PLC0415

    key, signature, signed = signer.public_key(), answer.signature, answer.tbs_response_bytes
    try:
        algorithm = answer.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _responder(own: x509.Certificate) -> str | None:
    """Return the address of the responder that a certificate names (RFC 5280, section 4.2.2.1)."""
    from cryptography import x509  # noqa: PLC0415 - as in _ask
    from cryptography.x509.oid import AuthorityInformationAccessOID  # noqa: PLC0415

    try:
        access = own.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None
    for each in access:
        location = each.access_location
        is_ocsp = each.access_method == AuthorityInformationAccessOID.OCSP
        if is_ocsp and isinstance(location, x509.UniformResourceIdentifier):
            return location.value
    return None


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in _ask

    return certificate.public_bytes(serialization.Encoding.DER)
