"""TLS without I/O: contexts, the client's side of a session over memory, what the peer's certificate says.

A session is driven over memory (`TlsSession`) and not by the event loop's own TLS, for three reasons: connecting
and shaking hands are two phases; the peer's certificate can be looked at also when it does not verify; and an end
of the connection inside the handshake can be told from a failure of TLS (RFC 8446, section 6.1).

The chain that is looked at is the verified one: the peer's certificate, its intermediates and the root that they
were traced to. Only where nothing was verified (`verify: false`, or verification failed) it is what the peer sent,
because a peer may send certificates that nobody needs, an expired cross-signed root for one.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from probes.failures import TroubleError, classify, plain_line
from probes.model import Failure, Resources
from probes.resolver import ascii_name, numeric

if TYPE_CHECKING:
    from cryptography import x509

KEY = "probes.tls"
"""Where the process keeps its contexts in `Context.resources`."""

CHAIN_LIMIT = 16
"""How many certificates of a chain are looked at."""

_READ_BYTES = 65536
_DER = 2  # _ssl.ENCODING_DER, which the ssl module does not pass on


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust.

    Attributes:
        verify: whether the peer's certificate and name are verified at all.
        ca_file: PEM file of the only trusted authorities; "" for those that the system trusts.
        alpn: application protocols to offer (RFC 7301).
        check_name: whether a verified certificate must also be for the server's name.

    """

    verify: bool = True
    ca_file: str = ""
    alpn: tuple[str, ...] = ()
    check_name: bool = True


class Contexts:
    """The process's TLS contexts: loading the system's authorities takes 40 ms, too long to do per check.

    A context is made again when its file of authorities has changed; the old one is dropped.
    """

    def __init__(self) -> None:
        self._made: dict[Trust, tuple[tuple[int, int], ssl.SSLContext]] = {}
        self._system = ssl.get_default_verify_paths().cafile or ""

    def get(self, trust: Trust) -> ssl.SSLContext:
        """Return the context for `trust`.

        Raises TroubleError (`internal`: we cannot measure) when its file cannot be used.
        """
        path = trust.ca_file or self._system
        try:
            stamp = _stamp(path) if path and trust.verify else (0, 0)
            made = self._made.get(trust)
            if made is None or made[0] != stamp:
                made = (stamp, _make(trust))
                self._made[trust] = made
        except OSError as error:  # ssl.SSLError is one: a file that is not PEM
            text = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificates in PEM"
            raise TroubleError(Failure.INTERNAL, f"ca_file {path} cannot be used: {text}") from None
        return made[1]


def context_for(trust: Trust, resources: Resources) -> ssl.SSLContext:
    """Return the client context for `trust`, made once for the process.

    Raises TroubleError when its file of authorities cannot be used.
    """
    return resources.get(KEY, Contexts).get(trust)


class TlsSession:
    """The client's side of one TLS session, over memory.

    Bytes from the peer go in by `receive`, bytes for the peer come out of `outgoing`; the caller moves them,
    also after an exception: an alert tells the peer why it was turned down.

    Raises TroubleError (`tls_name`) at once for a name that no certificate can be for.

    Attributes:
        established: the handshake is done.
        ended: the peer has said that it will send nothing more (close_notify).

    """

    __slots__ = ("_incoming", "_object", "_outgoing", "ended", "established")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        except ValueError:  # UnicodeError is one: a label of 64 characters, an empty one
            message = f"no certificate can be for {server_name[:80]!r}"
            raise TroubleError(Failure.TLS_NAME, message) from None
        self.established = False
        self.ended = False

    def handshake(self, data: bytes = b"") -> bool:
        """Go on shaking hands with what the peer sent (nothing, to begin); say whether it is done.

        Raises ssl.SSLError when it failed.
        """
        if data:
            self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        return True

    def receive(self, data: bytes = b"") -> bytes:
        """Return the plain bytes in what the peer sent.

        Raises ssl.SSLError when they are not authentic.
        """
        if data:
            self._incoming.write(data)
        plain = []
        try:
            while chunk := self._object.read(_READ_BYTES):
                plain.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def send(self, data: bytes) -> None:
        """Encrypt bytes for the peer."""
        self._object.write(data)

    def close(self) -> None:
        """Say that nothing more will be sent (RFC 8446, section 6.1)."""
        with contextlib.suppress(ssl.SSLError):  # the peer has not said the same yet; it need not
            self._object.unwrap()

    def outgoing(self) -> bytes:
        """Take what has to be sent to the peer."""
        return self._outgoing.read()

    @property
    def version(self) -> str:
        """Return `TLSv1.3` and the like, "" before the handshake is done."""
        return (self._object.version() or "") if self.established else ""

    def chain(self) -> list[bytes]:
        """Return the peer's chain (DER, its own certificate first), empty when it has not shown one.

        Python 3.13 has public methods for this; before it, they are there on the object beneath.
        """
        verified = self.established and self._object.context.verify_mode is not ssl.CERT_NONE
        name = "get_verified_chain" if verified else "get_unverified_chain"
        owner: Any = self._object if hasattr(self._object, name) else cast("Any", self._object)._sslobj
        found = getattr(owner, name)() or ()
        return [item if isinstance(item, bytes) else item.public_bytes(_DER) for item in found[:CHAIN_LIMIT]]


class PeerCertificate:
    """What the peer's certificate says; read when it is asked for, because few checks ask for more than the date.

    Attributes:
        not_before, not_after: its own validity.
        chain_not_after: the earliest end of a validity in the chain: when it will cease to verify.
        chain_length: certificates in the chain.

    """

    __slots__ = ("_own", "chain_length", "chain_not_after", "not_after", "not_before")

    def __init__(self, chain: Sequence[x509.Certificate]) -> None:
        self._own = chain[0]
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
        from cryptography import x509  # noqa: PLC0415 - as in peer_certificate

        try:
            alternative = self._own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = [*alternative.get_values_for_type(x509.DNSName)]
            found += [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            return ()
        return tuple(plain_line(name, 100) for name in found[:CHAIN_LIMIT])

    def fact(self, name: str) -> Any:
        """Return one of CERT_FACTS."""
        if name == "cert.expires_in":
            return timedelta(seconds=self.expires_s)
        return {"cert.not_after": self.chain_not_after, "cert.subject": self.subject, "cert.issuer": self.issuer}[name]


CERT_FACTS: Mapping[str, str] = {
    "cert.expires_in": "duration",
    "cert.not_after": "timestamp",
    "cert.subject": "string",
    "cert.issuer": "string",
}
"""The facts of a certificate and their types, for `Probe.facts`."""


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


def explain(error: ssl.SSLError, session: TlsSession) -> TroubleError:
    """Return what a failed handshake means, with what the certificate says about it."""
    failure, message = classify(error, "tls")
    certificate = peer_certificate(session.chain()) if isinstance(error, ssl.SSLCertVerificationError) else None
    if certificate is not None:
        message = f"{message}{_evidence(failure, certificate)}"
    return TroubleError(failure, message)


def sni_name(host: str) -> str:
    """Return the name to ask for and to verify for a host: as DNS spells it, or a number without its zone.

    Raises TroubleError (`dns_nxdomain`) when no such name can exist.
    """
    return host.partition("%")[0] if numeric(host) else ascii_name(host).rstrip(".")


def utc_text(moment: datetime) -> str:
    """Return `2026-10-01 00:00:10 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ino


def _make(trust: Trust) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = trust.verify and trust.check_name
    if not trust.verify:
        context.verify_mode = ssl.CERT_NONE
    elif trust.ca_file:
        # Read here, so that a missing file is told from one that is not PEM, and a directory from both.
        context.load_verify_locations(cadata=Path(trust.ca_file).read_text(encoding="ascii", errors="replace"))
    else:
        context.load_default_certs()
    if trust.alpn:
        context.set_alpn_protocols(list(trust.alpn))
    return context


def _evidence(failure: Failure, certificate: PeerCertificate) -> str:
    if failure is Failure.TLS_EXPIRED:
        now = datetime.now(UTC)
        if certificate.not_before > now:
            return f" (valid from {utc_text(certificate.not_before)})"
        return f" (on {utc_text(certificate.chain_not_after)})"
    if failure is Failure.TLS_NAME:
        more = ", …" if len(certificate.names) > 3 else ""
        return f" (it is for {', '.join(certificate.names[:3]) or 'no name'}{more})"
    return f" (issued by {certificate.issuer})"


def _name_text(read: Callable[[], x509.Name]) -> str:
    try:
        return plain_line(read().rfc4514_string(), 200)
    except ValueError:
        return "a name that cannot be read"
