"""Who is at fault, by an X-Road error code: the one cause that an operator wants to know.

A request passes five places, and an error code tells the one that gave up (PR-MESS, section 2.5 and annex D; PR-REST,
section 4.6; the codes are those of the X-Road source, `ErrorCodes.java`): the request itself, the own security server
(`Server.ClientProxy`), the network between the two servers, the provider's server (`Server.ServerProxy`), and the
information system behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from probes.failures import TroubleError, plain_line
from probes.model import Failure


class Side(IntEnum):
    """Who is at fault; the number is the sample `fault_side`."""

    REQUEST = 1
    OWN_SERVER = 2
    NETWORK = 3
    PROVIDER_SERVER = 4
    ADAPTER = 5

    @property
    def words(self) -> str:
        """How a message says it."""
        return _WORDS[self]


_WORDS = {
    Side.REQUEST: "our own request",
    Side.OWN_SERVER: "the own security server",
    Side.NETWORK: "the network between the security servers",
    Side.PROVIDER_SERVER: "the provider's security server",
    Side.ADAPTER: "the provider's information system",
}

_ABOUT_THE_REQUEST = frozenset({"UnknownMember", "InvalidClientIdentifier", "InvalidServiceIdentifier", "BadRequest"})
_OF_THE_SERVER_ITSELF = frozenset({"CannotCreateSignature", "InternalError", "LoggingFailed", "DatabaseError"})
"""What `ServiceFailed` of the provider's server can mean beside a service that failed."""


def side_of(code: str) -> Side:
    """Return who is at fault by an error code; a code that is not X-Road's is the information system's own."""
    kind, _, rest = code.partition(".")
    place, _, reason = rest.partition(".")
    first, _, second = reason.partition(".")
    if kind == "Client" and (not rest or place != "ServerProxy"):
        return Side.REQUEST
    if place == "ClientProxy":
        if first in _ABOUT_THE_REQUEST:
            return Side.REQUEST
        return Side.NETWORK if first == "NetworkError" else Side.OWN_SERVER
    if place == "ServerProxy":
        failed_beyond = first == "ServiceFailed" and second.partition(".")[0] not in _OF_THE_SERVER_ITSELF
        return Side.ADAPTER if failed_beyond or first == "NetworkError" else Side.PROVIDER_SERVER
    return Side.ADAPTER


@dataclass(frozen=True, slots=True)
class XroadFault:
    """An error that X-Road, or the service behind it, answered with."""

    code: str
    text: str

    @property
    def side(self) -> Side:
        """Who is at fault."""
        return side_of(self.code)

    def trouble(self, failure: Failure) -> TroubleError:
        """Return it as what a check is down with; a right that is missing is `auth_rejected`."""
        denied = self.code.endswith(".AccessDenied")
        told = f"{self.side.words}: {self.code}" + (f": {self.text}" if self.text else "")
        return TroubleError(Failure.AUTH_REJECTED if denied else failure, plain_line(told))


def rest_fault(content: bytes, header: str) -> XroadFault | None:
    """Return the error in a REST answer (PR-REST, section 4.6), None where it is none of X-Road's."""
    try:
        told: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    code = header or told.get("type")
    if not isinstance(code, str) or not code.startswith(("Server.", "Client.")):
        return None
    message = told.get("message")
    return XroadFault(plain_line(code, 120), plain_line(message, 200) if isinstance(message, str) else "")
