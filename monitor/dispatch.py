"""The dispatcher: claims saved notifications, renders and sends them, marks them delivered or plans the retry.

Deciding and sending never call each other: between them lies a row in the store. A monitor that dies between
saving and sending leaves a row that the next one sends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from alerts import registry
from alerts.messages import Facts, render
from alerts.model import Incident
from alerts.registry import Channel, Message, PermanentSendError, SendError
from config.model import Inventory, Receiver
from monitor.records import PendingNotification
from monitor.store import Store, StoreUnavailableError

log = structlog.get_logger()

SEND_TIMEOUT_S = 10.0
IDLE_S = 2.0
"""How often the store is asked when nobody has said that there is something to send."""
CLAIM_LIMIT = 50
Note = Callable[[], Awaitable[None]]
RETRY_FIRST_S, RETRY_MOST_S = 5.0, 600.0


def retry_delay_s(attempts: int) -> float:
    """Return how long to wait after that many failed tries: doubling, with a bound, spread by ±20 %."""
    delay = min(RETRY_MOST_S, RETRY_FIRST_S * float(2 ** min(attempts, 10)))
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreading retries is not cryptography


class Dispatcher:
    """Sends what has been decided.

    Attributes:
        delivered, failed, given_up: counts since the start, for `/metrics`.

    """

    def __init__(self, store: Store, inventory: Inventory, channels: Mapping[str, Channel[Any]] | None = None) -> None:
        self._store = store
        self._inventory = inventory
        self._channels = channels
        self._something = asyncio.Event()
        self._unnoted: dict[int, Note] = {}
        self.delivered = 0
        self.failed = 0
        self.given_up = 0

    def replace_inventory(self, inventory: Inventory) -> None:
        """Use these receivers and names from now on."""
        self._inventory = inventory

    def wake(self) -> None:
        """Say that something was saved that should be sent."""
        self._something.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                sent = await self.send_due()
            except StoreUnavailableError:
                sent = 0
            if sent:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._something.wait(), IDLE_S)
            self._something.clear()

    async def send_due(self) -> int:
        """Claim what is due, send it side by side, and return how many were claimed.

        What came of one that was sent while the store went away is noted first, so that it is not sent again.
        """
        for number, note in list(self._unnoted.items()):
            await note()
            del self._unnoted[number]
        claimed = await self._store.claim_notifications(_now_ms(), CLAIM_LIMIT)
        if claimed:
            incidents = await self._store.incidents({pending.notification.incident for pending in claimed})
            await asyncio.gather(*(self._send(p, incidents.get(p.notification.incident)) for p in claimed))
            if self._unnoted:
                message = "what came of some notifications could not be noted"
                raise StoreUnavailableError(message)
        return len(claimed)

    async def _send(self, pending: PendingNotification, incident: Incident | None) -> None:
        receiver = self._inventory.receivers.get(pending.notification.receiver)
        if receiver is None or incident is None:
            await self._give_up(pending, "the receiver is no longer configured")
            return
        try:
            await self._channel(receiver).send(receiver.options, self._message(pending, incident), SEND_TIMEOUT_S)
        except PermanentSendError as error:
            await self._give_up(pending, str(error))
        except SendError as error:
            self.failed += 1
            due_ms = _now_ms() + round(retry_delay_s(pending.attempts) * 1000)
            log.warning("a notification was not accepted", receiver=receiver.id, error=str(error))
            await self._note(pending, partial(self._store.plan_retry, pending.id, due_ms, str(error)))
        else:
            self.delivered += 1
            await self._note(pending, partial(self._store.mark_delivered, pending.id, _now_ms()))

    async def _note(self, pending: PendingNotification, note: Note) -> None:
        try:
            await note()
        except StoreUnavailableError:
            self._unnoted[pending.id] = note

    async def _give_up(self, pending: PendingNotification, reason: str) -> None:
        self.given_up += 1
        log.error("a notification cannot be delivered", receiver=pending.notification.receiver, error=reason)
        await self._note(pending, partial(self._store.give_up, pending.id, reason))

    def _channel(self, receiver: Receiver) -> Channel[Any]:
        if self._channels is not None:
            return self._channels[receiver.channel]
        return registry.find(receiver.channel)

    def _message(self, pending: PendingNotification, incident: Incident) -> Message:
        settings = self._inventory.settings
        targets = self._inventory.targets
        names = {
            target: targets[target].name.in_language(settings.language) or target
            for target in (incident.target, *incident.impact)
            if target in targets
        }
        owner = targets[incident.target].agency if incident.target in targets else ""
        agency = self._inventory.agencies.get(owner)
        facts = Facts(
            notification=pending.notification,
            incident=incident,
            names=names,
            owner=agency.name.in_language(settings.language) if agency else owner,
            language=settings.language,
            timezone=settings.timezone,
            simulated=settings.simulated,
        )
        return render(facts, key=f"{pending.notification.incident}-{pending.id}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
