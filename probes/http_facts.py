"""What conditions may look at of an answer; each is worked out when a condition asks for it, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import orjson

from probes.certificates import CERT_FACTS
from probes.http_body import text_of
from probes.http_exchange import Head
from probes.http_request import shown
from probes.http_visit import Visit
from probes.ocsp import OCSP_FACTS, Revocation
from probes.secrecy import without_secrets

FACTS: Mapping[str, str] = MappingProxyType(
    {
        "body": "string",
        "headers": "map",
        "json": "dyn",
        "steps": "map",
        "url": "string",
        "tls.version": "string",
        **CERT_FACTS,
        **OCSP_FACTS,
    }
)
"""The facts of this kind and their types."""


class HttpFacts(Mapping[str, Any]):
    """The facts of one visit, by name; one that is not there raises AbsentError with the reason.

    Args:
        visit: whose.
        steps: how long each step of a chain took, in seconds, by name.
        secrets: texts that are shown as `…` wherever they stand.

    Attributes:
        revocation: what is known of the certificate, None when nobody asked.

    """

    def __init__(self, visit: Visit, steps: Mapping[str, float] | None = None, secrets: tuple[str, ...] = ()) -> None:
        self.revocation: Revocation | None = None
        self._visit = visit
        self._secrets = secrets
        self._known: dict[str, Any] = {"steps": dict(steps or {})}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            value = self._work_out(name)
            try:
                self._known[name] = without_secrets(value, self._secrets) if self._secrets else value
            except RecursionError:
                _absent(f"{name} is nested too deeply")
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in FACTS if self.revocation is not None or name not in OCSP_FACTS)

    def __len__(self) -> int:
        return len(FACTS) - (0 if self.revocation is not None else len(OCSP_FACTS))

    def _work_out(self, name: str) -> Any:
        if name in OCSP_FACTS:
            if self.revocation is None:
                _absent("nobody asked for the certificate's revocation: set ocsp")
            return self.revocation.fact(name)
        if name in CERT_FACTS:
            certificate = self._visit.certificate()
            if certificate is None:
                _absent("no certificate was shown")
            return certificate.fact(name)
        readers: Mapping[str, Callable[[], Any]] = {
            "body": self._body,
            "headers": lambda: self._head().map(),
            "json": self._json,
            "url": lambda: shown(self._visit.request.url),
            "tls.version": self._tls_version,
        }
        return readers[name]()

    def _head(self) -> Head:
        if self._visit.head is None:
            _absent("there was no answer")
        return self._visit.head

    def _bytes(self) -> bytes:
        self._head()
        exchange = self._visit.exchange
        if exchange is None or exchange.content is None:
            _absent("the body was not read to its end")
        return exchange.content

    def _body(self) -> str:
        return text_of(self._bytes(), self._head().first("content-type"))

    def _json(self) -> Any:
        body = self._bytes()
        if not body.strip():
            _absent("the body is empty")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        try:  # a byte order mark, or an encoding that JSON should not have (RFC 8259, section 8.1)
            return orjson.loads(self._body())
        except orjson.JSONDecodeError:
            _absent("the body is not JSON")

    def _tls_version(self) -> str:
        session = self._visit.session
        if session is None or not session.version:
            _absent("no TLS was spoken")
        return session.version


def samples_of(visit: Visit) -> dict[str, float]:
    """Return what is counted of a visit, as far as it came."""
    samples: dict[str, float] = {"redirects": visit.redirects}
    if visit.exchange is not None and visit.head is not None:
        samples["status"] = visit.head.status
        samples["http_version"] = visit.head.version
        samples["body_bytes"] = visit.exchange.body_bytes
    certificate = visit.certificate()
    if certificate is not None:
        samples["cert_expires_s"] = certificate.expires_s
        samples["cert_chain_length"] = certificate.chain_length
    return samples


def _absent(reason: str) -> NoReturn:
    from probes.conditions import AbsentError  # noqa: PLC0415 - pulls in CEL, which a check without conditions spares

    raise AbsentError(reason)
