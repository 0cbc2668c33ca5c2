"""What a trace costs, how long it takes, how true its round trips are, and what a hole in the MTU costs.

Traces go through a chain of network namespaces; round trips are compared with the log of a responder in user space, in
a process of its own. Needs root. `python -m benchmarks.path_trace` prints one JSON object a line.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from probes.model import Context, Measurement, Resources
from probes.registry import find
from tests.responders import Answer, IcmpResponder, echo_reply, private_network
from tests.topologies import chain

Row = dict[str, Any]
ROUTERS = 14
TRACES = 50


def run() -> Iterator[Row]:
    """Measure everything, one row after the other."""
    with chain(ROUTERS) as made, made.visited():
        for family, host in (("IPv4", f"10.0.{ROUTERS + 1}.2"), ("IPv6", f"fd00:{ROUTERS + 1}::2")):
            for method in ("icmp", "udp"):
                yield _cost(f"{family} {method}", "path", host, method=method)
    with chain(3, {3: 1400}) as made, made.visited():
        yield _cost("reported", "mtu", "10.0.4.2")
        made.drop("r2", "output icmp type destination-unreachable drop")
        yield _cost("black hole, known", "mtu", "10.0.4.2")
    yield _rtt_error("path", max_hops=1)
    yield _rtt_error("icmp")


def _cost(what: str, kind: str, host: str, **params: Any) -> Row:
    async def traces() -> Row:
        resources = Resources()
        await _measure(kind, resources, address=host, **params)
        spans, cpu = [], time.process_time()
        for _ in range(TRACES):
            started = time.perf_counter()
            found = await _measure(kind, resources, address=host, **params)
            spans.append(time.perf_counter() - started)
            assert found.failure is None, found.message
        cpu_ms = (time.process_time() - cpu) / TRACES * 1000
        span_ms = statistics.median(spans) * 1000
        sent = int(found.samples["sent"])
        return {"what": f"{kind}, {what}", "packets": sent, "cpu_ms": round(cpu_ms, 2), "span_ms": round(span_ms, 1)}

    return uvloop.run(traces())


async def _measure(kind: str, resources: Resources, **params: Any) -> Measurement:
    probe = find(kind)
    context = Context(20.0, asyncio.get_running_loop().time() + 20.0, resources, check="bench")
    return await probe.run(probe.params(**params), context)


def _rtt_error(kind: str, **params: Any) -> Row:
    with private_network():
        ours, theirs = multiprocessing.Pipe()
        far_end = multiprocessing.get_context("fork").Process(target=_respond, args=(theirs,))
        far_end.start()
        ours.recv()

        async def measure() -> dict[str, float]:
            resources, found = Resources(), {}
            for number in range(500):
                host = f"127.1.{number // 200}.{number % 200 + 1}"
                measured = await _measure(kind, resources, address=host, count=1, **params)
                found[host] = measured.samples["rtt_min_s"]
            return found

        found = uvloop.run(measure())
        ours.send("end")
        truth = ours.recv()
        far_end.join()
    errors_ms = sorted((found[host] - truth[host]) * 1000 for host in found)
    p50, p99 = errors_ms[len(errors_ms) // 2], errors_ms[len(errors_ms) * 99 // 100]
    return {"what": f"{kind}, RTT error", "checks": len(errors_ms), "p50_ms": round(p50, 4), "p99_ms": round(p99, 4)}


def _respond(pipe: Connection) -> None:
    with IcmpResponder(lambda request: [Answer(echo_reply(request), 0.002 * (request.order % 5))]) as far_end:
        pipe.send("ready")
        pipe.recv()
        pipe.send({sent.request.host: sent.rtt_min_s for sent in far_end.log.sent})


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row), flush=True)
