"""CPU of a database check, with a new session and with a kept one, against real servers on loopback.

`python -m benchmarks.databases` prints one JSON object a line. A driver that could have been used instead stands beside
ours where it is installed: connect, log in, one query, close.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import uvloop

from monitor.jobs import Job
from monitor.oneshot import prepare
from monitor.runner import measure
from probes.model import Resources

Row = dict[str, Any]
RUNS, WARM_UP = 300, 20
BUDGETS_MS = {"keep": 1.5, "new": 6.0}


async def _cpu_ms(once: Callable[[], Awaitable[None]]) -> float:
    for _ in range(WARM_UP):
        await once()
    began_s = time.process_time()
    for _ in range(RUNS):
        await once()
    return (time.process_time() - began_s) / RUNS * 1000


async def _ours_ms(job: Job) -> float:
    resources = Resources()

    async def once() -> None:
        result = await measure(job, resources, "bench")
        if result.failure is not None:
            raise RuntimeError(result.message)

    try:
        return await _cpu_ms(once)
    finally:
        await resources.aclose()


async def _asyncpg(dsn: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    await connection.fetchval("SELECT 1")
    await connection.close()


async def _asyncmy(host: str, port: int, user: str, password: str) -> None:
    import asyncmy

    connection = await asyncmy.connect(host=host, port=port, user=user, password=password, db="app")
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT 1")
        await cursor.fetchall()
    await connection.ensure_closed()


async def _redis(port: int, password: str) -> None:
    from redis.asyncio import Redis

    client = Redis(port=port, password=password)
    await client.ping()
    await client.aclose()


def _ldap3(port: int, base: str) -> None:
    import ldap3

    server = ldap3.Server("127.0.0.1", port=port, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, auto_bind=True)
    connection.search(base, "(objectClass=*)", ldap3.BASE)
    connection.unbind()


def _servers(stack: ExitStack) -> Iterator[tuple[str, str, dict[str, Any], Callable[[], Awaitable[None]]]]:
    """Yield kind, address, parameters, and the peer's way to connect, ask and close."""
    import trustme

    from tests.mariadb import MariadbServer
    from tests.postgres import PostgresServer
    from tests.probes.test_ldap import ENTRIES, Slapd
    from tests.probes.test_redis import SECRET, RedisServer

    postgres = PostgresServer()
    stack.callback(postgres.close)
    postgres.start()
    yield "postgresql", postgres.dsn(), {}, lambda: _asyncpg(postgres.dsn())
    mariadb = MariadbServer()
    stack.callback(mariadb.close)
    mariadb.start()
    mariadb.execute("CREATE DATABASE app; CREATE USER watcher@'127.0.0.1' IDENTIFIED BY 'mat-khau'")
    mariadb.execute("GRANT SELECT ON app.* TO watcher@'127.0.0.1'")
    mariadb.execute("GRANT PROCESS, REPLICA MONITOR ON *.* TO watcher@'127.0.0.1'")
    yield "mysql", mariadb.dsn(), {}, lambda: _asyncmy("127.0.0.1", mariadb.port, "watcher", "mat-khau")
    redis = RedisServer().start()
    stack.callback(redis.close)
    yield "redis", redis.address, {"password": SECRET}, lambda: _redis(redis.port, SECRET)
    slapd = Slapd(trustme.CA().issue_cert("127.0.0.1"))
    stack.callback(slapd.close)
    slapd.load(ENTRIES).start()
    yield "ldap", slapd.address, {}, lambda: asyncio.to_thread(_ldap3, slapd.port, "")


def run() -> Iterator[Row]:
    """Measure each engine: with all its usual details, and the bare query beside the driver."""
    with ExitStack() as stack:
        for kind, address, parameters, peer in _servers(stack):
            for session, budget_ms in BUDGETS_MS.items():
                job = prepare(kind, address, {**parameters, "session": session}, 10.0)
                ours_ms = uvloop.run(_ours_ms(job))
                yield {
                    "what": f"CPU per {kind} check with its details, session: {session}",
                    "value": round(ours_ms, 3),
                    "unit": "ms",
                    "budget": f"≤ {budget_ms} ms",
                    "met": ours_ms <= budget_ms,
                }
            bare = prepare(kind, address, parameters if kind == "ldap" else {**parameters, "details": False}, 10.0)
            ours_ms = uvloop.run(_ours_ms(bare))
            try:
                peer_ms = uvloop.run(_cpu_ms(peer))
            except ImportError:
                continue
            yield {
                "what": f"CPU of connecting, logging in, one query and closing, {kind}",
                "value": round(ours_ms, 3),
                "unit": "ms",
                "peer": round(peer_ms, 3),
                "ratio": round(ours_ms / peer_ms, 3),
            }


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False), flush=True)
