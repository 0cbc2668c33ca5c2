"""Rates by exact figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.snmp_interfaces import Interface, Names
from probes.snmp_rates import interval_s, octets_bps, rates
from probes.snmp_session import Stamp


def interface(at=0.0, ticks=0, octets=0, bits=64, errors=0, discontinuity=0, speed_bps=1e9):
    names = Names(1, "ge-0/0/1", "", "")
    stamp = Stamp(at, ticks)
    return Interface(names, 1, 1, speed_bps, bits, octets, octets, errors, errors, errors, errors, discontinuity, stamp)


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        ((0.0, 1000), (30.4, 4000), 30.0),  # our clock has the way there in it
        ((0.0, None), (30.4, 4000), 30.4),
        ((0.0, 2**32 - 1000), (30.0, 2000), 30.0),  # 497 days have passed, and nothing was reset
        ((0.0, 1000), (300.0, 2000), None),  # it began anew, and has been running longer than before
        ((0.0, 1000), (30.0, 200), None),
        ((0.0, 1000), (0.005, 1000), None),
        ((5.0, 1000), (5.0, 1000), None),
    ],
)
def test_the_interval_is_the_agents_when_the_clocks_agree(before, after, seconds):
    assert interval_s(Stamp(*before), Stamp(*after)) == seconds


@pytest.mark.parametrize(
    ("old", "new", "bits", "speed_bps", "bps"),
    [
        (0, 1250, 64, 1e9, 1000.0),
        (2**63, 2**63 + 1250, 64, 1e9, 1000.0),
        (2**64 - 10, 10, 64, 1e9, None),  # nothing passes 2⁶⁴ in a life
        (1000, 900, 64, None, None),
        (0, 2**62, 64, 1e10, None),
        (2**32 - 1250, 0, 32, 1e8, 1000.0),
        (2**31, 0, 32, 1e8, None),  # 1.7 Gbit/s over a link of 100 Mbit/s: it was cleared
        (0, 1250, 32, 1e10, None),  # may have wrapped three times over
        (1250, 0, 32, None, None),
        (0, 1250, 32, None, 1000.0),
        (None, 5, 64, 1e9, None),
    ],
)
def test_octets_per_ten_seconds(old, new, bits, speed_bps, bps):
    assert octets_bps(old, new, 10.0, bits, speed_bps) == bps


def test_errors_wrap_and_are_cleared():
    wrapped = rates(interface(errors=2**32 - 5), interface(10.0, 1000, errors=5))
    cleared = rates(interface(errors=5), interface(10.0, 1000, errors=0))
    assert (wrapped.in_errors, wrapped.out_discards) == (1.0, 1.0)
    assert (cleared.in_errors, cleared.out_discards) == (None, None)
    assert cleared.in_bps == 0


def test_a_discontinuity_is_unknown():
    assert rates(interface(), interface(10.0, 1000, octets=10, discontinuity=500)) is None
    assert rates(interface(bits=32), interface(10.0, 1000)) is None


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from((32, 64)), st.floats(1e4, 1e12))
def test_never_negative_and_never_absurd(old, new, bits, speed_bps):
    bps = octets_bps(old % 2**bits, new % 2**bits, 60.0, bits, speed_bps)
    assert bps is None or 0 <= bps <= max(1e9, 10 * speed_bps)
