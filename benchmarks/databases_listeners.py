"""CPU of one check of the kinds whose servers cannot be installed, against the listeners of the tests.

Run `python -m benchmarks.databases_listeners [CHECKS]`. The listener is another process; what is counted is the CPU of
this one. The drivers of the engines' makers do the least that a check would need: connect, log in, one question.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from monitor.jobs import Job
from monitor.oneshot import prepare
from monitor.runner import measure
from probes.model import Resources
from tests.probes.http_servers import serve as serve_http
from tests.probes.mongodb_servers import PASSWORD, USER, Member
from tests.probes.search_servers import Cluster
from tests.probes.tcp_servers import serve
from tests.probes.tds_servers import Server


def listen(kind: str, pipe: Any) -> None:
    async def main() -> None:
        if kind == "elasticsearch":
            async with serve_http(Cluster()) as server:
                pipe.send(server.port)
                await asyncio.Event().wait()
        async with serve(Member() if kind == "mongodb" else Server()) as port:
            pipe.send(port)
            await asyncio.Event().wait()

    asyncio.run(main())


async def cpu_ms(checks: int, work: Callable[[], Awaitable[Any]]) -> float:
    for _ in range(20):
        await work()
    began = time.process_time()
    for _ in range(checks):
        await work()
    return (time.process_time() - began) / checks * 1000


def address(kind: str, port: int) -> str:
    return {
        "mongodb": f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/app?authSource=admin",
        "sqlserver": f"sqlserver://{USER}:{PASSWORD}@127.0.0.1:{port}/app?encrypt=no",
        "elasticsearch": f"http://127.0.0.1:{port}",
    }[kind]


async def probe(kind: str, port: int, checks: int, **parameters: Any) -> float:
    job: Job = prepare(kind, address(kind, port), parameters, 5.0)
    resources = Resources()

    async def work() -> None:
        result = await measure(job, resources, "bench")
        assert result.failure is None, result.message

    try:
        return await cpu_ms(checks, work)
    finally:
        await resources.aclose()


async def pymongo_driver(port: int, checks: int) -> float:
    import pymongo

    async def work() -> None:
        login = {"username": USER, "password": PASSWORD, "authMechanism": "SCRAM-SHA-256"}
        async with pymongo.AsyncMongoClient("127.0.0.1", port, directConnection=True, **login) as client:
            await client.admin.command("hello")

    return await cpu_ms(checks, work)


async def mssql_driver(port: int, checks: int) -> float:
    import mssql_python

    def ask() -> None:
        where = f"Server=127.0.0.1,{port};Database=app;UID={USER};PWD={PASSWORD};Encrypt=no;"
        connection = mssql_python.connect(where, autocommit=True)
        connection.cursor().execute("SELECT 1").fetchall()
        connection.close()

    mssql_python.pooling(enabled=False)
    return await cpu_ms(checks, lambda: asyncio.to_thread(ask))


async def main(checks: int) -> None:
    for kind in ("mongodb", "sqlserver", "elasticsearch"):
        here, there = multiprocessing.Pipe()
        listener = multiprocessing.get_context("spawn").Process(target=listen, args=(kind, there), daemon=True)
        listener.start()
        port = here.recv()
        found = {
            "new session": await probe(kind, port, checks),
            "no details": await probe(kind, port, checks, details=False),
        }
        if kind != "elasticsearch":
            found["kept session"] = await probe(kind, port, checks, session="keep")
            found["kept, no details"] = await probe(kind, port, checks, session="keep", details=False)
            driver = pymongo_driver if kind == "mongodb" else mssql_driver
            found["driver, one question"] = await driver(port, checks)
        print(json.dumps({"kind": kind, "cpu_ms": {name: round(value, 3) for name, value in found.items()}}))
        listener.terminate()
        listener.join()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
