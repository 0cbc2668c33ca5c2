"""Loss by direction is what was truly lost, for any losses; delays are there when the clocks are good enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.stamp_codec import ErrorEstimate, Reflection
from probes.stamp_figures import FURTHER_MAX, Readings, delay_figures, loss_figures
from probes.stamp_tlv import NOTHING_TOLD, Told

CLOCK = ErrorEstimate(is_synchronised=True, is_ptp=False, error_s=1e-6)


def reflection(number: int, t2_ns: int = 0, t3_ns: int = 0) -> Reflection:
    return Reflection(bytes(12), number, t2_ns, t3_ns, CLOCK, 64, 1)


@given(st.lists(st.sampled_from(["fine", "forward", "backward", "doubled"]), min_size=1, max_size=60), st.booleans())
def test_loss_by_direction_is_what_was_lost_up_to_the_last_answer(fates, counts):
    readings = Readings(1, is_stateful=True)
    number = 0
    for place, fate in enumerate(fates):
        for _ in range({"forward": 0, "doubled": 2}.get(fate, 1)):
            if fate != "backward":
                told = Told(received=number + 1, sent=number + 1) if counts else NOTHING_TOLD
                readings.take(place, reflection(number), 0, None, told)
            number += 1
    figures = loss_figures(readings)
    answered = [place for place, fate in enumerate(fates) if fate in ("fine", "doubled")]
    if not answered:
        assert figures == {}
        return
    known = fates[: answered[-1] + 1]
    received = sum({"forward": 0, "doubled": 2}.get(fate, 1) for fate in known)
    assert figures["loss_forward_ratio"] == pytest.approx(known.count("forward") / len(known))
    assert figures["loss_backward_ratio"] == pytest.approx(known.count("backward") / received)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**32 - 1))))
def test_no_numbers_make_a_loss_that_is_none(answers):
    readings = Readings(1, is_stateful=True)
    for place, number, received in answers:
        readings.take(place, reflection(number), 0, None, Told(received=received))
    assert all(0 <= ratio <= 1 for ratio in loss_figures(readings).values())


@pytest.mark.parametrize("told", [Told(received=0, sent=0), Told(received=9_000, sent=8_000), Told(received=2, sent=1)])
def test_counters_of_something_else_do_not_make_a_stateless_reflector_a_counting_one(told):
    readings = Readings(1, is_stateful=False)
    for place in (1, 2, 4):
        readings.take(place, reflection(place), 0, None, told)
    assert not readings.is_stateful
    assert loss_figures(readings) == {}


def test_a_far_end_that_repeats_itself_takes_no_more_than_so_much_memory():
    readings = Readings(1, is_stateful=False)
    for number in range(10_000):
        readings.take(0, reflection(number), 0, None, is_first=number == 0)
    readings.take(1, reflection(1), 0, None)
    assert len(readings.answers) == 1 + FURTHER_MAX + 1


@pytest.mark.parametrize(("error_max", "shown"), [(0.1, {"backward"}), (0.21, {"forward", "backward"}), (0.0, set())])
def test_the_error_of_both_clocks_is_held_against_the_least_delay(error_max, shown):
    readings = Readings(1, is_stateful=False)
    readings.own_error = 0x8000 | 10 << 8 | 0x40  # synchronised, 64 × 2⁻²² s: 15 µs
    for place, forward_ns in enumerate((100_000, 80_000, 120_000)):
        readings.take(place, reflection(place, t2_ns=1000 + forward_ns, t3_ns=2000 + forward_ns), 1000, 500_000)
    figures = delay_figures(readings, error_max)
    assert {name.split("_")[1] for name in figures if name.startswith("delay_")} == shown
    assert figures["clocks_error_s"] == pytest.approx(16.26e-6, rel=1e-3)
    if "forward" in shown:
        assert figures["delay_forward_min_s"] == pytest.approx(80e-6)
        assert figures["delay_forward_mean_s"] == pytest.approx(100e-6)
