"""The sessions that a stateful reflector counts (RFC 8762, section 4.3): bounded in number and in time.

A session is told by where its packets come from (address and port) and by its SSID (RFC 8972, section 3). It ends when
`IDLE_S` have passed without a packet, or when its numbers start at 0 again with another timestamp: an older sender
without an SSID that has begun anew from the same port.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from probes.stamp_codec import Question

SESSIONS_MAX: Final = 10_000
IDLE_S: Final = 30.0
"""Three times the longest pause that our own sender makes between two packets."""


class Session:
    """One session's counts.

    Attributes:
        received: packets that came, those included that were not answered.
        sent: packets that were answered; the next answer's number.

    """

    __slots__ = ("first", "received", "seen", "sent")

    def __init__(self) -> None:
        self.received = self.sent = 0
        self.first: tuple[int, int] | None = None
        self.seen = 0.0


class Sessions:
    """The `SESSIONS_MAX` sessions that were last used."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, source: Hashable, question: Question, now: float) -> Session:
        """Return the session that a question belongs to, begun with it if need be; `now` in seconds, monotonic."""
        key = (source, question.ssid)
        session = self._sessions.get(key)
        if session is None or now - session.seen > IDLE_S or _begins_anew(session, question):
            session = self._sessions[key] = Session()
            if len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        if question.number == 0:
            session.first = question.timestamp
        session.seen = now
        return session


def _begins_anew(session: Session, question: Question) -> bool:
    return question.number == 0 and session.first not in (None, question.timestamp)
