"""Brings a store's schema to the version that this program knows."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store.engine import create_engine
from monitor.store.errors import StoreVersionError

HEAD = "0005"
"""The newest version."""
KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""All versions that this program can bring to the newest, oldest first."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_KEY = 0x7E5C_0001
"""PostgreSQL advisory lock that keeps two processes from migrating at once."""


def version_of(connection: Connection) -> str | None:
    """Return the schema's version, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


async def upgrade(engine: AsyncEngine) -> tuple[str | None, str]:
    """Migrate to the newest version in one transaction; return the version before and after.

    Raises StoreVersionError for a schema that is newer than this program.
    """
    async with engine.connect() as connection, connection.begin():
        # The common case costs one look.
        before = await connection.run_sync(version_of)
        if before != HEAD:
            before = await connection.run_sync(_upgrade)
    return before, HEAD


async def upgrade_at(url: URL, patience_s: float) -> None:
    """Migrate the store at that address, if it is not at the newest version; that may take as long as it takes.

    Raises StoreVersionError as `upgrade` does.
    """
    looking = create_engine(url, patience_s=patience_s)
    working = create_engine(url, patience_s=patience_s, command_timeout_s=None)
    try:
        async with looking.connect() as connection:
            version = await connection.run_sync(version_of)
        if version != HEAD:
            await upgrade(working)
    finally:
        await looking.dispose()
        await working.dispose()


def _upgrade(connection: Connection) -> str | None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
    before = version_of(connection)
    refuse_unknown(before)
    # Alembic takes long to import, and is needed once in a store's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


def refuse_unknown(version: str | None) -> None:
    """Raise StoreVersionError for a version that this program does not know."""
    if version is not None and version not in KNOWN:
        message = f"the store has schema {version}, which is newer than this program's {HEAD}: use a newer program"
        raise StoreVersionError(message)


async def require_head(connection: AsyncConnection) -> None:
    """Raise StoreVersionError unless the schema is the newest one."""
    version = await connection.run_sync(version_of)
    refuse_unknown(version)
    if version != HEAD:
        message = f"the store has schema {version or 'none'}, not {HEAD}: run thongsuot db upgrade"
        raise StoreVersionError(message)
