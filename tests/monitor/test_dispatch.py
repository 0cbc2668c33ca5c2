"""Notifications when the store goes away while they are being sent."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.webhook import WebhookOptions
from alerts.registry import Channel, Message, SendError
from monitor.dispatch import Dispatcher
from monitor.store import Store, StoreUnavailableError
from tests.monitor.country import configured
from tests.monitor.samples import full_batch


@pytest.mark.parametrize("accepts", [True, False])
async def test_what_was_sent_while_the_store_went_away_is_not_sent_again(tmp_path: Path, *, accepts: bool) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/store.db", patience_s=0.1)
    await store.save(full_batch())
    tries: list[str] = []
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:

        async def send(_options: Any, message: Message, _timeout_s: float) -> None:
            tries.append(message.key)
            other.execute("BEGIN IMMEDIATE")
            if not accepts:
                raise SendError("status = 503")

        channels = {"webhook": Channel("webhook", WebhookOptions, send)}
        dispatcher = Dispatcher(store, configured(tmp_path / "conf"), channels)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await dispatcher.send_due()
        assert len(tries) == 1
        other.execute("ROLLBACK")
        assert await dispatcher.send_due() == 0
        assert len(tries) == 1
        # One that was not accepted is due again later, with one try behind it; one that was is not.
        left = await store.claim_notifications(1 << 44, 10)
        assert [pending.attempts for pending in left] == ([] if accepts else [1])
    await store.aclose()
