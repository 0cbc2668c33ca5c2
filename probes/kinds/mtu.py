"""The path MTU to a host: the largest packet that arrives without being fragmented, and who turns larger ones away.

Standards: RFC 1191 and RFC 8201 (what routers report), RFC 4821 and RFC 8899 (what to do where they do not: probes of
several sizes, told apart by their answers).

    - probe: mtu
      address: 10.20.0.1
      min: 1500                   # a link that carries whole Ethernet frames
      below: degraded             # or down, the default
      interval: 10m

Sizes are of whole IP packets, headers included, in bytes. Without `min` the check is up whenever the MTU could be
found; with it, a smaller MTU is the failure `condition`, with the value and the router that reported it in the message.

A **black hole** is a router that drops what does not fit without a word, or whose word is filtered on its way back:
connections then stand, and hang with the first full packet. It is found all the same, by silence, and shows in
`black_hole`; it takes some round trips longer, the first time. A lost packet is sent again before its silence counts.
When the search is not over within the time-out the check is down (`timeout`), with what is known so far in the
message; when nothing of any size is answered it is `packet_loss`, or what a router says instead.

The far end must answer: `icmp` sends echo requests, `udp` datagrams to a closed port. Rights are as with `path`: the
capability CAP_NET_RAW, or for `icmp` a group within `net.ipv4.ping_group_range`, and none for `udp`, whose answers many
hosts limit to a few a second. The search is about the way there; answers come back as large, so that a smaller way back
that its routers do not report may show as well.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import Literal, NamedTuple
from zlib import crc32

from pydantic import Field

from probes.failures import NETWORK_ERRORS, OS_FAILURES, TroubleError, classify
from probes.model import Context, Failure, Measurement, Probe
from probes.mtu_search import Search
from probes.packet_address import HostParams, destination_of, resolve_s
from probes.packet_flight import Stamp, Trouble, round_trip_ns
from probes.packet_socket import OVERRUN
from probes.path_codec import NUMBERS, PAYLOAD_MIN_BYTES, Kind, new_token
from probes.path_socket import (
    FIRST_FLOW,
    FLOW_SPAN,
    PACKET_MAX,
    Arrival,
    Method,
    PathSocket,
    interface_mtu,
    kernel_stamps,
)
from probes.path_trace import QUIET_TICK_S
from probes.run_memory import LastRun, last_run
from probes.tcp_stream import last_moment
from probes.units import Duration, Size

PORT = 33_434
TTL = 64
FLOOR_BYTES = {socket.AF_INET: 576, socket.AF_INET6: 1280}
"""What every host takes (RFC 1122, section 3.3.3), and what every IPv6 link carries (RFC 8200, section 5)."""
HEADERS_BYTES = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
WAIT_MIN_S = 0.1
WAIT_ROUND_TRIPS = 3

_LATER = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EINTR})


class MtuParams(HostParams):
    """Parameters of an MTU check."""

    min: Size | None = Field(None, ge=68, le=PACKET_MAX, description="bytes; a smaller MTU is a failure")
    below: Literal["down", "degraded"] = Field("down", description="what a smaller MTU than `min` is worth")
    max: Size | None = Field(
        None, ge=68, le=PACKET_MAX, description="bytes; look no further (default: the interface's)"
    )
    method: Method = Field("icmp", description="icmp (echo requests) or udp")
    port: int = Field(PORT, ge=1, le=65_535, description="of udp: a port where nobody listens")
    count: int = Field(3, ge=1, le=10, description="probes of one size before its silence counts")
    wait: Duration = Field(1.0, gt=0, le=60, description="for the first answer; later ones have three round trips")


async def run(params: MtuParams, ctx: Context) -> Measurement:
    """Search for the path MTU."""
    end = last_moment(ctx)
    try:
        await ctx.resources.open(kernel_stamps, kernel_stamps)
        destination = await destination_of(params.address, params.port, params.ip_version, ctx)
        family, sockaddr = destination
        largest = interface_mtu(family, sockaddr)
        if params.method == "icmp":
            sockaddr = (sockaddr[0], 0, *sockaddr[2:])
        ceiling = min(largest, params.max or largest)
        expected = _last_mtu(params, ctx).recall() or 0
        search = Search(min(FLOOR_BYTES[family], ceiling), ceiling, expected)
        # Another flow each time would ask another of several equal routes.
        flow = FIRST_FLOW + crc32(f"{ctx.check} {params.address} mtu".encode()) % FLOW_SPAN
        sock = PathSocket(family, params.method, sockaddr, flow, may_fragment=False)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
        ctx.phases.end()
        return Measurement(resolve_s(ctx), failure, message)
    ctx.phases.begin("search")
    host = str(sockaddr[0]).partition("%")[0]
    probing = _Probing(params, sock, search, host, HEADERS_BYTES[family])
    failed: TroubleError | None = None
    try:
        await probing.run(end)
    except TroubleError as error:
        failed = error
    finally:
        sock.close()
    return _measurement(params, ctx, probing, largest, failed)


class _Sent(NamedTuple):
    size: int
    number: int
    stamp: Stamp


class _Probing:
    """Sends what the search wants to know, and tells it what comes back.

    Attributes:
        sent: probes sent.
        rtt_s: least round-trip time, None before the first answer.
        trouble: what a router said of a probe beyond its size, with that router; None for nothing.

    """

    def __init__(self, params: MtuParams, sock: PathSocket, search: Search, host: str, headers_bytes: int) -> None:
        self._params = params
        self._sock = sock
        self._headers_bytes = headers_bytes
        self._on_way: dict[bytes, _Sent] = {}
        self._open: set[int] = set()
        self._first_number = int.from_bytes(os.urandom(2), "big")
        self.search = search
        self.host = host
        self.sent = 0
        self.rtt_s: float | None = None
        self.trouble: Trouble | None = None

    async def run(self, end: float) -> None:
        """Search until all is known, nothing of any size is answered, or `end` on the loop's clock.

        Raises TroubleError where this host cannot send, or not read all that it is sent.
        """
        loop = asyncio.get_running_loop()
        while sizes := self.search.next_sizes():
            self._open = set(sizes)
            for _ in range(self._params.count):
                await self._try(end)
                if not self._open or self.trouble is not None:
                    break
            if self._open and self._sock.dropped:
                raise TroubleError(Failure.INTERNAL, OVERRUN)
            if loop.time() >= end or not self.search.fits:
                return
            for size in sorted(self._open, reverse=True):
                self.search.silent(size)

    async def _try(self, end: float) -> None:
        """Send one probe of each size that is open, and wait for what comes of them."""
        loop = asyncio.get_running_loop()
        for size in sorted(self._open):
            self._send(size)
        sent_at = loop.time()
        while True:
            for arrival in self._sock.read():
                self._take(arrival)
            now, until = loop.time(), min(end, sent_at + self._patience_s())
            if not self._open or self.trouble is not None or now >= until:
                return
            await asyncio.sleep(min(QUIET_TICK_S, until - now))

    def _patience_s(self) -> float:
        wait_s = self._params.wait
        return wait_s if self.rtt_s is None else min(wait_s, max(WAIT_MIN_S, WAIT_ROUND_TRIPS * self.rtt_s))

    def _send(self, size: int) -> None:
        number = (self._first_number + self.sent) % NUMBERS + 1
        token = new_token()
        payload = max(size - self._headers_bytes, PAYLOAD_MIN_BYTES)
        stamp, error = self._sock.send(0, TTL, number, token, payload)
        if error is not None and error.errno == errno.EMSGSIZE:
            self._open.discard(size)
            self.search.reported(size, 0, "")
        elif error is not None and error.errno not in _LATER:
            code = error.errno or 0
            message = f"could not send: {os.strerror(code).lower()}"
            raise TroubleError(OS_FAILURES.get(code, Failure.INTERNAL), message)
        elif error is None:
            self.sent += 1
            self._on_way[token] = _Sent(size, number, stamp)

    def _take(self, arrival: Arrival) -> None:
        found = self._probe_of(arrival)
        if found is None:
            return
        token, probe = found
        del self._on_way[token]
        report = arrival.report
        if self._sock.has_arrived(arrival):
            rtt_s = round_trip_ns(probe.stamp, arrival.received_ns, Stamp(time.monotonic_ns(), time.time_ns())) / 1e9
            self.rtt_s = rtt_s if self.rtt_s is None else min(self.rtt_s, rtt_s)
            self.search.answered(probe.size)
            self._open = {size for size in self._open if size > probe.size}
        elif report.kind is Kind.TOO_BIG:
            self.search.reported(probe.size, report.mtu, arrival.host)
            self._open = {size for size in self._open if size < probe.size}
        elif report.trouble is not None and not self.search.fits:
            self.trouble = Trouble(report.trouble.failure, f"{report.trouble.message} from {arrival.host}")

    def _probe_of(self, arrival: Arrival) -> tuple[bytes, _Sent] | None:
        """Return the probe that a report is about, None when it is about none, or forged."""
        report = arrival.report
        if self._sock.flow_index(arrival) is None or (report.kind is Kind.REPLY and arrival.host != self.host):
            return None
        if report.token:
            probe = self._on_way.get(report.token)
            return (report.token, probe) if probe is not None else None
        if report.host != self.host:
            return None
        return next(((token, sent) for token, sent in self._on_way.items() if sent.number == report.number), None)


def _measurement(
    params: MtuParams, ctx: Context, probing: _Probing, largest: int, failed: TroubleError | None
) -> Measurement:
    search = probing.search
    samples: dict[str, float] = {**resolve_s(ctx), "sent": probing.sent, "interface_mtu_bytes": largest}
    if probing.rtt_s is not None:
        samples["rtt_s"] = probing.rtt_s
    if failed is not None:
        return Measurement(samples, failed.failure, failed.message)
    if not search.fits:
        trouble = probing.trouble or Trouble(
            Failure.PACKET_LOSS, f"no answer from {probing.host} to {probing.sent} packets from {search.floor} bytes on"
        )
        return Measurement(samples, trouble.failure, trouble.message)
    if not search.is_over:
        message = f"the search was not over within {ctx.timeout_s:g} s: {search.fits} bytes fit, {search.ceiling} may"
        return Measurement(samples, Failure.TIMEOUT, message)
    _last_mtu(params, ctx).keep(search.fits)
    samples |= {"mtu_bytes": search.fits, "black_hole": int(search.found_silence)}
    facts = {"router": search.reporter}
    if params.min is None or search.fits >= params.min:
        return Measurement(samples, facts=facts)
    message = f"path MTU {search.fits} < {params.min} bytes ({_why(search)})"
    return Measurement(samples, Failure.CONDITION, message, facts, is_degraded=params.below == "degraded")


def _last_mtu(params: MtuParams, ctx: Context) -> LastRun[int]:
    return last_run(ctx, "mtu", params.address, params.ip_version, params.method)


def _why(search: Search) -> str:
    if search.reporter:
        return f"says {search.reporter}"
    return "larger packets vanish without a word" if search.found_silence else "nothing larger was tried"


PROBE = Probe(
    kind="mtu",
    params=MtuParams,
    address="address",
    run=run,
    samples={
        "mtu_bytes": "the path MTU: the largest IP packet that arrives whole, bytes",
        "interface_mtu_bytes": "the MTU of this host's interface towards the address, bytes",
        "black_hole": "1 when larger packets vanish without a word, 0 when a router reports them or none is smaller",
        "sent": "probes sent",
        "rtt_s": "least round-trip time, seconds",
        "resolve_s": "name lookup, seconds; only for a name",
    },
    facts={"router": "string"},
    latency="rtt_s",
)
