"""C14. ICMP: three of five answered → loss 0.4, and RTT figures from the three alone."""

from __future__ import annotations

import statistics

import pytest

from probes.model import Resources
from tests.probes.flights import measure
from tests.responders import Answer, IcmpResponder, Request, echo_reply, needs_root, private_network

HOST = "127.0.14.1"


def three_of_five(request: Request) -> list[Answer]:
    return [] if request.order in (1, 3) else [Answer(echo_reply(request), 0.05 * (request.order + 1))]


@needs_root
async def test_three_of_five_answered_is_a_loss_of_two_fifths_and_round_trips_of_the_three():
    with private_network(), IcmpResponder(three_of_five) as far_end:
        resources = Resources()
        found = await measure("icmp", resources, address=HOST, count=5, wait="700ms")
        await resources.aclose()
    assert found.failure is None
    assert (found.samples["sent"], found.samples["received"]) == (5, 3)
    assert found.samples["loss_ratio"] == pytest.approx(0.4)
    truth = far_end.log.rtts_s(HOST)
    assert len(truth) == 3
    for name, figure in (("min", min), ("mean", statistics.fmean), ("median", statistics.median), ("max", max)):
        measured = found.samples[f"rtt_{name}_s"]
        assert measured == pytest.approx(figure(truth), abs=0.03)
        assert measured >= figure(truth)
    # No two packets in a row were both answered: there is no variation between neighbours (RFC 3393).
    assert "ipdv_s" not in found.samples


@needs_root
async def test_none_of_five_answered_is_a_whole_loss_without_any_round_trip():
    with private_network(), IcmpResponder(lambda _: []) as far_end:
        resources = Resources()
        found = await measure("icmp", resources, timeout_s=0.5, address=HOST, count=5)
        await resources.aclose()
    assert len(far_end.log.requests) == 5
    assert found.failure == "packet_loss"
    assert found.samples == {"sent": 5, "received": 0, "duplicates": 0, "loss_ratio": 1.0}
    assert found.message == "no answer to 5 packets"
