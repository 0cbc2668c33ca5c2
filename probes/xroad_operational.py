"""Operational monitoring of X-Road: how long each place on the way took (PR-OPMON, section 2 and annex B).

Each server writes a record of each message, with four moments: the request came in and went out, the answer came in
and went out. From the client's server's record come its own time and that of all beyond it; from the record of the
provider's server, its own time and that of the information system behind it. Where both records of one message are
there, the difference is the network's. All four moments of a record are of one clock: no two clocks are compared.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from probes.failures import TroubleError
from probes.model import Failure
from probes.multipart import MultipartError, Part, parts_of
from probes.soap_message import Answer
from probes.xroad_fault import Side, side_of
from probes.xroad_identity import MONITORING, Identity

PAYLOAD_LIMIT = 32 << 20
"""Bytes of unpacked records."""

RECORDS_LIMIT = 200_000
FIELDS = (
    *("securityServerType", "requestInTs", "requestOutTs", "responseInTs", "responseOutTs", "messageId", "succeeded"),
    *("serviceXRoadInstance", "serviceMemberClass", "serviceMemberCode", "serviceSubsystemCode", "serviceCode"),
    *("serviceVersion", "faultCode", "xRequestId"),
)
PARTS = ("total", "own_server", "beyond", "network", "provider_server", "adapter")
"""The times that are told of."""


def request_body(from_s: int, to_s: int) -> str:
    """Return the body that asks for the records of a time."""
    asked = "".join(f"<m:outputField>{name}</m:outputField>" for name in FIELDS if name != "xRequestId")
    return (
        f'<m:getSecurityServerOperationalData xmlns:m="{MONITORING}"><m:searchCriteria>'
        f"<m:recordsFrom>{from_s}</m:recordsFrom><m:recordsTo>{to_s}</m:recordsTo></m:searchCriteria>"
        f"<m:outputSpec>{asked}</m:outputSpec></m:getSecurityServerOperationalData>"
    )


def records_in(answer: Answer, content: bytes, content_type: str) -> list[Mapping[str, Any]]:
    """Return the records that came as an attachment.

    Raises TroubleError (`protocol`, `body_too_large`).
    """
    body = answer.body
    if body is None or body.name != "getSecurityServerOperationalDataResponse":
        raise TroubleError(Failure.PROTOCOL, "the answer holds no operational data")
    if body.text_at("recordsCount") == "0":
        return []
    try:
        attached = _attached(parts_of(content, content_type), body.text_at("records"))
    except MultipartError as error:
        raise TroubleError(Failure.PROTOCOL, f"the records are not attached: {error}") from None
    try:
        told = orjson.loads(_unpacked(attached.content))
    except orjson.JSONDecodeError:
        raise TroubleError(Failure.PROTOCOL, "the records are not JSON") from None
    records = told.get("records") if isinstance(told, dict) else None
    if not isinstance(records, list):
        raise TroubleError(Failure.PROTOCOL, "the attachment holds no records")
    return [one for one in records[:RECORDS_LIMIT] if isinstance(one, dict)]


def _attached(parts: Sequence[Part], reference: str) -> Part:
    """Return the part that a CID names, else the only other one. Raises MultipartError."""
    wanted = reference.removeprefix("cid:").strip("<> ")
    for part in parts[1:]:
        if wanted and part.headers.get("content-id", "").strip("<> ") == wanted:
            return part
    if len(parts) != 2:
        raise MultipartError("there is no part of that name")
    return parts[1]


def _unpacked(packed: bytes) -> bytes:
    if packed[:2] != b"\x1f\x8b":
        raise TroubleError(Failure.PROTOCOL, "the records are not packed with gzip")
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = inflate.decompress(packed, PAYLOAD_LIMIT)
    except zlib.error:
        raise TroubleError(Failure.BODY_DECODE, "the records cannot be unpacked") from None
    if inflate.unconsumed_tail:
        raise TroubleError(Failure.BODY_TOO_LARGE, f"the records are larger than {PAYLOAD_LIMIT} bytes")
    if not inflate.eof:
        raise TroubleError(Failure.BODY_DECODE, "the records break off")
    return plain


@dataclass(slots=True)
class Split:
    """What the records of a time come to.

    Attributes:
        messages: how many there were.
        succeeded: how many of them went well.
        times_s: the times of those that went well, by the names of PARTS.
        faults: how many failed, by error code.

    """

    messages: int = 0
    succeeded: int = 0
    times_s: dict[str, list[float]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def samples(self) -> dict[str, float]:
        """Return them as samples; a time that nothing was measured of is absent."""
        found: dict[str, float] = {"records": self.messages}
        if self.messages:
            found["success_ratio"] = self.succeeded / self.messages
            sides = Counter[Side]()
            for code, count in self.faults.items():
                sides[side_of(code)] += count
            found |= {f"faults_{side.name.lower()}": sides[side] for side in Side}
        for name, times in self.times_s.items():
            times.sort()
            found[f"{name}_p50_s"], found[f"{name}_p95_s"] = _rank(times, 0.5), _rank(times, 0.95)
        return found


def _rank(ordered: Sequence[float], share: float) -> float:
    """Return a percentile by the nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def split(records: Iterable[Mapping[str, Any]], service: Identity | None) -> Split:
    """Return what records come to, of one service or of all, purely."""
    clients: dict[str, Mapping[str, Any]] = {}
    producers: dict[str, Mapping[str, Any]] = {}
    for number, record in enumerate(records):
        if service is None or _is_of(record, service):
            side = producers if record.get("securityServerType") == "Producer" else clients
            key = record.get("xRequestId") or record.get("messageId")
            side.setdefault(str(key) if key else f"#{number}", record)
    found = Split()
    # A message that both servers tell of is one message.
    for key in {**clients, **producers}:
        _count(found, clients.get(key), producers.get(key))
    return found


def _count(found: Split, client: Mapping[str, Any] | None, producer: Mapping[str, Any] | None) -> None:
    found.messages += 1
    records = [record for record in (client, producer) if record is not None]
    failed = [record for record in records if record.get("succeeded") is not True]
    if failed:
        code = next((record["faultCode"] for record in failed if isinstance(record.get("faultCode"), str)), "")
        if len(found.faults) < 1000:
            found.faults[str(code)[:120] or "without a code"] += 1
        return
    found.succeeded += 1
    near = _times(client) if client is not None else None
    far = _times(producer) if producer is not None else None
    told: dict[str, float] = {}
    if near is not None:
        told |= {"total": near[0], "own_server": near[1], "beyond": near[2]}
    if far is not None:
        told |= {"provider_server": far[1], "adapter": far[2]}
    if near is not None and far is not None:
        told["network"] = max(0.0, near[2] - far[0])
    for name, time_s in told.items():
        found.times_s.setdefault(name, []).append(time_s)


def _times(record: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return the whole time, the server's own and that beyond it, in seconds; None where a moment is missing."""
    moments = [record.get(name) for name in ("requestInTs", "requestOutTs", "responseInTs", "responseOutTs")]
    if not all(isinstance(moment, int) and not isinstance(moment, bool) for moment in moments):
        return None
    came, went, back, done = (float(moment or 0) for moment in moments)
    if not came <= went <= back <= done:
        return None  # a clock was set in between: it says nothing
    return (done - came) / 1000, (went - came + done - back) / 1000, (back - went) / 1000


def _is_of(record: Mapping[str, Any], service: Identity) -> bool:
    names = ("XRoadInstance", "MemberClass", "MemberCode", "SubsystemCode", "Code", "Version")
    return all(not part or record.get(f"service{name}") == part for name, part in zip(names, service, strict=True))
