"""The two messages of grpc.health.v1 and the framing around them, without I/O.

Message frames: gRPC over HTTP/2, "Length-Prefixed-Message". Fields: Protocol Buffers encoding, wire types 0 and 2.
"""

from __future__ import annotations

from probes.failures import TroubleError
from probes.model import Failure

CHECK_PATH = "/grpc.health.v1.Health/Check"

ANSWER_LIMIT = 4096
"""Bytes of an answer; the message of one is two."""

SERVING = 1
STATUSES = {0: "UNKNOWN", SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
"""HealthCheckResponse.ServingStatus."""

CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""Names of `grpc-status`, by number."""


def request(service: str) -> bytes:
    """Return a framed HealthCheckRequest: field 1, the service's name, which is left out when it is empty."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def answer(data: bytes) -> int:
    """Return the status in a framed HealthCheckResponse; 0 where it is left out.

    Raises TroubleError (`protocol`) for anything that is not one.
    """
    if len(data) < 5 or data[0] != 0 or len(data) != 5 + int.from_bytes(data[1:5], "big"):
        raise TroubleError(Failure.PROTOCOL, f"the answer is not one uncompressed message ({len(data)} bytes)")
    status, position = 0, 5
    while position < len(data):
        tag, position = _read_varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _read_varint(data, position)
            status = value if tag >> 3 == 1 else status
        elif kind == 2:
            length, position = _read_varint(data, position)
            position += length
        else:
            position += {1: 8, 5: 4}.get(kind, len(data))
    if position != len(data):
        raise TroubleError(Failure.PROTOCOL, "the message is cut off")
    return status


def status_name(status: int) -> str:
    """Return the name of a serving status."""
    return STATUSES.get(status, f"status {status}")


def code_name(code: int) -> str:
    """Return the name of a `grpc-status`."""
    return CODES[code] if 0 <= code < len(CODES) else f"code {code}"


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise TroubleError(Failure.PROTOCOL, "the message holds a number that is none")
