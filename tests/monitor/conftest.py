"""What the tests of the engine and the store share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from monitor.store import Store
from tests.postgres import PostgresServer

SMALL_DISK_BYTES = 4 << 20


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.dsn(await server.create_database())


_templates: dict[str, str] = {}


@pytest.fixture(params=["sqlite", "postgresql"])
async def store_url(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a new store, on each database in turn: a copy of one that was migrated once."""
    if request.param == "sqlite":
        if "sqlite" not in _templates:
            _templates["sqlite"] = f"{tmp_path_factory.mktemp('template')}/store.db"
            await (await Store.open(f"sqlite:///{_templates['sqlite']}")).aclose()
        shutil.copy(_templates["sqlite"], tmp_path / "store.db")
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    if "postgresql" not in _templates:
        _templates["postgresql"] = await server.create_database()
        await (await Store.open(server.dsn(_templates["postgresql"]))).aclose()
    return server.dsn(await server.create_database(_templates["postgresql"]))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open, empty store, on each database in turn."""
    opened = await Store.open(store_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of a few megabytes, to fill up."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
