"""What a check of the country measured at a moment of its past, drawn from the same weather and the same effects.

Nobody was there to answer: what the far ends do to packets is put into figures here, kind by kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import exp, log
from random import Random
from typing import NamedTuple

from alerts.model import Result, State
from monitor.demo import weather
from monitor.demo.geography import round_trip_s
from monitor.demo.plan import Channel, Plan, Service
from monitor.demo.script import MAX_AGE_S, NOTHING, Effect, Fault, both
from probes.model import Failure

AGENT = "mo-phong"
"""The agent of the country's configuration."""
TIMEOUT_S = 4.0
DEGRADED_LOSS_RATIO, DEGRADED_RTT_S = 0.05, 0.08
"""As `STAMP` has them in the configuration: a test compares the two."""
_STAMP_PACKETS, _ICMP_PACKETS = 10, 3
_KERNEL_S = 0.00004


class Watched(NamedTuple):
    """A check: its id, target and kind."""

    id: str
    target: str
    probe: str


class Outcome(NamedTuple):
    """What came of one run."""

    duration_s: float
    state: State
    failure: Failure | None
    message: str
    samples: dict[str, float]


class Witness:
    """Measures one check at moments of the past, in the order of time.

    Attributes:
        faults: those that can touch it, in the order of their beginning.
        phase: its place in the interval, 0 to 1.

    """

    def __init__(self, plan: Plan, check: Watched, by_place: Mapping[str, Sequence[Fault]], seed: int) -> None:
        self._check = check
        self._random = Random(f"{seed}/{check.id}/past")  # noqa: S311 - a play, not a secret
        self.phase = self._random.random()
        self._active: list[Fault] = []
        self._next = 0
        channels = {channel.id: channel for _, channel in plan.channels()}
        self._run: Callable[[float, float, Effect], Outcome]
        if check.target in channels:
            found = list(by_place.get(check.target, ()))
            self._run = self._of_channel(channels[check.target])
        else:
            service = plan.services[check.target]
            found = [
                *by_place.get(service.id, ()),
                *(by_place.get(service.host, ()) if service.host != service.id else ()),
            ]
            found += _cut_off(plan, service, by_place)
            self._run = self._of_service(plan, service)
        self.faults = tuple(sorted(found, key=lambda fault: fault.from_s))

    def measure(self, at_ms: int) -> Result:
        """Return the result of a run that started then."""
        at_s = at_ms / 1000
        effect = self._effect(at_s) if self._active or self._next < len(self.faults) else NOTHING
        duration_s, state, failure, message, samples = self._run(at_s, weather.busy(at_ms), effect)
        return Result(self._check.id, AGENT, at_ms, duration_s, state, failure, message, samples)

    def _effect(self, at_s: float) -> Effect:
        while self._next < len(self.faults) and self.faults[self._next].from_s <= at_s:
            self._active.append(self.faults[self._next])
            self._next += 1
        if not self._active:
            return NOTHING
        self._active = [fault for fault in self._active if at_s < fault.to_s]
        effect = NOTHING
        for fault in self._active:
            effect = both(effect, fault.at(at_s))
        return effect

    def _of_channel(self, channel: Channel) -> Callable[[float, float, Effect], Outcome]:
        base_s, random = round_trip_s(channel.length_km), self._random
        share = 0.5 + random.random()

        def run(_at_s: float, busy: float, effect: Effect) -> Outcome:
            if effect.cut:
                return _lost(_STAMP_PACKETS)
            queue_s = 2 * (weather.JITTER_MEAN_S + weather.BUSY_QUEUE_S * busy * share)
            rtt_s = base_s + effect.detour_s
            samples = _round_trips(
                random, _STAMP_PACKETS, effect.loss_ratio + weather.BUSY_LOSS * busy**6, rtt_s, queue_s
            )
            return _judged(samples, 0.25)

        return run

    def _of_service(self, plan: Plan, service: Service) -> Callable[[float, float, Effect], Outcome]:
        random = self._random
        base_s = round_trip_s(plan.hosts[service.host].length_km)
        queue_s = weather.JITTER_MEAN_S + weather.BUSY_QUEUE_S / 2
        kind = self._check.probe

        def ping(_at_s: float, _busy: float, effect: Effect) -> Outcome:
            if effect.cut:
                return _lost(_ICMP_PACKETS)
            # The kernel of this machine answers for all hosts.
            return _judged(_round_trips(random, _ICMP_PACKETS, 0.0, _KERNEL_S, _KERNEL_S / 4), 0.05)

        def ask(at_s: float, busy: float, effect: Effect) -> Outcome:
            connect_s = base_s + queue_s * (0.3 + busy) * random.random()
            if effect is not NOTHING:
                trouble = _trouble(kind, service, effect, at_s, connect_s)
                if trouble is not None:
                    return trouble
            spread = random.gauss(0.0, 1.0)
            work_s = exp(log(service.median_s) + weather.TAIL_SIGMA * max(-2.0, min(2.5, spread)))
            work_s = work_s * (1 + weather.BUSY_WORK * busy) + effect.added_s * random.uniform(0.8, 1.2)
            phases = _phases(kind, service, connect_s, work_s)
            duration_s = round(sum(phases.values()) + 0.0004, 6)
            if duration_s > service.slow_s:
                message = f"duration > duration('{service.slow_s * 1000:.0f}ms') (duration = {duration_s:.3f}s)"
                return Outcome(duration_s, State.DEGRADED, Failure.CONDITION, message, phases)
            return Outcome(duration_s, State.UP, None, "", phases)

        return ping if kind == "icmp" else ask


def _cut_off(plan: Plan, service: Service, by_place: Mapping[str, Sequence[Fault]]) -> Iterator[Fault]:
    """Yield when a service's host is cut off: while every channel of the link that it is behind is cut."""
    behind = plan.links.get(plan.hosts[service.host].behind)
    if behind is None:
        return
    first, *others = ([f for f in by_place.get(channel.id, ()) if f.effect.cut] for channel in behind.channels)
    for fault in first:
        spans = [(fault.from_s, fault.to_s)]
        for cuts in others:
            spans = [
                (max(from_s, cut.from_s), min(to_s, cut.to_s))
                for from_s, to_s in spans
                for cut in cuts
                if cut.from_s < to_s and cut.to_s > from_s
            ]
        for from_s, to_s in spans:
            yield Fault("cut_off", service.host, from_s, to_s, fault.effect)


def _lost(packets: int) -> Outcome:
    samples = {"sent": float(packets), "received": 0.0, "loss_ratio": 1.0}
    return Outcome(1.0, State.DOWN, Failure.PACKET_LOSS, f"no answer to {packets} packets", samples)


def _round_trips(random: Random, packets: int, loss_ratio: float, base_s: float, queue_s: float) -> dict[str, float]:
    """Draw what some packets tell; the mean of that many waits is drawn, not each of them."""
    draw = random.random
    if loss_ratio > weather.BASE_LOSS_RATIO * packets:
        received = sum(draw() >= loss_ratio for _ in range(packets))
    else:
        received = packets - (draw() < weather.BASE_LOSS_RATIO * packets)
    samples = {"sent": float(packets), "received": float(received), "loss_ratio": 1 - received / packets}
    if received:
        mean_s = queue_s * (0.6 + 0.8 * draw())
        samples["rtt_min_s"] = round(base_s + mean_s * 0.2, 6)
        samples["rtt_mean_s"] = round(base_s + mean_s, 6)
        samples["rtt_max_s"] = round(base_s + mean_s * (1.8 + 2.4 * draw() ** 3), 6)
    return samples


def _judged(samples: dict[str, float], duration_s: float) -> Outcome:
    loss_ratio = samples["loss_ratio"]
    if loss_ratio == 1:
        return _lost(int(samples["sent"]))
    if loss_ratio > DEGRADED_LOSS_RATIO:
        message = f"loss_ratio > {DEGRADED_LOSS_RATIO:g} (loss_ratio = {loss_ratio:g})"
        return Outcome(duration_s, State.DEGRADED, Failure.CONDITION, message, samples)
    if samples["rtt_mean_s"] > DEGRADED_RTT_S:
        message = f"rtt_mean_s > {DEGRADED_RTT_S:g} (rtt_mean_s = {samples['rtt_mean_s']:g})"
        return Outcome(duration_s, State.DEGRADED, Failure.CONDITION, message, samples)
    return Outcome(duration_s, State.UP, None, "", samples)


def _phases(kind: str, service: Service, connect_s: float, work_s: float) -> dict[str, float]:
    connect_s, work_s = round(connect_s, 6), round(work_s, 6)
    match kind:
        case "tls":
            return {"connect_s": connect_s, "tls_s": round(connect_s + 0.004, 6)}
        case "postgresql":
            return {"connect_s": connect_s, "login_s": round(2 * connect_s + work_s / 2, 6), "query_s": work_s}
        case "dns":
            return {"query_s": round(connect_s + work_s / 4, 6)}
        case "tcp":
            return {"connect_s": connect_s, "dialogue_s": work_s}
    if service.tls:
        tls_s = round(connect_s + 0.004, 6)
        return {"connect_s": connect_s, "tls_s": tls_s, "first_byte_s": work_s, "transfer_s": 0.0002}
    return {"connect_s": connect_s, "first_byte_s": work_s, "transfer_s": 0.0002}


def _trouble(kind: str, service: Service, effect: Effect, at_s: float, connect_s: float) -> Outcome | None:
    """Return what a fault makes of a run, None where it only takes longer; the first that a probe would meet."""
    met: list[tuple[bool, Failure, str, float]] = [
        (effect.cut, Failure.CONNECT_TIMEOUT, "no connection within the timeout", TIMEOUT_S),
        (effect.refuse, Failure.CONNECT_REFUSED, "connection refused", connect_s),
        (effect.expired and service.tls, Failure.TLS_EXPIRED, "the certificate has expired", 2 * connect_s),
    ]
    if kind != "tls":
        stalled_s = 0.0 if effect.stalled_since_s is None else at_s - effect.stalled_since_s
        met += [
            (effect.status > 0, Failure.HTTP_STATUS, f"status = {effect.status}", 3 * connect_s),
            (effect.soap_fault, Failure.SOAP_FAULT, "the answer is a SOAP fault", 3 * connect_s),
            (
                bool(effect.health),
                Failure.CONDITION,
                f"json.status != 'UP' (json.status = '{effect.health}')",
                3 * connect_s,
            ),
            (effect.refuse_login, Failure.AUTH_REJECTED, "the password was not accepted", 2 * connect_s),
            (stalled_s > MAX_AGE_S, Failure.STALE, f"the newest row is {stalled_s:.0f} s old", 3 * connect_s),
            (effect.answer == "servfail", Failure.DNS_SERVFAIL, "SERVFAIL", connect_s),
            (bool(effect.answer), Failure.DNS_ANSWER, "no address in the answer", connect_s),
        ]
    for holds, failure, message, duration_s in met:
        if holds:
            return Outcome(round(duration_s, 6), State.DOWN, failure, message, {})
    return None
