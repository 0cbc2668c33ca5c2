"""One table: which exception of the libraries beneath is which failure of the closed list.

The tree, from the exception that a probe meets to the failure that it reports::

    TroubleError                  already classified; carries its failure and message
    ssl.SSLError
     ├─ SSLCertVerificationError  tls_expired · tls_name · tls_untrusted, by OpenSSL's verify code
     ├─ SSLEOFError, SSLZeroReturnError, SSLSyscallError
     │                            connection_closed: an end is not the fault of TLS
     └─ any other                 tls_handshake
    socket.gaierror               dns_*, by EAI code
    aiodns DNSError, pycares AresError
                                  dns_*, by c-ares status
    TimeoutError                  dns_timeout · connect_timeout · timeout, by the phase it died in
    OSError                       by errno, then by class; `internal` for our own lack of descriptors or memory
    EOFError                      connection_closed (asyncio.IncompleteReadError is one)
    zlib.error, UnicodeError      body_decode
    aiohttp.http_exceptions       protocol · body_decode · body_too_large · connection_closed
    anything else                 internal: a bug of ours or of a library, never the target's fault

Library classes are named by their path, so that this module imports none of them (a cold start pays for what it
uses); `tests/probes/test_failures.py` walks the libraries and proves that nothing they raise is missing here.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from probes.model import Failure

MESSAGE_LIMIT = 300
"""Characters of a message; the same bound that conditions keep."""


class TroubleError(Exception):
    """Trouble that has its place in the closed list already; a kind's `run` turns it into a measurement.

    Attributes:
        failure: which one it is.
        message: one line for a person, with the actual value in it.

    """

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


NETWORK_ERRORS: tuple[type[Exception], ...] = (TroubleError, OSError, EOFError, UnicodeError, zlib.error)
"""What a kind that speaks over asyncio, ssl and `probes.resolver` catches around its work, and classifies."""

OS_FAILURES: Mapping[int, Failure] = MappingProxyType(
    {
        errno.ECONNREFUSED: Failure.CONNECT_REFUSED,
        errno.ENOPROTOOPT: Failure.CONNECT_REFUSED,  # how Linux reports ICMP "protocol unreachable"
        errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
        errno.EHOSTUNREACH: Failure.NETWORK_UNREACHABLE,
        errno.ENETDOWN: Failure.NETWORK_UNREACHABLE,
        errno.EHOSTDOWN: Failure.NETWORK_UNREACHABLE,  # ICMP "destination host unknown"
        errno.ENONET: Failure.NETWORK_UNREACHABLE,  # ICMP "source host isolated"
        errno.EOPNOTSUPP: Failure.NETWORK_UNREACHABLE,  # ICMP "source route failed"
        errno.EMSGSIZE: Failure.NETWORK_UNREACHABLE,  # ICMP "fragmentation needed": not at this size
        errno.EADDRNOTAVAIL: Failure.INTERNAL,  # this host has run out of ports: that says nothing about the target
        errno.EAFNOSUPPORT: Failure.NETWORK_UNREACHABLE,  # this host has no IPv6 (or no IPv4) at all
        errno.ECONNRESET: Failure.CONNECTION_RESET,
        errno.ECONNABORTED: Failure.CONNECTION_RESET,
        errno.ENETRESET: Failure.CONNECTION_RESET,
        errno.EPIPE: Failure.CONNECTION_CLOSED,  # Linux: a reset after the peer's own close (tcp_reset, net/ipv4)
        errno.ESHUTDOWN: Failure.CONNECTION_CLOSED,
        errno.ENOTCONN: Failure.CONNECTION_CLOSED,
        errno.EPROTO: Failure.PROTOCOL,
        errno.EACCES: Failure.PERMISSION,
        errno.EPERM: Failure.PERMISSION,
    }
)
"""errno → failure. What Linux makes of ICMP errors stands in `icmp_err_convert` (net/ipv4/icmp.c)."""

_OS_CLASSES: tuple[tuple[type[OSError], Failure], ...] = (
    # asyncio raises these without an errno: a peer that ends the stream inside a handshake is
    # ConnectionResetError there, though nothing was reset.
    (ConnectionRefusedError, Failure.CONNECT_REFUSED),
    (ConnectionError, Failure.CONNECTION_CLOSED),
    (PermissionError, Failure.PERMISSION),
)

GAI_FAILURES: Mapping[int, Failure] = MappingProxyType(
    {
        socket.EAI_NONAME: Failure.DNS_NXDOMAIN,
        socket.EAI_NODATA: Failure.DNS_ANSWER,
        socket.EAI_ADDRFAMILY: Failure.DNS_ANSWER,
        socket.EAI_AGAIN: Failure.DNS_TIMEOUT,
        socket.EAI_FAIL: Failure.DNS_SERVFAIL,
    }
)
"""getaddrinfo's code → failure (RFC 3493, section 6.1); any other is our own mistake."""

ARES_FAILURES: Mapping[int, Failure] = MappingProxyType(
    {
        1: Failure.DNS_ANSWER,  # ENODATA: the name exists, without such records
        2: Failure.DNS_SERVFAIL,  # EFORMERR, and below ENOTIMP and EREFUSED: rcodes that refuse the question
        3: Failure.DNS_SERVFAIL,  # ESERVFAIL
        4: Failure.DNS_NXDOMAIN,  # ENOTFOUND
        5: Failure.DNS_SERVFAIL,  # ENOTIMP
        6: Failure.DNS_SERVFAIL,  # EREFUSED
        8: Failure.DNS_NXDOMAIN,  # EBADNAME: no such name can exist
        10: Failure.DNS_ANSWER,  # EBADRESP: the answer is garbage
        11: Failure.DNS_SERVFAIL,  # ECONNREFUSED: no server listens
        12: Failure.DNS_TIMEOUT,  # ETIMEOUT
        13: Failure.DNS_SERVFAIL,  # EOF: the server hung up
        17: Failure.DNS_ANSWER,  # EBADSTR: a string in the answer is garbage
        19: Failure.DNS_NXDOMAIN,  # ENONAME
    }
)
"""c-ares status (ares.h; the numbers are its ABI) → failure; any other is our own trouble."""

LIBRARY_FAILURES: Mapping[str, Failure] = MappingProxyType(
    {
        "aiohttp.http_exceptions.HttpProcessingError": Failure.PROTOCOL,
        "aiohttp.http_exceptions.ContentEncodingError": Failure.BODY_DECODE,
        "aiohttp.http_exceptions.ContentLengthError": Failure.CONNECTION_CLOSED,
        "aiohttp.http_exceptions.DecompressSizeError": Failure.BODY_TOO_LARGE,
        "asyncio.exceptions.LimitOverrunError": Failure.PROTOCOL,
        "zlib.error": Failure.BODY_DECODE,
        "builtins.UnicodeError": Failure.BODY_DECODE,
        "builtins.EOFError": Failure.CONNECTION_CLOSED,
    }
)
"""Path of an exception class → failure; a subclass without an entry of its own is what its nearest base is."""

_X509_EXPIRED = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_X509_NAME = {62, 63, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, …_EMAIL_MISMATCH, …_IP_ADDRESS_MISMATCH


def classify(error: BaseException, phase: str = "") -> tuple[Failure, str]:
    """Return the failure that `error` is, met in `phase`, and a line for a person (bounded, printable).

    The message holds nothing of an unknown exception but its class: its text may repeat what was sent.
    """
    for kind, classifier in _CLASSIFIERS:
        if isinstance(error, kind):
            failure, message = classifier(error, phase)
            break
    else:
        failure, message = _library(error, phase)
    return failure, plain_line(message)


def failure_of_timeout(phase: str) -> Failure:
    """Return what it means that time ran out in `phase`: no name, no connection, or no answer in time."""
    return {"resolve": Failure.DNS_TIMEOUT, "connect": Failure.CONNECT_TIMEOUT}.get(phase, Failure.TIMEOUT)


def plain_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return text from a peer as one printable line of at most `limit` characters."""
    clean = "".join(c if c.isprintable() else " " for c in text[: limit * 2]).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _trouble(error: TroubleError, _phase: str) -> tuple[Failure, str]:
    return error.failure, error.message


def _verification(error: ssl.SSLCertVerificationError, _phase: str) -> tuple[Failure, str]:
    code = getattr(error, "verify_code", 0)
    text = (getattr(error, "verify_message", "") or "the certificate does not verify").rstrip(".")
    if code in _X509_EXPIRED:
        return Failure.TLS_EXPIRED, text
    if code in _X509_NAME:
        return Failure.TLS_NAME, text
    return Failure.TLS_UNTRUSTED, text


def _ended(_error: ssl.SSLError, phase: str) -> tuple[Failure, str]:
    return Failure.CONNECTION_CLOSED, f"the peer closed the connection{_within(phase)}"


def _tls(error: ssl.SSLError, _phase: str) -> tuple[Failure, str]:
    # An SSLError's errno is OpenSSL's own number, not the system's: it must not reach the errno table.
    # One that was not raised by OpenSSL (asyncio, uvloop) has no reason.
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    hint = " (what the peer said is not TLS)" if reason == "wrong version number" else ""
    return Failure.TLS_HANDSHAKE, f"TLS failed: {reason or 'no reason given'}{hint}"


def _getaddrinfo(error: socket.gaierror, _phase: str) -> tuple[Failure, str]:
    return GAI_FAILURES.get(error.errno or 0, Failure.INTERNAL), f"name lookup failed: {error.strerror}"


def _timeout(error: TimeoutError, phase: str) -> tuple[Failure, str]:
    gave_up = "the system gave up waiting" if error.errno == errno.ETIMEDOUT else "no answer in time"
    return failure_of_timeout(phase), gave_up + _within(phase)


def _system(error: OSError, phase: str) -> tuple[Failure, str]:
    if error.errno is not None:
        text = os.strerror(error.errno).lower()
        return OS_FAILURES.get(error.errno, Failure.INTERNAL), text + _within(phase)
    for kind, failure in _OS_CLASSES:
        if isinstance(error, kind):
            return failure, f"the peer {'refused' if kind is ConnectionRefusedError else 'closed'} the connection" + (
                _within(phase)
            )
    return Failure.INTERNAL, f"{type(error).__name__}{_within(phase)}"


def _library(error: BaseException, phase: str) -> tuple[Failure, str]:
    for base in type(error).__mro__:
        path = f"{base.__module__}.{base.__qualname__}"
        if path in ("aiodns.error.DNSError", "pycares.AresError"):
            return _ares(error)
        if path == "builtins.UnicodeError" and phase == "resolve":
            return Failure.DNS_NXDOMAIN, "no such name can exist: it cannot be encoded (RFC 5891)"
        if path in LIBRARY_FAILURES:
            failure = LIBRARY_FAILURES[path]
            return failure, _WORDS[failure] + _within(phase)
    return Failure.INTERNAL, f"{type(error).__name__}{_within(phase)}"


def _ares(error: BaseException) -> tuple[Failure, str]:
    status, *text = error.args or (0,)
    failure = ARES_FAILURES.get(status, Failure.INTERNAL) if isinstance(status, int) else Failure.INTERNAL
    return failure, f"name lookup failed: {str(text[0]).lower() if text else status}"


def _within(phase: str) -> str:
    return f" in {phase}" if phase else ""


_WORDS: Mapping[Failure, str] = {
    Failure.PROTOCOL: "the peer does not speak the protocol",
    Failure.BODY_DECODE: "the body cannot be decoded",
    Failure.BODY_TOO_LARGE: "the body is too large",
    Failure.CONNECTION_CLOSED: "the peer closed the connection",
}

_Classifier = Callable[..., tuple[Failure, str]]
_CLASSIFIERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], _Classifier], ...] = (
    # The first match counts: every class here stands before its bases.
    (TroubleError, _trouble),
    (ssl.SSLCertVerificationError, _verification),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError), _ended),
    (ssl.SSLError, _tls),
    (socket.gaierror, _getaddrinfo),
    (TimeoutError, _timeout),
    (OSError, _system),
)
