"""What a peer's certificates say (RFC 5280): read when it is asked for, because few checks ask for more than a date.

Nothing here verifies: that was done, or failed, before (`probes/tls.py`). All text of a certificate is its maker's:
it is bounded and made printable before anybody sees it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from probes.failures import plain_line

if TYPE_CHECKING:
    from cryptography import x509

CHAIN_LIMIT = 16
"""How many certificates of a chain are looked at."""

NAMES_LIMIT = 16
"""How many names of one certificate are shown."""

_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"

CERT_SAMPLES = {
    "cert_expires_s": "time until the first certificate of the chain expires, in seconds; negative once it has"
}
CERT_FACTS: Mapping[str, str] = {
    "cert.expires_in": "duration",
    "cert.not_after": "timestamp",
    "cert.subject": "string",
    "cert.issuer": "string",
    "certs": "dyn",
}
"""The facts of a certificate and their types, for `Probe.facts`.

`certs` is the chain, the peer's own first: each a map of `subject`, `issuer`, `serial` (hexadecimal), `not_before` and
`not_after` (text, for CEL's `timestamp()`: inside a list CEL takes no times), `expires_s` (seconds), `key` (such as
`RSA 2048`), `signature` (such as `sha256`), `names` (a list), `fingerprint_sha256`.
"""


class PeerCertificate:
    """What the peer's certificate and its chain say.

    Attributes:
        not_before, not_after: its own validity.
        chain_not_after: the earliest end of a validity in the chain: when it will cease to verify.
        chain_length: certificates in the chain.

    """

    __slots__ = ("_own", "chain", "chain_length", "chain_not_after", "not_after", "not_before")

    def __init__(self, chain: Sequence[x509.Certificate]) -> None:
        self._own = chain[0]
        self.chain = tuple(chain)
        self.not_before = self._own.not_valid_before_utc
        self.not_after = self._own.not_valid_after_utc
        self.chain_not_after = min(certificate.not_valid_after_utc for certificate in chain)
        self.chain_length = len(chain)

    @property
    def expires_s(self) -> float:
        """Seconds until the chain's earliest end; negative once it has passed."""
        return self.chain_not_after.timestamp() - time.time()

    @property
    def subject(self) -> str:
        """Whose it is, as RFC 4514 writes it, bounded."""
        return _name_text(lambda: self._own.subject)

    @property
    def issuer(self) -> str:
        """Who signed it, as RFC 4514 writes it, bounded."""
        return _name_text(lambda: self._own.issuer)

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names and addresses that it is for (RFC 9525, section 2), bounded."""
        return _names(self._own)

    @property
    def signs_itself(self) -> bool:
        """Whether it is its own issuer."""
        return self.issuer == self.subject

    def fact(self, name: str) -> Any:
        """Return one of CERT_FACTS."""
        if name == "cert.expires_in":
            return timedelta(seconds=self.expires_s)
        if name == "certs":
            return [_described(certificate) for certificate in self.chain]
        return {"cert.not_after": self.chain_not_after, "cert.subject": self.subject, "cert.issuer": self.issuer}[name]


def peer_certificate(chain: list[bytes]) -> PeerCertificate | None:
    """Return what a chain (DER, the peer's own first) says, None when it is empty or cannot be read.

    OpenSSL takes certificates that a strict parser refuses; those verify or not, but show no date.
    """
    from cryptography import x509  # noqa: PLC0415 - 30 ms of a cold start, which a check without TLS does not need

    try:
        parsed = [x509.load_der_x509_certificate(der) for der in chain]
        return PeerCertificate(parsed) if parsed else None
    except ValueError:
        return None


def utc_text(moment: datetime) -> str:
    """Return `2026-10-01 00:00:10 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - as in peer_certificate

    return {
        "subject": _name_text(lambda: certificate.subject),
        "issuer": _name_text(lambda: certificate.issuer),
        "serial": f"{certificate.serial_number:x}"[:64],
        "not_before": certificate.not_valid_before_utc.strftime(_RFC_3339),
        "not_after": certificate.not_valid_after_utc.strftime(_RFC_3339),
        "expires_s": certificate.not_valid_after_utc.timestamp() - time.time(),
        "fingerprint_sha256": hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        "key": _key_text(certificate),
        "signature": _signature_text(certificate),
        "names": list(_names(certificate)),
    }


def _key_text(certificate: x509.Certificate) -> str:
    """Return the kind and size of the key: `RSA 2048`, `EC secp256r1 256`, `Ed25519`."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as in peer_certificate

    try:
        key: Any = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    curve = getattr(getattr(key, "curve", None), "name", "")
    size = getattr(key, "key_size", None)
    kind = {"EllipticCurve": "EC", "EC": "EC"}.get(kind, kind)
    return " ".join(part for part in (kind, curve, str(size) if size else "") if part)


def _signature_text(certificate: x509.Certificate) -> str:
    """Return the hash of the signature, or its algorithm where that has none of its own (Ed25519)."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as in peer_certificate

    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    return algorithm.name if algorithm is not None else certificate.signature_algorithm_oid.dotted_string


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - as in peer_certificate

    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*alternative.get_values_for_type(x509.DNSName)]
        found += [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return tuple(plain_line(name, 100) for name in found[:NAMES_LIMIT])


def _name_text(read: Callable[[], x509.Name]) -> str:
    try:
        return plain_line(read().rfc4514_string(), 200)
    except ValueError:
        return "a name that cannot be read"
