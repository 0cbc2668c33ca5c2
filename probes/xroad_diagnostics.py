"""What a security server's management API says of it (`/api/v1/diagnostics/…`, `/api/v1/tokens`), judged purely."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.certificates import utc_text
from probes.failures import plain_line
from probes.xroad_metadata import moment_of

SERVICES = ("globalconf", "ocsp-responders", "timestamping-services")
"""The diagnostics that are asked for."""

ITEMS_LIMIT = 200
_GOOD = "OCSP_RESPONSE_GOOD"


@dataclass(slots=True)
class Diagnosis:
    """What is not well, in words.

    Attributes:
        failed, stale, waiting: by how bad it is.
        samples: what was measured.

    """

    failed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    samples: dict[str, float] = field(default_factory=dict)

    def add_services(self, name: str, told: Any) -> None:
        """Take the answer of one of SERVICES."""
        for what, one in _services(name, told):
            status, code = one.get("status_class"), plain_line(str(one.get("status_code", "?")), 60)
            if status == "FAIL":
                self.failed.append(f"{what} ({code})")
            elif status != "OK":
                self.waiting.append(f"{what} ({code})")
            upcoming = moment_of(one.get("next_update_at")) if name == "ocsp-responders" else None
            if upcoming is None:
                continue
            left_s = upcoming.timestamp() - time.time()
            self._least("ocsp_expires_s", left_s)
            if left_s < 0 and status == "OK":
                self.stale.append(f"{what} (next update {utc_text(upcoming)})")

    def add_tokens(self, told: Any) -> None:
        """Take the list of tokens, with their keys and certificates; only what is in use counts."""
        for token in _mappings(told):
            certificates = [
                (key, one)
                for key in _mappings(token.get("keys"))
                for one in _mappings(key.get("certificates"))
                if one.get("active") is True and one.get("status") == "REGISTERED"
            ]
            if certificates and (token.get("logged_in") is False or token.get("available") is False):
                self.failed.append(f"token {plain_line(str(token.get('name', '?')), 60)!r} is not logged in")
            for key, one in certificates:
                self._add_certificate(str(key.get("usage", "?")).lower()[:20], one)

    def _add_certificate(self, usage: str, told: Mapping[str, Any]) -> None:
        whose = plain_line(f"{usage} certificate of {told.get('owner_id') or 'the server'}", 120)
        details = told.get("certificate_details")
        ends = moment_of(details.get("not_after")) if isinstance(details, dict) else None
        if ends is not None:
            self._least("server_certs_expire_s", ends.timestamp() - time.time())
        status = told.get("ocsp_status")
        if isinstance(status, str) and status != _GOOD:
            self.failed.append(f"{whose} ({plain_line(status, 60)})")

    def _least(self, name: str, value: float) -> None:
        self.samples[name] = min(value, self.samples.get(name, value))


def _services(name: str, told: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each thing that has a status, with what it is called."""
    if name == "globalconf":
        if isinstance(told, dict):
            yield "global configuration", told
    elif name == "timestamping-services":
        for one in _mappings(told):
            yield f"time stamping by {plain_line(str(one.get('url')), 80)}", one
    else:
        for group in _mappings(told):
            for one in _mappings(group.get("ocsp_responders")):
                yield f"OCSP of {plain_line(str(one.get('url')), 80)}", one


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value[:ITEMS_LIMIT] if isinstance(one, dict)] if isinstance(value, list) else []
