"""The figures of a flight of packets, and when its turns come."""

from __future__ import annotations

import asyncio
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.kinds.icmp import PROBE, IcmpParams
from probes.model import Failure
from probes.packet_flight import PATIENCE_S, Flight, Stamp, Trouble, round_trip_ns, rtt_figures, samples_of
from probes.packet_timetable import TICK_S, Timetable

RTTS = st.lists(st.none() | st.floats(1e-6, 10), max_size=100)
SECOND = 1_000_000_000


def flight_of(count: int = 3, wait_s: float | None = None, end: float = 100.0) -> Flight:
    flight = Flight(("127.0.0.1", 0), count, 56, 0.02, wait_s, end)
    flight.stamps = [Stamp(0, 0)] * count
    return flight


# -- figures ---------------------------------------------------------------------------------------------------------


def test_figures_of_a_known_flight():
    figures = rtt_figures([0.010, 0.012, None, 0.011, 0.015])
    assert figures["rtt_min_s"] == 0.010
    assert figures["rtt_mean_s"] == pytest.approx(0.012)
    assert figures["rtt_median_s"] == pytest.approx(0.0115)
    assert figures["rtt_max_s"] == 0.015
    assert figures["rtt_stddev_s"] == pytest.approx(math.sqrt(14e-6 / 4))
    assert figures["ipdv_s"] == pytest.approx((0.002 + 0.004) / 2)  # over the gap there is no neighbour
    assert figures["pdv_s"] == pytest.approx(0.005)


def test_the_95th_percentile_of_twenty_leaves_out_the_greatest():
    assert rtt_figures([0.001] * 18 + [0.002, 0.9])["pdv_s"] == pytest.approx(0.001)


def test_no_answer_has_no_figure_and_one_answer_no_variation():
    assert rtt_figures([None, None]) == {}
    assert set(rtt_figures([None, 0.5])) == {"rtt_min_s", "rtt_mean_s", "rtt_median_s", "rtt_max_s"}


@given(RTTS)
def test_figures_are_those_of_the_answered_alone(rtts):
    answered = [rtt for rtt in rtts if rtt is not None]
    figures = rtt_figures(rtts)
    if not answered:
        assert figures == {}
        return
    tolerance = 1e-9
    assert figures["rtt_min_s"] == min(answered)
    assert figures["rtt_max_s"] == max(answered)
    assert figures["rtt_median_s"] == pytest.approx(statistics.median(answered))
    assert figures["rtt_min_s"] - tolerance <= figures["rtt_mean_s"] <= figures["rtt_max_s"] + tolerance
    if len(answered) > 1:
        assert figures["rtt_stddev_s"] == pytest.approx(statistics.pstdev(answered), abs=1e-9)
        assert 0 <= figures["pdv_s"] <= max(answered) - min(answered)
    assert 0 <= figures.get("ipdv_s", 0) <= max(answered) - min(answered) + tolerance


@given(st.lists(st.integers(0, 9), max_size=60))
def test_counts_add_up_whatever_comes(answers):
    flight = flight_of(10)
    for index in answers:
        flight.take(index, 0.01, 64)
    samples = samples_of(flight)
    assert samples["received"] == len(set(answers))
    assert samples["duplicates"] == len(answers) - len(set(answers))
    assert samples["loss_ratio"] == pytest.approx(1 - len(set(answers)) / 10)


def test_what_this_host_would_not_send_is_no_loss():
    flight = flight_of(3)
    flight.take(0, 0.01, 64)
    flight.report(1, Trouble(Failure.PERMISSION, "no"))
    flight.unsent = 1
    samples = samples_of(flight)
    assert (samples["sent"], samples["received"], samples["loss_ratio"]) == (2, 1, 0.5)


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_waiting_ends_by_the_rule_that_the_documentation_states():
    silent, adaptive, slow, strict = flight_of(), flight_of(), flight_of(), flight_of(wait_s=0.3)
    for flight in (silent, adaptive, slow, strict):
        flight.send_at = 10.0
    assert silent.closes_at() == 100.0
    adaptive.take(0, 0.01, 64)
    assert adaptive.closes_at() == 10.0 + PATIENCE_S
    slow.take(0, 2.0, 64)
    assert slow.closes_at() == 14.0
    assert strict.closes_at() == 10.3
    assert flight_of(end=5.0).closes_at() == 5.0


# -- clocks ----------------------------------------------------------------------------------------------------------


def test_a_round_trip_is_from_the_send_stamp_to_the_kernels():
    sent, now = Stamp(0, 1000 * SECOND), Stamp(SECOND, 1001 * SECOND)
    assert round_trip_ns(sent, 1000 * SECOND + 300, now) == 300


@pytest.mark.parametrize("step_s", [-3600, -0.02, 0.02, 3600])
def test_a_clock_that_is_set_meanwhile_does_not_make_the_round_trip_wrong_by_it(step_s):
    step = int(step_s * SECOND)
    sent = Stamp(0, 1000 * SECOND)
    received = 1000 * SECOND + step + 30_000_000
    now = Stamp(31_000_000, 1000 * SECOND + step + 31_000_000)
    assert round_trip_ns(sent, received, now) == 31_000_000


def test_without_a_stamp_the_time_of_reading_is_the_best_that_is_known():
    assert round_trip_ns(Stamp(0, 1000 * SECOND), 0, Stamp(500, 1000 * SECOND + 500)) == 500


@given(st.integers(0, 10**12), st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_a_round_trip_is_never_negative_nor_longer_than_the_time_that_passed(elapsed, received, step):
    sent = Stamp(0, 10**18)
    now = Stamp(elapsed, 10**18 + elapsed + step)
    assert 0 <= round_trip_ns(sent, 10**18 + received, now) <= elapsed


# -- turns -----------------------------------------------------------------------------------------------------------


async def test_turns_come_at_the_first_tick_after_their_time_each_once():
    loop = asyncio.get_running_loop()
    rung: dict[Flight, list[float]] = {}

    def ring(due: list[Flight]) -> None:
        for flight in due:
            rung.setdefault(flight, []).append(loop.time())

    table = Timetable(loop, ring)
    start = loop.time()
    due = {flight_of(): start + 0.004 * number for number in range(20)}
    for flight, when in due.items():
        table.put(flight, when)
    await asyncio.sleep(0.2)
    table.close()
    assert rung.keys() == due.keys()
    assert all(len(times) == 1 for times in rung.values())
    assert all(times[0] >= due[flight] for flight, times in rung.items())


async def test_a_turn_is_moved_and_taken_out():
    rung: list[Flight] = []
    table = Timetable(asyncio.get_running_loop(), rung.extend)
    moved, taken = flight_of(), flight_of()
    now = asyncio.get_running_loop().time()
    table.put(moved, now + 60)
    table.put(taken, now)
    table.put(moved, now)
    table.remove(taken)
    table.remove(taken)
    await asyncio.sleep(4 * TICK_S)
    table.close()
    assert rung == [moved]


async def test_the_clock_ticks_only_while_somebody_waits():
    rings = 0

    def ring(_: list[Flight]) -> None:
        nonlocal rings
        rings += 1

    loop = asyncio.get_running_loop()
    table = Timetable(loop, ring)
    flight = flight_of()
    table.put(flight, loop.time() + 60)
    await asyncio.sleep(10 * TICK_S)
    assert rings >= 2
    table.remove(flight)
    before = rings
    await asyncio.sleep(20 * TICK_S)
    assert rings <= before + 1
    table.close()


async def test_a_turn_given_while_turns_are_taken_is_not_lost():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    turns = 0

    def ring(due: list[Flight]) -> None:
        nonlocal turns
        turns += len(due)
        if turns < 10:
            table.put(due[0], loop.time())
        else:
            done.set_result(None)

    table = Timetable(loop, ring)
    table.put(flight_of(), loop.time())
    await asyncio.wait_for(done, 10)
    table.close()


# -- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"address": ""}, "is not a host"),
        ({"address": "10.0.0.1:80"}, "is not a host"),
        ({"address": "10.0.0.0/8"}, "is not a host"),
        ({"address": "two words"}, "is not a host"),
        ({"address": "224.0.0.1"}, "is not the address of one host"),
        ({"address": "ff02::1"}, "is not the address of one host"),
        ({"address": "0.0.0.0"}, "is not the address of one host"),
        ({"address": "::1", "ip_version": 4}, "is not an IPv4 address"),
        ({"count": 0}, "greater than or equal to 1"),
        ({"count": 101}, "less than or equal to 100"),
        ({"spacing": "4ms"}, "greater than or equal to 0.005"),
        ({"spacing": "11s"}, "less than or equal to 10"),
        ({"spacing": 5}, "has no unit"),
        ({"size": 7}, "greater than or equal to 8"),
        ({"size": 65_508}, "less than or equal to 65507"),
        ({"loss_max": "101%"}, "is not a share"),
        ({"wait": "0s"}, "greater than 0"),
        ({"ip_version": 5}, "Input should be 4 or 6"),
        ({"ttl": 3}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_parameters_are_refused_with_a_reason(wrong, said):
    with pytest.raises(ValidationError) as refused:
        IcmpParams(**{"address": "127.0.0.1", **wrong})
    assert said in str(refused.value)


def test_the_defaults_are_those_of_the_design():
    params = IcmpParams(address="127.0.0.1")
    assert (params.count, params.spacing, params.size, params.loss_max, params.wait) == (5, 0.02, 56, None, None)


def test_every_sample_is_documented():
    flight = flight_of(3)
    for index in range(3):
        flight.take(index, 0.01, 64)
    assert samples_of(flight).keys() | {"resolve_s"} == PROBE.samples.keys()
    assert PROBE.latency in PROBE.samples
