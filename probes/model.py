"""What every probe takes and gives: parameters, a context, a measurement, and the closed list of failures.

Trouble on the network is data. A probe returns a `Measurement` that carries samples, or a failure, or both;
it raises only for a bug in itself, which the runner turns into `Failure.INTERNAL`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

NOTHING: Mapping[str, Any] = MappingProxyType({})

INCOMPARABLE = math.nan
"""The fact that stands in for a sample which compares two runs, while there is no earlier one to compare with."""


def _nothing() -> Mapping[str, Any]:
    return NOTHING


class Layer(StrEnum):
    """Where on the way to an answer something failed; drives root cause and wording."""

    NAME = "name"
    NETWORK = "network"
    TRANSPORT = "transport"
    TLS = "tls"
    APPLICATION = "application"
    DATA = "data"
    SELF = "self"


class Failure(StrEnum):
    """The closed list of what can go wrong; a value's position is kept for storage, so append only."""

    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_SERVFAIL = "dns_servfail"
    DNS_TIMEOUT = "dns_timeout"
    DNS_ANSWER = "dns_answer"
    NETWORK_UNREACHABLE = "network_unreachable"
    PACKET_LOSS = "packet_loss"
    TTL_EXCEEDED = "ttl_exceeded"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_CLOSED = "connection_closed"
    TLS_HANDSHAKE = "tls_handshake"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_EXPIRED = "tls_expired"
    TLS_NAME = "tls_name"
    TLS_REQUIRED = "tls_required"
    PROTOCOL = "protocol"
    HTTP_STATUS = "http_status"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BODY_TOO_LARGE = "body_too_large"
    BODY_DECODE = "body_decode"
    SOAP_FAULT = "soap_fault"
    AUTH_REJECTED = "auth_rejected"
    AUTH_TOKEN = "auth_token"  # noqa: S105 - the name of a failure, not a secret
    QUERY_FAILED = "query_failed"
    TIMEOUT = "timeout"
    CONDITION = "condition"
    STALE = "stale"
    HEARTBEAT_MISSED = "heartbeat_missed"
    HEARTBEAT_FAILED = "heartbeat_failed"
    PERMISSION = "permission"
    AGENT_LOST = "agent_lost"
    INTERNAL = "internal"

    @property
    def layer(self) -> Layer:
        """The layer that this failure belongs to."""
        return _LAYER_OF[self]


_LAYERS: Mapping[Layer, tuple[Failure, ...]] = {
    Layer.NAME: (Failure.DNS_NXDOMAIN, Failure.DNS_SERVFAIL, Failure.DNS_TIMEOUT, Failure.DNS_ANSWER),
    Layer.NETWORK: (Failure.NETWORK_UNREACHABLE, Failure.PACKET_LOSS, Failure.TTL_EXCEEDED),
    Layer.TRANSPORT: (
        Failure.CONNECT_REFUSED,
        Failure.CONNECT_TIMEOUT,
        Failure.CONNECTION_RESET,
        Failure.CONNECTION_CLOSED,
    ),
    Layer.TLS: (
        Failure.TLS_HANDSHAKE,
        Failure.TLS_UNTRUSTED,
        Failure.TLS_EXPIRED,
        Failure.TLS_NAME,
        Failure.TLS_REQUIRED,
    ),
    Layer.APPLICATION: (
        Failure.PROTOCOL,
        Failure.HTTP_STATUS,
        Failure.TOO_MANY_REDIRECTS,
        Failure.BODY_TOO_LARGE,
        Failure.BODY_DECODE,
        Failure.SOAP_FAULT,
        Failure.AUTH_REJECTED,
        Failure.AUTH_TOKEN,
        Failure.QUERY_FAILED,
        Failure.TIMEOUT,
    ),
    Layer.DATA: (Failure.CONDITION, Failure.STALE, Failure.HEARTBEAT_MISSED, Failure.HEARTBEAT_FAILED),
    Layer.SELF: (Failure.PERMISSION, Failure.AGENT_LOST, Failure.INTERNAL),
}
_LAYER_OF = {failure: layer for layer, failures in _LAYERS.items() for failure in failures}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of a probe found.

    Attributes:
        samples: numbers by name; the unit ends the name (`_s`, `_bytes`, `_ratio`, `_bps`) unless it is a
            plain count or code. What was not measured is absent, never 0. Of one that compares this run with one
            before, and could not yet, the fact of that name is INCOMPARABLE (`conditions` says what that means).
        failure: why the probe says "down" (or "unknown", in the layer `self`), or None.
        message: one line for a person, with the actual value in it; "" when all is well and there is no news.
        facts: what conditions and the explaining command line may look at beyond the samples (headers,
            body, JSON, certificate); may be a lazy mapping; never stored.
        is_degraded: the failure is of a lesser kind: the outcome is "degraded", not "down".

    """

    samples: Mapping[str, float] = field(default_factory=_nothing)
    failure: Failure | None = None
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=_nothing)
    is_degraded: bool = False


class Params(BaseModel):
    """Base of every kind's parameters: frozen, unknown keys forbidden, names as the configuration has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    def least_s(self) -> float:
        """Return the time that one run takes at the least, in seconds: a shorter timeout is a mistake."""
        return 0.0


T = TypeVar("T")


class Phases:
    """A stopwatch that knows which phase it is in, so that a deadline can say where a probe died.

    Repeated phases add up (a redirect resolves and connects again). `samples` holds `<phase>_s`.

    Attributes:
        current: the phase that is running, "" between phases.
        samples: seconds by `<phase>_s`.
        began, ended: when the first phase began and when `end` was last called, on the clock of `perf_counter`;
            None before. What a probe does before and after is its own work, not the peer's: reading a certificate.

    """

    __slots__ = ("_since", "began", "current", "ended", "samples")

    def __init__(self) -> None:
        self.current = ""
        self.samples: dict[str, float] = {}
        self.began: float | None = None
        self.ended: float | None = None
        self._since = 0.0

    def begin(self, phase: str) -> None:
        """End the current phase, if any, and begin another one."""
        now = perf_counter()
        if self.current:
            self._add(now)
        elif self.began is None:
            self.began = now
        self.current = phase
        self._since = now

    def end(self) -> None:
        """End the current phase, if any."""
        self.ended = now = perf_counter()
        if self.current:
            self._add(now)
            self.current = ""

    def aside(self, work: Callable[[], T]) -> T:
        """Do something that only the first run of a process has to do, such as loading authorities: off the clock."""
        began = perf_counter()
        try:
            return work()
        finally:
            spent_s = perf_counter() - began
            self._since += spent_s
            if self.began is not None:
                self.began += spent_s

    def span_s(self, started: float) -> float:
        """Return how long the run took, in seconds: from its first phase to the end of its last.

        A run without a phase began at `started` (`perf_counter`); one that is still in a phase ends now.
        """
        ended = self.ended if self.ended is not None and not self.current else perf_counter()
        return ended - (self.began if self.began is not None else started)

    def _add(self, now: float) -> None:
        name = f"{self.current}_s"
        self.samples[name] = self.samples.get(name, 0.0) + (now - self._since)


class Resources:
    """Things that outlive one probe run: shared sockets, TLS contexts, thread pools, kept sessions.

    Each is opened once per key on first use and closed, last first, when the process stops.
    """

    def __init__(self) -> None:
        self._opened: dict[object, asyncio.Future[Any]] = {}

    async def open(self, key: object, factory: Callable[[], Awaitable[T]]) -> T:
        """Return the resource under `key`, opening it with `factory` if it is not there yet.

        Concurrent callers wait for the same opening. A failed opening is not remembered: its exception goes
        to all who waited, and the next caller tries again.
        """
        pending = self._opened.get(key)
        if pending is None:
            pending = asyncio.ensure_future(factory())
            self._opened[key] = pending
        elif pending.done() and not pending.cancelled() and pending.exception() is None:
            return pending.result()  # type: ignore[no-any-return]  # the map is heterogeneous
        try:
            return await asyncio.shield(pending)
        except BaseException:
            if pending.done() and self._opened.get(key) is pending:
                del self._opened[key]
            raise

    def get(self, key: object, factory: Callable[[], T]) -> T:
        """Do as `open` does, for what needs no waiting to make (a TLS context, a compiled program)."""
        pending = self._opened.get(key)
        if pending is None:
            pending = asyncio.get_running_loop().create_future()
            pending.set_result(factory())
            self._opened[key] = pending
        return pending.result()  # type: ignore[no-any-return]

    def refresh(self) -> None:
        """Tell what is open that the configuration has changed; it matters to what has a `refresh()`."""
        for pending in self._opened.values():
            if pending.done() and not pending.cancelled() and pending.exception() is None:
                refresh = getattr(pending.result(), "refresh", None)
                if refresh is not None:
                    refresh()

    async def aclose(self) -> None:
        """Close everything, last opened first; a resource closes by `aclose()` or `close()`, if it has one."""
        for pending in reversed(list(self._opened.values())):
            if not pending.done():
                pending.cancel()
                continue
            if pending.cancelled() or pending.exception() is not None:
                continue
            resource = pending.result()
            close = getattr(resource, "aclose", None) or getattr(resource, "close", None)
            outcome = close() if close is not None else None
            if asyncio.iscoroutine(outcome):
                await outcome
        self._opened.clear()


@dataclass(slots=True)
class Context:
    """What the runner hands to one run of a probe.

    Attributes:
        timeout_s: how long the whole run may take; the runner cancels it then.
        deadline: the same as a time on the running loop's clock (`loop.time()`).
        resources: shared sockets, pools and contexts of this process.
        phases: the stopwatch that the runner reads when it has to stop the probe.
        check: id of the check, under which a kind may keep in `resources` what it compares its next run with.
        peer: the address that the probe spoke to last, as a number; set where it is connected to.

    """

    timeout_s: float
    deadline: float
    resources: Resources
    phases: Phases = field(default_factory=Phases)
    check: str = ""
    peer: str = ""


P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True)
class Probe(Generic[P]):
    """One probe kind.

    Attributes:
        kind: its name in the configuration; the module's name.
        params: the model of its parameters.
        address: which parameter is its address (`probe KIND ADDRESS`).
        run: measures once. Raises nothing for trouble on the network.
        samples: the documented samples, name to one-line meaning with unit.
        facts: what conditions may name beyond the samples and `duration`, name to CEL type
            (`int`, `double`, `string`, `bool`, `duration`, `timestamp`, `dyn`, `map`); dotted names are allowed.
        latency: the sample that is this kind's latency; "" when it is the duration of the whole run.
        is_evidence: a check of this kind tells why others fail: it also runs as soon as another check of its target
            has turned bad.
        recall: takes in, for a check, the start (ms since 1970) and the samples of its last result within a day before
            this process began; None for a kind that need not know.

    """

    kind: str
    params: type[P]
    address: str
    run: Callable[[P, Context], Awaitable[Measurement]]
    samples: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=_nothing)
    latency: str = ""
    is_evidence: bool = False
    recall: Callable[[Resources, str, int, Mapping[str, float]], None] | None = None
