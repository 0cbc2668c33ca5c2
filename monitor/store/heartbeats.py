"""What jobs said of themselves, so that a restart of the monitor forgets none of it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.statements import storable, to_json, upsert
from monitor.store.tables import heartbeats
from probes.heartbeat_book import Page


async def load(connection: AsyncConnection) -> dict[str, Page]:
    """Return all pages by key."""
    rows = await connection.execute(select(heartbeats.c.key, heartbeats.c.page))
    return {row.key: Page.from_json(orjson.loads(row.page)) for row in rows}


async def save(connection: AsyncConnection, pages: Mapping[str, Page]) -> None:
    """Insert or replace pages."""
    rows = [{"key": key, "page": storable(to_json(page.as_json()))} for key, page in pages.items()]
    await upsert(connection, heartbeats, rows, ("key",))
