"""What a throughput test costs the agent: CPU, and how late its event loop is meanwhile, on loopback.

    python -m benchmarks.throughput [seconds]

The server is a process of its own. At a bounded rate the kernel paces the sender (SO_MAX_PACING_RATE); unbounded, the
two processes and the kernel share the machine's cores. Lateness is of a timer that rings every millisecond. Behind
docs/decisions/0013-throughput.md.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from probes import throughput_client, throughput_server
from probes.kinds.throughput import PROBE, ThroughputParams
from probes.model import Context, Resources
from probes.throughput_server import ServerOptions, serve_throughput
from probes.throughput_transfer import send

KEY = "a key of the benchmark"
SO_MAX_PACING_RATE = 47
RATES_BPS = (1e9, 5e9, None)


def paced(rate_bps: float | None) -> Any:
    """The sender, at a rate."""

    def work(sock: socket.socket, *rest: Any) -> Any:
        if rate_bps is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(rate_bps / 8))
        return send(sock, *rest)

    return work


def measure(seconds: float) -> Iterator[dict[str, Any]]:
    for rate_bps in RATES_BPS:
        throughput_client.send = throughput_server.send = paced(rate_bps)  # type: ignore[attr-defined]
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        try:
            for direction in ("forward", "backward"):
                samples, cpu_s, late_ms = uvloop.run(_test(ours, direction, seconds))
                rate = samples[f"rate_{direction}_bps"]
                yield {
                    "what": f"CPU of a throughput test {direction} at {rate / 1e9:.2f} Gbit/s, the agent alone",
                    "value": round(cpu_s / samples[f"{direction}_s"], 3),
                    "unit": "cores",
                    "loop_late_p99_ms": round(late_ms[int(0.99 * len(late_ms))], 2),
                    "loop_late_max_ms": round(late_ms[-1], 2),
                }
        finally:
            process.terminate()
            process.join()


async def _test(server: Connection, direction: str, seconds: float) -> tuple[dict[str, float], float, list[float]]:
    server.send("port")
    address = f"127.0.0.1:{server.recv()}"
    params = ThroughputParams.model_validate(
        {"address": address, "key": KEY, "direction": direction, "duration": f"{seconds}s", "budget": "10TB"}
    )
    resources = Resources()
    late_ms: list[float] = []
    ringing = asyncio.create_task(_ring(late_ms))
    await asyncio.sleep(0.1)
    cpu_s = time.process_time()
    deadline = asyncio.get_running_loop().time() + seconds + 10
    found = await PROBE.run(params, Context(seconds + 10, deadline, resources))
    cpu_s = time.process_time() - cpu_s
    ringing.cancel()
    await resources.aclose()
    assert found.failure is None, found
    return dict(found.samples), cpu_s, sorted(late_ms)


async def _ring(late_ms: list[float]) -> None:
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        late_ms.append((time.perf_counter() - due) * 1000)


def _serve(connection: Connection) -> None:
    async def serve() -> None:
        server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0, bytes_max=10**12))
        while True:
            await asyncio.get_running_loop().run_in_executor(None, connection.recv)
            connection.send(server.port)

    asyncio.run(serve())


if __name__ == "__main__":
    for row in measure(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0):
        print(json.dumps(row, ensure_ascii=False), flush=True)
