"""How messages to one agent are wrapped and answers unwrapped: by its community, or by a user's keys.

Of an agent that speaks SNMPv3 the engine is learned once and kept for the process (RFC 3414, sections 2.3 and 4):
its id, for which keys are localized, and its clock, to which every message is bound. The clock that an engine tells
before we can authenticate it is only believed for the first question; from then on what moves it is authentic.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol

from probes.failures import TroubleError
from probes.model import Failure
from probes.snmp_ber import BerError, oid_text
from probes.snmp_params import Login
from probes.snmp_pdu import (
    GET,
    REPORT,
    RESPONSE,
    Pdu,
    decode_community_message,
    encode_community_message,
    encode_pdu,
)
from probes.snmp_usm import (
    DECRYPTION_ERROR,
    NOT_IN_TIME,
    REPORTABLE,
    UNKNOWN_ENGINE,
    UNKNOWN_USER,
    UNSUPPORTED_LEVEL,
    WRONG_DIGEST,
    Envelope,
    Header,
    Keys,
    decode_message,
    encode_message,
    is_authentic,
    keys_at,
    open_payload,
)

WINDOW_S = 150
"""How far a message's time may be off (RFC 3414, section 2.2.3)."""

ID_LIMIT = 0x7FFF_FFFF

_REFUSALS = {
    UNSUPPORTED_LEVEL: "the user may not ask at this security level (usmStatsUnsupportedSecLevels)",
    UNKNOWN_USER: "the agent does not know the user (usmStatsUnknownUserNames)",
    WRONG_DIGEST: "the authentication password or protocol is wrong (usmStatsWrongDigests)",
    DECRYPTION_ERROR: "the privacy password or protocol is wrong (usmStatsDecryptionErrors)",
}


class NotOursError(Exception):
    """What came is not the answer to what was asked: ignore it."""


class LearnedError(Exception):
    """The agent told us what we had to know of it: ask again at once."""


class Security(Protocol):
    """How one agent is spoken to.

    `wrap` returns a request as it is sent; its request id may be sent again with other ids. `unwrap` returns the
    answer to one of the ids in `asked`, and raises NotOursError, LearnedError, or TroubleError (`auth_rejected`).
    """

    @property
    def silence(self) -> str:
        """What it may mean that nothing was ever answered."""
        ...

    def wrap(self, id_: int, pdu: bytes, now: float) -> bytes:
        """Return a message around a request."""
        ...

    def unwrap(self, data: bytes, asked: set[int], now: float) -> Pdu:
        """Return what a message holds."""
        ...


class CommunitySecurity:
    """SNMPv2c: the community is all there is."""

    silence = "the host, the way there, a filter, or a community that it does not take: agents are then silent"

    def __init__(self, community: str) -> None:
        self._community = community.encode()

    def wrap(self, _id: int, pdu: bytes, _now: float) -> bytes:
        """Return a message around a request."""
        return encode_community_message(self._community, pdu)

    def unwrap(self, data: bytes, asked: set[int], _now: float) -> Pdu:
        """Return what a message holds."""
        try:
            pdu = decode_community_message(data)
        except BerError as error:
            raise NotOursError(str(error)) from None
        if pdu.kind != RESPONSE or pdu.request_id not in asked:
            raise NotOursError("it answers another question")
        return pdu


@dataclass(slots=True)
class Engine:
    """An authoritative engine as we know it.

    Attributes:
        id: its snmpEngineID.
        boots, time: its clock when it was last heard.
        at: when that was, on our clock.
        keys: the user's at this engine.

    """

    id: bytes
    boots: int
    time: int
    at: float
    keys: Keys

    def time_at(self, now: float) -> int:
        """Return what its clock shows."""
        return min(self.time + int(now - self.at), ID_LIMIT)

    def hear(self, header: Header, now: float) -> None:
        """Set its clock by an authentic message, unless that is one of old (RFC 3414, section 3.2, 7b).

        Raises NotOursError for a message that is too old.
        """
        if (header.boots, header.time) >= (self.boots, self.time_at(now)):
            self.boots, self.time, self.at = header.boots, header.time, now
        elif header.boots < self.boots or header.time < self.time_at(now) - WINDOW_S:
            raise NotOursError("it is an old message")


class UserSecurity:
    """SNMPv3: the user-based security model, for one user at one agent."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._user, self._context = login.user.encode(), login.context.encode()
        self._salt = secrets.randbits(64)
        self.engine: Engine | None = None

    @property
    def silence(self) -> str:
        """What it may mean that nothing was ever answered."""
        if self.engine is None:
            return "the host, the way there, a filter, or an agent without SNMPv3"
        return "the host, the way there, a filter, or a privacy password or protocol that it does not take"

    def wrap(self, id_: int, pdu: bytes, now: float) -> bytes:
        """Return a message around a request; to an engine that is not known, one that asks who it is."""
        engine = self.engine
        if engine is None:  # RFC 3414, section 4
            nobody = Header(id_, REPORTABLE, b"", 0, 0, b"")
            return encode_message(nobody, Keys(), b"", b"", encode_pdu(GET, id_, ()), b"")
        self._salt = (self._salt + 1) % (1 << 64)
        flags = engine.keys.flags | REPORTABLE
        header = Header(id_, flags, engine.id, engine.boots, engine.time_at(now), self._user)
        return encode_message(header, engine.keys, engine.id, self._context, pdu, self._salt.to_bytes(8, "big"))

    def unwrap(self, data: bytes, asked: set[int], now: float) -> Pdu:
        """Return what a message holds."""
        try:
            envelope = decode_message(data)
            if envelope.header.message_id not in asked:
                raise NotOursError("it answers another question")
            return self._open(envelope, data, asked, now)
        except BerError as error:
            raise NotOursError(str(error)) from None

    def _open(self, envelope: Envelope, data: bytes, asked: set[int], now: float) -> Pdu:
        engine, header = self.engine, envelope.header
        if engine is None:
            self.engine = self._learned(envelope, now)
            raise LearnedError
        authentic = is_authentic(envelope, data, engine.keys)
        if authentic and header.engine_id != engine.id:
            raise NotOursError("it is of another engine")
        pdu = open_payload(envelope, engine.keys)
        if pdu.kind == REPORT:
            self._report(pdu, header, now, authentic=authentic)
        if pdu.kind != RESPONSE or pdu.request_id not in asked or header.user != self._user:
            raise NotOursError("it answers another question")
        if engine.keys.flags != header.flags & engine.keys.flags or (engine.keys.auth and not authentic):
            raise NotOursError("it is less secure than what was asked")
        if authentic:
            engine.hear(header, now)
        return pdu

    def _learned(self, envelope: Envelope, now: float) -> Engine:
        header = envelope.header
        pdu = open_payload(envelope, Keys())
        if pdu.kind != REPORT or len(header.engine_id) < 5:
            raise NotOursError("it does not say who the agent is")
        login = self._login
        keys = keys_at(
            header.engine_id, login.auth, _octets(login.auth_password), login.privacy, _octets(login.privacy_password)
        )
        return Engine(header.engine_id, header.boots, header.time, now, keys)

    def _report(self, pdu: Pdu, header: Header, now: float, *, authentic: bool) -> None:
        """Act upon a report: it is never an answer."""
        reason = oid_text(pdu.bindings[0][0]) if pdu.bindings else ""
        if reason == UNKNOWN_ENGINE:
            if self.engine is not None and header.engine_id != self.engine.id:
                self.engine = None  # another router answers at this address
            raise LearnedError  # or another session has learned in the meantime who the agent is
        if reason == NOT_IN_TIME and authentic and self.engine is not None:
            self.engine.boots, self.engine.time, self.engine.at = header.boots, header.time, now
            raise LearnedError
        if reason in _REFUSALS:
            raise TroubleError(Failure.AUTH_REJECTED, _REFUSALS[reason])
        raise NotOursError("it is a report that says nothing")


def security_for(login: Login) -> Security:
    """Return how an agent is spoken to in somebody's name."""
    if login.community is not None:
        return CommunitySecurity(login.community.get_secret_value())
    return UserSecurity(login)


def _octets(secret: object) -> bytes:
    text = getattr(secret, "get_secret_value", str)()
    return str(text).encode()
