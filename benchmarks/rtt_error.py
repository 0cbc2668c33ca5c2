"""How far a measured round trip is from the truth, and what a check costs, for `icmp` and `stamp` under load.

The far end is a process of its own that answers in user space and logs when the kernel received each question and
when the answer left. The error of a check is what it measured less what the log says that it waited: the way there
and back through the kernel counts as error too, so that it is an upper bound.

Needs root: it runs in a network namespace in which the kernel does not answer pings itself.
`python -m benchmarks.rtt_error [seconds]` prints one JSON object a line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import uvloop

from probes.model import Context, Measurement, Resources
from probes.registry import find
from tests.responders import Answer, IcmpResponder, Request, UdpResponder, echo_reply, private_network, reflection

Row = dict[str, Any]
Found = dict[str, list[tuple[str, Measurement]]]

RTT_ERROR_BUDGET_MS = 0.05
CHECKS_PER_S = 2000
HOSTS = 500
WARM_UP_S = 1.0


class Load(NamedTuple):
    """So many checks per second of each kind, side by side."""

    name: str
    icmp_per_s: int
    stamp_per_s: int


LOADS = (
    Load("mixed", CHECKS_PER_S // 2, CHECKS_PER_S // 2),
    Load("icmp alone", CHECKS_PER_S, 0),
    Load("stamp alone", 0, CHECKS_PER_S),
)


def run(seconds: float = 10.0) -> list[Row]:
    """Measure in a process of its own; return one row per figure, or one that says why there is none."""
    if os.geteuid() != 0:
        return [{"what": "RTT error", "value": None, "unit": "ms", "skipped": "needs root"}]
    command = [sys.executable, "-m", "benchmarks.rtt_error", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(seconds: float) -> Iterator[Row]:
    """Measure in this process, which moves into a network namespace of its own meanwhile."""
    with private_network():
        for load in LOADS:
            yield from _rows(load, seconds)


def _rows(load: Load, seconds: float) -> Iterator[Row]:
    with far_end("icmp") as icmp, far_end("stamp") as stamp:
        found, cpu_s = uvloop.run(_fly(load, seconds, stamp.port))
        truth = {"icmp": icmp.log(), "stamp": stamp.log()}
    checks = sum(len(measured) for measured in found.values())
    per_s = load.icmp_per_s + load.stamp_per_s
    for kind, measured in found.items():
        if not measured:
            continue
        errors_ms, lost = _errors_ms(measured, truth[kind])
        p99 = _percentile(errors_ms, 0.99)
        yield {
            "what": f"RTT error p99, {kind}, {load.name} at {per_s}/s",
            "value": round(p99, 4),
            "unit": "ms",
            "budget": f"≤ {RTT_ERROR_BUDGET_MS} ms",
            "met": p99 <= RTT_ERROR_BUDGET_MS,
            "p50_ms": round(_percentile(errors_ms, 0.5), 4),
            "max_ms": round(errors_ms[-1], 4),
            "checks": len(measured),
            "lost": lost,
        }
    yield {
        "what": f"CPU of the probe alone, {load.name} at {per_s}/s",
        "value": round(cpu_s * 1e6, 1),
        "unit": "µs/check",
        "checks": checks,
    }


# -- the checks ------------------------------------------------------------------------------------------------------


class Checks:
    """Checks of one packet each, started spread over time as a schedule would.

    Attributes:
        found: what they found, by kind, in the order in which they ended.

    """

    def __init__(self, load: Load, stamp_port: int) -> None:
        self.found: Found = {"icmp": [], "stamp": []}
        self._hosts = [f"127.64.{number // 250}.{number % 250 + 1}" for number in range(HOSTS)]
        self._rates = {"icmp": load.icmp_per_s, "stamp": load.stamp_per_s}
        self._resources = Resources()
        icmp, stamp = find("icmp"), find("stamp")
        self._runs = {"icmp": icmp.run, "stamp": stamp.run}
        self._params = {
            "icmp": [icmp.params(address=host, count=1) for host in self._hosts],
            "stamp": [stamp.params(address=f"{host}:{stamp_port}", count=1) for host in self._hosts],
        }

    async def aclose(self) -> None:
        await self._resources.aclose()

    async def measure(self, kind: str, turn: int) -> None:
        now = asyncio.get_running_loop().time()
        place = turn % HOSTS
        measurement = await self._runs[kind](self._params[kind][place], Context(5.0, now + 5.0, self._resources))
        self.found[kind].append((self._hosts[place], measurement))

    async def idle(self, kind: str, turn: int) -> None:
        """What a check costs that measures nothing: its task and its share of the schedule."""
        now = asyncio.get_running_loop().time()
        Context(5.0, now + 5.0, self._resources)
        await asyncio.sleep(0)

    async def launch(self, seconds: float, check: Callable[[str, int], Coroutine[Any, Any, None]]) -> float:
        """Run checks for so long; return the CPU time of one."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        started = dict.fromkeys(self._rates, 0)
        begin, cpu_s = time.perf_counter(), time.process_time()
        while (past_s := time.perf_counter() - begin) < seconds:
            for kind, per_s in self._rates.items():
                for turn in range(started[kind], int(past_s * per_s)):
                    task = loop.create_task(check(kind, turn))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    started[kind] = turn + 1
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        return (time.process_time() - cpu_s) / sum(started.values())


async def _fly(load: Load, seconds: float, stamp_port: int) -> tuple[Found, float]:
    """Return what the checks found by kind, and the CPU time of the probe alone."""
    checks = Checks(load, stamp_port)
    gc.freeze()
    await checks.launch(WARM_UP_S, checks.measure)
    idle_s = await checks.launch(min(seconds, 3.0), checks.idle)
    busy_s = await checks.launch(seconds, checks.measure)
    await checks.aclose()
    return checks.found, busy_s - idle_s


# -- the far ends ----------------------------------------------------------------------------------------------------


class FarEnd(NamedTuple):
    """A responder in a process of its own."""

    port: int
    connection: Connection

    def log(self) -> dict[str, list[float]]:
        """Stop it; return by host the least round trips that the askers can have seen, in seconds, in order."""
        self.connection.send("stop")
        return self.connection.recv()


class StampResponder(UdpResponder):
    """A STAMP reflector on all addresses, which answers from the one that was asked.

    Attributes:
        not_held_ns: of each answer, how long it took to leave after the time that it says it left (T3).

    """

    def __init__(self) -> None:
        super().__init__(lambda _: [Answer(b"")], "0.0.0.0")
        self.sock.setsockopt(0, 8, 1)  # IP_PKTINFO
        self.not_held_ns: list[int] = []

    def unwrap(self, data: bytes, control: list) -> tuple[str, bytes]:
        info = next(value for level, kind, value in control if (level, kind) == (0, 8))
        return ".".join(map(str, info[4:8])), data

    def send(self, request: Request, answer: Answer) -> None:
        local = bytes(4) + bytes(map(int, request.host.split("."))) + bytes(4)
        held_ns = time.time_ns() - request.arrived_ns
        answer_bytes = reflection(request, held_ns / 1e9)
        self.not_held_ns.append(time.time_ns() - request.arrived_ns - held_ns)
        self.sock.sendmsg([answer_bytes], [(0, 8, local)], 0, request.source)


@contextmanager
def far_end(kind: str) -> Iterator[FarEnd]:
    """Start a far end; it stops when its log is asked for, or here."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(kind, theirs), daemon=True)
    process.start()
    try:
        yield FarEnd(ours.recv(), ours)
    finally:
        process.terminate()
        process.join()


def _serve(kind: str, connection: Connection) -> None:
    icmp = IcmpResponder(lambda request: [Answer(echo_reply(request))]) if kind == "icmp" else None
    with icmp or StampResponder() as responder:
        connection.send(responder.sock.getsockname()[1])
        connection.recv()
        rtts_s: dict[str, list[float]] = defaultdict(list)
        for place, sent in enumerate(responder.log.sent):
            rtt_s = responder.not_held_ns[place] / 1e9 if isinstance(responder, StampResponder) else sent.rtt_min_s
            rtts_s[sent.request.host].append(rtt_s)
        connection.send(dict(rtts_s))


# -- figures ---------------------------------------------------------------------------------------------------------


def _errors_ms(measured: list[tuple[str, Measurement]], truth: dict[str, list[float]]) -> tuple[list[float], int]:
    """Return the sorted errors and how many checks had no answer; a host's checks never overlap."""
    turns = {host: iter(rtts) for host, rtts in truth.items()}
    errors_ms, lost = [], 0
    for host, measurement in measured:
        rtt_s = measurement.samples.get("rtt_mean_s")
        if rtt_s is None:
            lost += 1
        else:
            errors_ms.append(abs(rtt_s - next(turns[host])) * 1000)
    return sorted(errors_ms), lost


def _percentile(ranked: list[float], share: float) -> float:
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


if __name__ == "__main__":
    for row in measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0):
        print(json.dumps(row, ensure_ascii=False), flush=True)
