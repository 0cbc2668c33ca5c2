"""`thongsuot sign-off`: a period's figures stay as they are counted now."""

from __future__ import annotations

import time

from config.model import Inventory
from monitor.cli_base import FINE, NOT_MEASURED, WRONG_USE, fail, say
from monitor.times import parse_span_ms


async def sign_period_off(from_: str | None, to: str | None, month: str | None, by: str, inventory: Inventory) -> int:
    """Sign off; return 2 for a period that is not over or was signed before, 3 when the store is away."""
    from monitor.commands import AlreadySignedError, Commands, NotOverError
    from monitor.store import StoreError

    try:
        from_ms, to_ms = parse_span_ms(from_, to, month, inventory.settings.timezone)
        commands = await Commands.open(inventory.settings.store)
        try:
            signed = await commands.sign_off(from_ms, to_ms, by=by, now_ms=time.time_ns() // 1_000_000)
        finally:
            await commands.aclose()
    except (ValueError, AlreadySignedError, NotOverError) as error:
        fail(WRONG_USE, str(error))
    except StoreError as error:
        fail(NOT_MEASURED, str(error))
    say(f"{len(signed.figures)} targets signed off by {signed.signed_by}")
    return FINE
