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
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from probes.certificates import CERT_FACTS, CERT_SAMPLES, CHAIN_LIMIT, PeerCertificate, peer_certificate, utc_text
from probes.failures import TroubleError, classify
from probes.model import Context, Failure, Phases
from probes.resolver import ascii_name, numeric

__all__ = [
    "CERT_FACTS",
    "CERT_SAMPLES",
    "Contexts",
    "PeerCertificate",
    "TlsSession",
    "Trust",
    "context_for",
    "explain",
    "peer_certificate",
    "sni_name",
]

KEY = "probes.tls"
"""Where the process keeps its contexts in `Context.resources`."""

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
        client_cert, client_key: PEM files of our own certificate (with its intermediates) and its key; the key may
            stand in the certificate's file, and "" is none.

    """

    verify: bool = True
    ca_file: str = ""
    alpn: tuple[str, ...] = ()
    check_name: bool = True
    client_cert: str = ""
    client_key: str = ""


class Contexts:
    """The process's TLS contexts: loading the system's authorities takes 40 ms, too long to do per check.

    A context is made again when one of its files has changed; the old one is dropped.
    """

    def __init__(self) -> None:
        self._made: dict[Trust, tuple[tuple[tuple[int, int], ...], ssl.SSLContext]] = {}
        self._system = ssl.get_default_verify_paths().cafile or ""

    def get(self, trust: Trust, phases: Phases) -> ssl.SSLContext:
        """Return the context for `trust`; making it is not the time of any phase.

        Raises TroubleError (`internal`: we cannot measure) when its file cannot be used.
        """
        path = trust.ca_file or self._system
        try:
            stamps: tuple[tuple[int, int], ...] = (_stamp(path) if path and trust.verify else (0, 0),)
        except (OSError, ValueError) as error:
            raise _unusable("ca_file", path, error) from None
        if trust.client_cert:
            stamps += _client_stamps(trust)
        made = self._made.get(trust)
        if made is None or made[0] != stamps:
            made = (stamps, phases.aside(partial(_make, trust, path)))
            self._made[trust] = made
        return made[1]


def context_for(trust: Trust, ctx: Context) -> ssl.SSLContext:
    """Return the client context for `trust`, made once for the process.

    Raises TroubleError when its file of authorities cannot be used.
    """
    return ctx.resources.get(KEY, Contexts).get(trust, ctx.phases)


class TlsSession:
    """The client's side of one TLS session, over memory.

    Bytes from the peer go in by `receive`, bytes for the peer come out of `outgoing`; the caller moves them,
    also after an exception: an alert tells the peer why it was turned down.

    Raises TroubleError (`tls_name`) at once for a name that no certificate can be for.

    Attributes:
        established: the handshake is done.
        ended: the peer has said that it will send nothing more (close_notify).

    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_trust", "ended", "established")

    def __init__(self, context: ssl.SSLContext, server_name: str, trust: Trust | None = None) -> None:
        self._trust = trust
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

    def refusal(self, error: ssl.SSLError) -> TroubleError | None:
        """Return what it means that the peer ended TLS with an alert about our own certificate, else None.

        TLS 1.3 tells it only after the handshake (RFC 8446, section 4.4.2.4), so it may arrive as late as the answer.
        """
        reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")
        alert = reason.partition(" alert ")[2]
        if not any(word in alert for word in ("certificate", "unknown ca", "access denied")):
            return None
        if self._trust is None or not self._trust.client_cert:
            return TroubleError(Failure.TLS_HANDSHAKE, f"the peer wants a certificate of its client (alert: {alert})")
        state = _own_state(self._trust)
        return TroubleError(Failure.TLS_HANDSHAKE, f"the peer turned our certificate down (alert: {alert}{state})")

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
    def alpn(self) -> str:
        """Return the application protocol that was agreed on (RFC 7301), "" for none."""
        return self._object.selected_alpn_protocol() or ""

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


def explain(error: ssl.SSLError, session: TlsSession) -> TroubleError:
    """Return what a failure of TLS means, with what the certificate says about it."""
    refused = session.refusal(error)
    if refused is not None:
        return refused
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


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ino


def _client_stamps(trust: Trust) -> tuple[tuple[int, int], ...]:
    stamps = []
    for name, file in (("client_cert_file", trust.client_cert), ("client_key_file", trust.client_key)):
        try:
            stamps.append(_stamp(file) if file else (0, 0))
        except (OSError, ValueError) as error:
            raise _unusable(name, file, error) from None
    return tuple(stamps)


def _make(trust: Trust, path: str) -> ssl.SSLContext:
    from cryptography import x509  # noqa: F401, PLC0415 - 30 ms at the first certificate, which comes within a phase

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = trust.verify and trust.check_name
    try:
        if not trust.verify:
            context.verify_mode = ssl.CERT_NONE
        elif trust.ca_file:
            # Read here, so that a missing file is told from one that is not PEM, and a directory from both.
            context.load_verify_locations(cadata=Path(trust.ca_file).read_text(encoding="ascii", errors="replace"))
        else:
            context.load_default_certs()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError: a file that is not PEM; an empty one is not
        raise _unusable("ca_file", path, error) from None
    if trust.client_cert:
        try:
            # A password would be asked for on the terminal: an encrypted key is refused instead.
            context.load_cert_chain(trust.client_cert, trust.client_key or None, password=lambda: b"")
        except OSError as error:
            raise _unusable("client_cert_file", trust.client_cert, error) from None
    if trust.alpn:
        context.set_alpn_protocols(list(trust.alpn))
    return context


def _unusable(name: str, path: str, error: OSError | ValueError) -> TroubleError:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        text = error.strerror
    elif "MISMATCH" in (getattr(error, "reason", None) or ""):
        text = "the key is not that of the certificate"
    elif name == "ca_file":
        text = "it holds no certificates in PEM"
    else:
        text = "a certificate and its unencrypted key are needed, in PEM"
    return TroubleError(Failure.INTERNAL, f"{name} {path} cannot be used: {text}")


def _own_state(trust: Trust) -> str:
    """Say of our own certificate that it has expired, or is not valid yet; "" when its dates are in order."""
    from cryptography import x509  # noqa: PLC0415 - as in peer_certificate

    try:
        own = x509.load_pem_x509_certificate(Path(trust.client_cert).read_bytes())
    except (OSError, ValueError):
        return ""
    now = datetime.now(UTC)
    if own.not_valid_after_utc < now:
        return f"; it expired on {utc_text(own.not_valid_after_utc)}"
    return f"; it is valid from {utc_text(own.not_valid_before_utc)}" if own.not_valid_before_utc > now else ""


def _evidence(failure: Failure, certificate: PeerCertificate) -> str:
    if failure is Failure.TLS_EXPIRED:
        now = datetime.now(UTC)
        if certificate.not_before > now:
            return f" (valid from {utc_text(certificate.not_before)})"
        if certificate.chain_not_after > now:
            return " (an authority's own, which the peer did not send)"
        return f" (on {utc_text(certificate.chain_not_after)})"
    if failure is Failure.TLS_NAME:
        more = ", …" if len(certificate.names) > 3 else ""
        return f" (it is for {', '.join(certificate.names[:3]) or 'no name'}{more})"
    if certificate.chain_length == 1 and not certificate.signs_itself:
        return f" (issued by {certificate.issuer}, whose certificate was not sent: an intermediate may be missing)"
    return f" (issued by {certificate.issuer})"
