"""What `/probe` answers beyond `/metrics`: the rest of blackbox_exporter's names, from what is seen and never stored.

Its dashboards and alerts go on as they are. A figure that it gives as 0 when it was not measured (a lookup of a number,
TLS that was not spoken) is 0 here as well: this page speaks its language, not ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from monitor.explain import fact
from monitor.metrics import escape
from monitor.runner import Observation
from probes.model import Failure

Series = Iterator[tuple[str, str, float]]
"""(name, labels between the braces, value)"""

_HTTP_PHASES = ("resolve", "connect", "tls")
"""The phases that blackbox_exporter names even when there was none."""
_NO_DATE_S = -62135596800.0
"""What blackbox_exporter says of a chain that leads to no root: the first second of the year 1."""


def series_of(kind: str, seen: Observation, conditions: tuple[str, ...]) -> Series:
    """Yield the further series of one run; `conditions` are the check's, as configured."""
    yield from _peer(seen)
    yield "probe_dns_lookup_time_seconds", "", seen.result.samples.get("resolve_s", 0.0)
    if kind in ("http", "tcp"):
        yield "probe_failed_due_to_regex", "", float(_by_pattern(seen, conditions))
    if kind == "http":
        yield from _http(seen)
    elif kind == "icmp":
        yield from _icmp(seen)
    elif kind == "dns":
        yield from _dns(seen)
    yield from _tls(seen)


def fnv1a(data: bytes) -> int:
    """Return the 32-bit FNV-1a hash (RFC 9923): how blackbox_exporter turns an address into a number."""
    digest = 0x811C9DC5
    for octet in data:
        digest = (digest ^ octet) * 0x01000193 & 0xFFFF_FFFF
    return digest


def _peer(seen: Observation) -> Series:
    try:
        address = ipaddress.ip_address(seen.peer.partition("%")[0])
    except ValueError:
        return
    yield "probe_ip_protocol", "", float(address.version)
    yield "probe_ip_addr_hash", "", float(fnv1a(address.packed))


def _by_pattern(seen: Observation, conditions: tuple[str, ...]) -> bool:
    failure, message = seen.result.failure, seen.result.message
    if failure is Failure.PROTOCOL:
        return "expect" in message
    return failure is Failure.CONDITION and any(
        ".matches(" in source and message.startswith(source[:80]) for source in conditions
    )


def _http(seen: Observation) -> Series:
    samples, facts = seen.result.samples, seen.measurement.facts
    url, headers = fact(facts, "url"), fact(facts, "headers")
    for phase in _HTTP_PHASES:
        if f"{phase}_s" not in samples:
            yield "probe_http_duration_seconds", f'phase="{phase}"', 0.0
    yield "probe_http_ssl", "", float(isinstance(url, str) and url.startswith("https:"))
    yield "probe_http_version", "", samples.get("http_version", 0.0)
    if not isinstance(headers, Mapping):
        return
    length = str(headers.get("content-length", ""))
    yield "probe_http_content_length", "", float(length) if length.isascii() and length.isdigit() else -1.0
    try:
        modified = datetime.strptime(str(headers.get("last-modified", "")), "%a, %d %b %Y %H:%M:%S %Z")  # noqa: DTZ007
    except ValueError:
        return
    yield "probe_http_last_modified_timestamp_seconds", "", modified.replace(tzinfo=UTC).timestamp()


def _icmp(seen: Observation) -> Series:
    samples = seen.result.samples
    for phase in ("resolve", "setup", "rtt"):
        sample = "rtt_mean_s" if phase == "rtt" else f"{phase}_s"
        if sample not in samples:
            yield "probe_icmp_duration_seconds", f'phase="{phase}"', 0.0
    if "ttl" in samples:
        yield "probe_icmp_reply_hop_limit", "", samples["ttl"]


def _dns(seen: Observation) -> Series:
    samples = seen.result.samples
    for phase, sample in (("resolve", "resolve_s"), ("connect", "connect_s"), ("request", "query_s")):
        yield "probe_dns_duration_seconds", f'phase="{phase}"', samples.get(sample, 0.0)
    yield "probe_dns_query_succeeded", "", float("rcode" in samples)
    yield "probe_dns_authority_rrs", "", samples.get("authorities", 0.0)
    yield "probe_dns_additional_rrs", "", samples.get("additionals", 0.0)


def _tls(seen: Observation) -> Series:
    facts = seen.measurement.facts
    chain = fact(facts, "certs")
    if not isinstance(chain, list) or not chain:
        return
    verified = seen.result.failure not in (Failure.TLS_UNTRUSTED, Failure.TLS_EXPIRED, Failure.TLS_NAME)
    last_s = max(seen.result.known_at_ms / 1000 + item["expires_s"] for item in chain) if verified else _NO_DATE_S
    yield "probe_ssl_last_chain_expiry_timestamp_seconds", "", round(last_s, 3)
    first = chain[0]
    labels = {
        "fingerprint_sha256": first["fingerprint_sha256"],
        "issuer": first["issuer"],
        "subject": first["subject"],
        "subjectalternative": ",".join(first["names"]),
    }
    yield "probe_ssl_last_chain_info", ",".join(f'{name}="{escape(text)}"' for name, text in labels.items()), 1.0
    version = fact(facts, "tls.version")
    if isinstance(version, str) and version:
        yield "probe_tls_version_info", f'version="{escape(version.replace("TLSv", "TLS "))}"', 1.0
