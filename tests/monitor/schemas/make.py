"""Makes the kept files of the newest schema: a store of each kind with one of everything in it, and what it exports.

    python -m tests.monitor.schemas.make DIRECTORY

writes `<revision>.sqlite.zst`, `<revision>.sql.zst` (a plain dump with INSERTs) and `<revision>.jsonl.zst` (the results
as the program of that revision exports them). To be run once, when a revision is new, and never again: a kept file is
what that revision's program wrote, not what today's would. 0001 was filled in the same way by its own program; 0002
is 0001 migrated, with rows of its own tables added; 0003 and 0004 were written by the program of 0005, which was
released with them, without what came after.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import zstandard

from alerts.model import State
from monitor.closing import close_months
from monitor.commands import Commands
from monitor.queries import Queries
from monitor.result_json import result_line
from monitor.store import Store, migrate
from probes.heartbeat_book import Page
from tests.monitor.country import configured, steady
from tests.monitor.samples import START_MS, full_batch
from tests.postgres import PASSWORD, USER, PostgresServer, programs

FAR_MS = 1 << 44
MINUTE_MS = 60_000
MONTH_MS = (1_788_195_600_000, 1_790_787_600_000)
"""September 2026 in Hà Nội."""
CHECKS = ("link-a/icmp", "link-b/icmp", "dan-cu/http", "dan-cu/tcp")


async def fill(url: str, directory: Path) -> bytes:
    """Put one of everything into a store; return the export of its results."""
    store = await Store.open(url)
    await store.take_lock("a monitor")
    await store.sync_inventory(configured(directory / "conf"))
    half_ms = START_MS + 20 * MINUTE_MS
    history = steady(CHECKS, START_MS, half_ms) + steady(CHECKS[2:], half_ms, half_ms + 5 * MINUTE_MS, State.DOWN)
    await store.import_results(history + steady(CHECKS, half_ms + 5 * MINUTE_MS, half_ms + 20 * MINUTE_MS))
    batch = full_batch(START_MS + 60 * MINUTE_MS)
    await store.save(batch)
    for number in (2, 3):
        further = full_batch(START_MS + 60 * MINUTE_MS + number, number=number)
        further.results, further.rollups = [], []
        await store.save(further)
    first, second, _ = await store.claim_notifications(FAR_MS, 3)
    await store.mark_delivered(first.id, START_MS + 61 * MINUTE_MS)
    await store.give_up(second.id, "không có người nhận")
    await store.seal(START_MS + 50 * MINUTE_MS)
    await store.save_heartbeats({"0123abcd": Page(START_MS, START_MS + 5, tail="xong\n")})
    await store.beat(START_MS + 70 * MINUTE_MS)
    queries, commands = await Queries.open(url), await Commands.open(url)
    await close_months(queries, store, MONTH_MS[1] + 86_400_000)
    await commands.sign_off(*MONTH_MS, by="Nguyễn Văn A", now_ms=MONTH_MS[1] + 86_400_000)
    await queries.aclose()
    await commands.aclose()
    # What comes late now stays to be worked out: the lock says that a monitor is running that will.
    other = await Store.open(url)
    late = steady(CHECKS[:1], START_MS, START_MS + MINUTE_MS)
    await other.import_results([one._replace(agent="hn-2") for one in late])
    exported = b"".join([result_line(one) async for one in other.export_results(0, FAR_MS)])
    await other.aclose()
    await store.aclose()
    return exported


def keep(directory: Path, name: str, content: bytes) -> None:
    (directory / f"{name}.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(content))


def sqlite_content(path: Path) -> bytes:
    """Return a closed SQLite store as one file without slack."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = DELETE", "VACUUM"):
        connection.execute(statement).fetchall()
    connection.close()
    return path.read_bytes()


def postgresql_content(server: PostgresServer, database: str) -> bytes:
    """Return a dump that any client can run: no COPY, no commands of psql, nobody's name."""
    command = [programs() / "pg_dump", "--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges"]
    where = ["-h", server.host, "-p", str(server.port), "-U", USER, database]
    environ = {**os.environ, "PGPASSWORD": PASSWORD}
    dumped = subprocess.run([*command, *where], capture_output=True, check=True, env=environ).stdout
    settings = (b"--", b"\\", b"SET ", b"SELECT pg_catalog.set_config")
    kept = [line for line in dumped.splitlines() if line and not line.startswith(settings)]
    return b"\n".join(kept) + b"\n"


async def main(target: Path) -> None:
    """Fill a store of each kind, and keep both."""
    server = PostgresServer()
    try:
        server.start()
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            exported = await fill(f"sqlite:///{directory}/store.db", directory)
            keep(target, f"{migrate.HEAD}.jsonl", exported)
            keep(target, f"{migrate.HEAD}.sqlite", sqlite_content(directory / "store.db"))
            database = await server.create_database()
            if await fill(server.dsn(database), directory) != exported:
                raise RuntimeError("the two stores do not hold the same results")
            keep(target, f"{migrate.HEAD}.sql", postgresql_content(server, database))
    finally:
        server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
