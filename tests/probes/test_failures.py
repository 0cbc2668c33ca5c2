"""Every exception that the libraries beneath can raise is in the table."""

import asyncio
import errno
import inspect
import socket
import ssl
import zlib

import aiodns.error
import aiohttp.http_exceptions
import pycares
import pycares.errno
import pytest

from probes.failures import (
    ARES_FAILURES,
    GAI_FAILURES,
    LIBRARY_FAILURES,
    MESSAGE_LIMIT,
    NETWORK_ERRORS,
    TroubleError,
    classify,
    failure_of_timeout,
    plain_line,
)
from probes.model import Failure, Layer

OUR_OWN_ARES_MISTAKES = {
    "ARES_EBADQUERY",
    "ARES_EBADFAMILY",
    "ARES_EFILE",
    "ARES_ENOMEM",
    "ARES_EDESTRUCTION",
    "ARES_EBADFLAGS",
    "ARES_EBADHINTS",
    "ARES_ENOTINITIALIZED",
    "ARES_ELOADIPHLPAPI",
    "ARES_EADDRGETNETWORKPARAMS",
    "ARES_ECANCELLED",
    "ARES_ESERVICE",
}
OUR_OWN_GAI_MISTAKES = {
    "EAI_BADFLAGS",
    "EAI_FAMILY",
    "EAI_MEMORY",
    "EAI_OVERFLOW",
    "EAI_SERVICE",
    "EAI_SOCKTYPE",
    "EAI_SYSTEM",
    "EAI_MAX",
    "EAI_BADHINTS",
    "EAI_PROTOCOL",
}


def subclasses(root: type[BaseException]) -> set[type[BaseException]]:
    found = {root}
    for child in root.__subclasses__():
        found |= subclasses(child)
    return found


@pytest.mark.parametrize("status", [code for code in pycares.errno.errorcode if code])
def test_every_c_ares_status_is_mapped_or_known_to_be_our_own_mistake(status):
    ours = pycares.errno.errorcode[status] in OUR_OWN_ARES_MISTAKES
    assert (status in ARES_FAILURES) is not ours
    for kind in (aiodns.error.DNSError, pycares.AresError):
        failure, message = classify(kind(status, pycares.errno.strerror(status)), "resolve")
        assert failure.layer is (Layer.SELF if ours else Layer.NAME)
        assert message.startswith("name lookup failed: ")


def test_every_getaddrinfo_code_is_mapped_or_known_to_be_our_own_mistake():
    codes = {name for name in dir(socket) if name.startswith("EAI_")}
    mapped = {name for name in codes if getattr(socket, name) in GAI_FAILURES}
    assert codes - mapped <= OUR_OWN_GAI_MISTAKES
    assert not mapped & OUR_OWN_GAI_MISTAKES
    for name in mapped:
        assert classify(socket.gaierror(getattr(socket, name), "text"))[0].layer is Layer.NAME


@pytest.mark.parametrize(
    "kind", sorted((k for k in subclasses(ssl.SSLError) if k.__module__ == "ssl"), key=lambda kind: kind.__name__)
)
def test_every_class_of_ssl_errors_is_of_tls_or_an_end_of_the_connection(kind):
    ends = {ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError}
    failure, _ = classify(kind(1, "[X] text"), "tls")
    assert (failure is Failure.CONNECTION_CLOSED) if kind in ends else (failure.layer is Layer.TLS)


def test_every_class_of_aiohttp_parser_errors_is_mapped():
    classes = [
        kind for _, kind in inspect.getmembers(aiohttp.http_exceptions, inspect.isclass) if issubclass(kind, Exception)
    ]
    assert aiohttp.http_exceptions.BadStatusLine in classes
    for kind in classes:
        error = kind.__new__(kind)
        assert classify(error)[0].layer in (Layer.APPLICATION, Layer.TRANSPORT), kind


def test_every_path_in_the_table_leads_to_a_class():
    modules = {
        "aiohttp.http_exceptions": aiohttp.http_exceptions,
        "asyncio.exceptions": asyncio.exceptions,
        "zlib": zlib,
        "builtins": __import__("builtins"),
    }
    for path in LIBRARY_FAILURES:
        module, _, name = path.rpartition(".")
        kind = getattr(modules[module], name)
        assert f"{kind.__module__}.{kind.__qualname__}" == path


def test_every_connection_error_class_is_mapped_with_and_without_an_errno():
    for kind in subclasses(ConnectionError):
        assert classify(kind())[0].layer is Layer.TRANSPORT
    assert classify(ConnectionResetError())[0] is Failure.CONNECTION_CLOSED
    assert classify(ConnectionResetError(errno.ECONNRESET, "x"))[0] is Failure.CONNECTION_RESET


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (errno.ECONNREFUSED, Failure.CONNECT_REFUSED),
        (errno.ETIMEDOUT, Failure.CONNECT_TIMEOUT),
        (errno.ENETUNREACH, Failure.NETWORK_UNREACHABLE),
        (errno.EHOSTUNREACH, Failure.NETWORK_UNREACHABLE),
        (errno.ENETDOWN, Failure.NETWORK_UNREACHABLE),
        (errno.EADDRNOTAVAIL, Failure.INTERNAL),
        (errno.ECONNRESET, Failure.CONNECTION_RESET),
        (errno.EPIPE, Failure.CONNECTION_CLOSED),
        (errno.EACCES, Failure.PERMISSION),
        (errno.EPERM, Failure.PERMISSION),
        (errno.EMFILE, Failure.INTERNAL),
        (errno.ENOBUFS, Failure.INTERNAL),
        (errno.ENOENT, Failure.INTERNAL),
    ],
)
def test_a_system_error_is_classified_by_its_errno(code, failure):
    found, message = classify(OSError(code, "text of a library"), "connect")
    assert found is failure
    assert message.endswith("in connect")
    assert "text of a library" not in message


@pytest.mark.parametrize(
    ("error", "phase", "failure"),
    [
        (asyncio.IncompleteReadError(b"", 4), "first_byte", Failure.CONNECTION_CLOSED),
        (EOFError(), "", Failure.CONNECTION_CLOSED),
        (asyncio.LimitOverrunError("x", 1), "", Failure.PROTOCOL),
        (zlib.error("x"), "transfer", Failure.BODY_DECODE),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "transfer", Failure.BODY_DECODE),
        (UnicodeEncodeError("idna", "\ud800", 0, 1, "x"), "resolve", Failure.DNS_NXDOMAIN),
        (TimeoutError(), "resolve", Failure.DNS_TIMEOUT),
        (TimeoutError(), "connect", Failure.CONNECT_TIMEOUT),
        (TimeoutError(), "tls", Failure.TIMEOUT),
        (KeyError("secret"), "", Failure.INTERNAL),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), "tls", Failure.TLS_HANDSHAKE),
        (TroubleError(Failure.TLS_REQUIRED, "why"), "", Failure.TLS_REQUIRED),
    ],
)
def test_what_else_a_probe_meets_is_classified(error, phase, failure):
    assert classify(error, phase)[0] is failure


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (10, Failure.TLS_EXPIRED),
        (9, Failure.TLS_EXPIRED),
        (62, Failure.TLS_NAME),
        (64, Failure.TLS_NAME),
        (18, Failure.TLS_UNTRUSTED),
        (19, Failure.TLS_UNTRUSTED),
        (20, Failure.TLS_UNTRUSTED),
        (21, Failure.TLS_UNTRUSTED),
        (23, Failure.TLS_UNTRUSTED),
    ],
)
def test_a_certificate_that_does_not_verify_is_classified_by_openssl_s_code(code, failure):
    error = ssl.SSLCertVerificationError(1, "text")
    error.verify_code = code
    error.verify_message = "why it does not verify."
    assert classify(error, "tls") == (failure, "why it does not verify")


def test_the_text_of_an_unknown_exception_stays_out_of_the_message():
    assert classify(RuntimeError("password=hunter2"))[1] == "RuntimeError"


def test_messages_are_one_bounded_printable_line():
    _, message = classify(TroubleError(Failure.PROTOCOL, "a\r\nb\x00\x1b[31m" + "c" * 10_000))
    assert len(message) == MESSAGE_LIMIT
    assert message.isprintable()
    assert plain_line(" x\n") == "x"


@pytest.mark.parametrize(
    ("phase", "failure"),
    [
        ("resolve", Failure.DNS_TIMEOUT),
        ("connect", Failure.CONNECT_TIMEOUT),
        ("tls", Failure.TIMEOUT),
        ("first_byte", Failure.TIMEOUT),
        ("", Failure.TIMEOUT),
    ],
)
def test_running_out_of_time_is_named_by_its_phase(phase, failure):
    assert failure_of_timeout(phase) is failure


def test_what_is_caught_around_a_probe_covers_sockets_tls_names_and_bodies():
    for kind in (ConnectionError, ssl.SSLError, socket.gaierror, asyncio.IncompleteReadError, zlib.error):
        assert issubclass(kind, NETWORK_ERRORS)
    assert not issubclass(asyncio.CancelledError, NETWORK_ERRORS)
