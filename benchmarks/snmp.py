"""CPU of one check of 300 interfaces, by the probe and by pysnmp, against net-snmp's snmpd in another process.

    python -m benchmarks.snmp [runs]

Both read the same eleven columns of every interface; of the probe everything counts that a check does (rates, sums,
conditions' facts), of pysnmp only the walk. Only the asking process's CPU time counts. The tables are served by a
`pass_persist` script of snmpd, so how long a walk takes says nothing. Behind docs/decisions/0034-snmp-codec.md.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvloop

from probes.kinds.snmp import SnmpParams, run
from probes.model import Context, Resources
from tests.snmpd import COMMUNITY, PASSWORD, Snmpd, interfaces

INTERFACES = 300
BUDGET_MS = 60.0
COLUMNS = tuple(f"1.3.6.1.2.1.2.2.1.{n}" for n in (7, 8, 13, 14, 19, 20)) + tuple(
    f"1.3.6.1.2.1.31.1.1.1.{n}" for n in (1, 6, 10, 15, 19)
)
V2C: dict[str, Any] = {"community": COMMUNITY}
V3: dict[str, Any] = {
    "user": "sha256",
    "auth": "sha256",
    "auth_password": PASSWORD,
    "privacy": "aes128",
    "privacy_password": PASSWORD,
}

Check = Callable[[], Awaitable[int]]


async def with_probe(port: int, login: dict[str, Any], answer_bytes: int) -> Check:
    params = SnmpParams.model_validate(
        {
            "address": f"127.0.0.1:{port}",
            "interfaces": "all",
            "share_for": "0s",
            "rate_window": "0s",
            "answer_bytes": answer_bytes,
            **login,
        }
    )
    resources = Resources()

    async def check() -> int:
        found = await run(params, Context(30.0, asyncio.get_running_loop().time() + 30.0, resources))
        assert found.failure is None, found.message
        return int(found.samples["interfaces_total"])

    return check


async def with_links(port: int, login: dict[str, Any], answer_bytes: int) -> Check:
    """Make one round of a check per interface, which share a walk."""
    base = {"address": f"127.0.0.1:{port}", "share_for": "30s", "rate_window": "0s", "answer_bytes": answer_bytes}
    every = [
        SnmpParams.model_validate({**base, "interface": f"ge-0/0/{number}", **login})
        for number in range(1, INTERFACES + 1)
    ]
    resources = Resources()

    async def check() -> int:
        deadline = asyncio.get_running_loop().time() + 30.0
        found = await asyncio.gather(*(run(params, Context(30.0, deadline, resources)) for params in every))
        return sum(one.failure is None for one in found)

    return check


async def with_pysnmp(port: int, login: dict[str, Any], _answer_bytes: int) -> Check:
    from pysnmp.hlapi.v3arch import asyncio as hlapi

    engine = hlapi.SnmpEngine()
    who = (
        hlapi.CommunityData(COMMUNITY)
        if "community" in login
        else hlapi.UsmUserData(
            "sha256",
            PASSWORD,
            PASSWORD,
            authProtocol=hlapi.USM_AUTH_HMAC192_SHA256,
            privProtocol=hlapi.USM_PRIV_CFB128_AES,
        )
    )
    where = await hlapi.UdpTransportTarget.create(("127.0.0.1", port), timeout=10)

    async def check() -> int:
        cursors = [hlapi.ObjectIdentity(column) for column in COLUMNS]
        rows = 0
        while True:
            names = [hlapi.ObjectType(cursor) for cursor in cursors]
            error, status, _, bindings = await hlapi.bulk_cmd(
                engine, who, where, hlapi.ContextData(), 0, 5, *names, lookupMib=False
            )
            assert not error, error
            assert not status, status
            for at in range(0, len(bindings), len(COLUMNS)):
                row = bindings[at : at + len(COLUMNS)]
                if not str(row[0][0]).startswith(f"{COLUMNS[0]}."):
                    return rows
                rows += 1
                cursors = [hlapi.ObjectIdentity(str(name)) for name, _ in row] if len(row) == len(COLUMNS) else cursors

    return check


async def cpu_ms(
    prepare: Callable[..., Awaitable[Check]], port: int, login: dict[str, Any], size: int, runs: int
) -> float:
    check = await prepare(port, login, size)
    assert await check() == INTERFACES
    figures = []
    gc.collect()
    for _ in range(runs):
        started = time.process_time()
        assert await check() == INTERFACES
        figures.append((time.process_time() - started) * 1000)
    return statistics.median(figures)


def measure(runs: int = 10) -> Iterable[dict[str, Any]]:
    """Yield a row per security level and size of answers."""
    server = Snmpd()
    server.serve(interfaces(INTERFACES))
    try:
        server.start()
        for name, login in (("v2c", V2C), ("v3 SHA-256 AES-128", V3)):
            peer = uvloop.run(cpu_ms(with_pysnmp, server.port, login, 0, max(runs // 5, 1)))
            for size in (1400, 8000):
                ours = uvloop.run(cpu_ms(with_probe, server.port, login, size, runs))
                yield {
                    "what": f"CPU of one check of {INTERFACES} interfaces, SNMP {name}, answers of {size} bytes",
                    "value": round(ours, 1),
                    "unit": "ms",
                    "peer": round(peer, 1),
                    "ratio": round(ours / peer, 3),
                    "budget": BUDGET_MS,
                    "met": ours <= BUDGET_MS,
                }
            links = uvloop.run(cpu_ms(with_links, server.port, login, 1400, runs))
            yield {
                "what": f"CPU of {INTERFACES} link checks of one router that share a walk, SNMP {name}",
                "value": round(links, 1),
                "unit": "ms",
            }
    finally:
        server.close()


def main() -> None:
    for row in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
