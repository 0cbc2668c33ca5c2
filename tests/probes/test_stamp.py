"""The kind `stamp` on real sockets: our reflector, TWAMP Light's answers, and far ends that lie, lose and repeat."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest
from pydantic import ValidationError

from probes.kinds.stamp import PROBE, StampParams
from probes.model import Failure, Resources
from probes.reflector import ReflectorOptions, serve_reflector
from probes.stamp_socket import open_stamp_socket
from tests.probes.flights import measure, shared_socket
from tests.responders import Answer, Request, UdpResponder, needs_root, private_network, reflection

V4 = socket.AF_INET


def at(responder: UdpResponder) -> str:
    return f"127.0.0.1:{responder.port}"


def true_answer(request: Request) -> list[Answer]:
    return [Answer(reflection(request))]


# -- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
@pytest.mark.parametrize("size", [44, 45, 1400])
async def test_our_reflector_answers_over_both_families_and_all_sizes(resources, host, shown, size):
    reflector = await serve_reflector(ReflectorOptions(host=host, port=0))
    found = await measure("stamp", resources, address=f"{shown}:{reflector.port}", size=size, count=4, spacing="5ms")
    await reflector.aclose()
    assert found.failure is None
    assert (found.samples["sent"], found.samples["received"], found.samples["loss_ratio"]) == (4, 4, 0)
    assert 0 < found.samples["rtt_min_s"] <= found.samples["rtt_median_s"] <= found.samples["rtt_max_s"]
    assert found.samples["residence_mean_s"] > 0
    assert found.samples["reflector_synchronised"] in (0, 1)
    assert found.samples["reflector_error_s"] > 0
    assert found.samples["ipdv_forward_s"] >= 0
    assert found.samples["ipdv_backward_s"] >= 0
    assert found.samples.keys() <= PROBE.samples.keys()
    # Without loss, only counters tell that the reflector keeps state; small packets have no room for them.
    assert ("loss_forward_ratio" in found.samples) == (size >= 60)
    assert reflector.counts.answered == 4


async def test_the_round_trip_is_without_the_time_that_the_reflector_held_the_packet(resources):
    with UdpResponder(lambda request: [Answer(reflection(request, held_s=0.08), 0.1)]) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=3, spacing="5ms")
    truth = far_end.log.rtts_s("")
    assert found.samples["residence_mean_s"] == pytest.approx(0.08, abs=1e-6)
    assert found.samples["rtt_min_s"] >= min(truth) - 0.08 - 1e-6
    assert found.samples["rtt_median_s"] == pytest.approx(sorted(truth)[1] - 0.08, abs=0.04)


@pytest.mark.parametrize(
    "lie",
    [
        lambda request: reflection(request, held_s=5),  # longer than the whole round trip
        lambda request: reflection(request, held_s=-5),  # it left before it came
        lambda request: reflection(request, t2=0xFFFF_FFFF, t3=0),
        lambda request: reflection(request, t2=0, t3=0xFFFF_FFFF),
    ],
)
async def test_a_residence_that_cannot_be_is_not_believed(resources, lie):
    with UdpResponder(lambda request: [Answer(lie(request), 0.05)]) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=2, spacing="5ms")
    assert found.samples["received"] == 2
    assert found.samples["rtt_min_s"] >= 0.05
    assert "residence_mean_s" not in found.samples


@pytest.mark.parametrize(
    ("error", "samples"),
    [
        (0x8001, {"reflector_synchronised": 1, "reflector_error_s": 2**-32}),
        (0x1401, {"reflector_synchronised": 0, "reflector_error_s": 2.0**-12}),
        (0x0000, {"reflector_synchronised": 0}),  # no estimate at all: lenient, the answer is an answer
    ],
)
async def test_what_the_reflector_says_of_its_clock(resources, error, samples):
    with UdpResponder(lambda request: [Answer(reflection(request, error=error))]) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=1)
    told = {name: value for name, value in found.samples.items() if name.startswith("reflector_")}
    assert told == samples


async def test_ptp_timestamps_are_understood(resources):
    def in_ptp(request: Request) -> list[Answer]:
        packet = bytearray(reflection(request, error=0x4001))
        packet[4:12] = struct.pack(">II", 1000, 60_000_000)  # T3 in seconds and nanoseconds (RFC 8186)
        packet[16:24] = struct.pack(">II", 1000, 20_000_000)
        return [Answer(bytes(packet), 0.05)]

    with UdpResponder(in_ptp) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=1)
    assert found.samples["residence_mean_s"] == pytest.approx(0.04)


@pytest.mark.parametrize("size", [41, 44, 71])
async def test_twamp_light_answers_of_other_sizes_are_taken(resources, size):
    with UdpResponder(lambda request: [Answer(reflection(request, size=size))]) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=1)
    assert found.failure is None


async def test_test_packets_are_as_the_rfc_lays_them_out(resources):
    with UdpResponder(true_answer) as far_end:
        await measure("stamp", resources, address=at(far_end), count=3, spacing="5ms", size=60)
        await measure("stamp", resources, address=at(far_end), count=1, size=44)
    packets = [request.data for request in far_end.log.requests]
    assert [len(packet) for packet in packets] == [60, 60, 60, 44]
    assert [int.from_bytes(packet[:4], "big") for packet in packets] == [0, 1, 2, 0]  # each check is a session
    for request in far_end.log.requests:
        seconds, fraction, error = struct.unpack_from(">IIH", request.data, 4)
        sent_s = seconds - 2_208_988_800 + fraction / 2**32
        assert abs(sent_s - request.arrived_ns / 1e9) < 2
        assert error & 0xFF != 0  # RFC 4656, section 4.1.2
        assert not any(request.data[16:44])
    ssids = [packet[14:16] for packet in packets]
    assert ssids[0] == ssids[1] == ssids[2] != ssids[3]
    assert b"\0\0" not in ssids
    # A Direct Measurement TLV (RFC 8972, section 4.5): the flag U, type 5, 12 octets, and how many were sent.
    assert [packet[44:60] for packet in packets[:3]] == [
        struct.pack(">BBHIII", 0x80, 5, 12, sent, 0, 0) for sent in (1, 2, 3)
    ]
    assert len({packet[4:12] for packet in packets}) == 4


# -- no answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [0.1, 0.6])
async def test_a_silent_reflector_is_a_loss_reported_within_the_time_out(resources, timeout_s):
    loop = asyncio.get_running_loop()
    with UdpResponder(lambda _: []) as far_end:
        started = loop.time()
        found = await measure("stamp", resources, timeout_s, address=at(far_end), count=2, spacing="5ms")
        waited_s = loop.time() - started
    assert found.failure is Failure.PACKET_LOSS
    assert found.samples == {"sent": 2, "received": 0, "duplicates": 0, "loss_ratio": 1}
    assert timeout_s * 0.8 <= waited_s <= timeout_s + 0.1


async def test_three_of_five_answered_is_a_loss_of_two_fifths(resources):
    with UdpResponder(lambda request: true_answer(request) if request.order not in (1, 2) else []) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=5, wait="200ms", loss_max="30%")
    assert found.samples["loss_ratio"] == pytest.approx(0.4)
    assert found.failure is Failure.PACKET_LOSS
    assert found.message == "loss 0.4 > 0.3 (2 of 5 packets lost)"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_nothing_listening_is_refused_at_once(resources, host):
    with socket.socket(socket.AF_INET6 if ":" in host else V4, socket.SOCK_DGRAM) as held:
        held.bind((host, 0))
        port = held.getsockname()[1]
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = await measure("stamp", resources, 5, address=shown, count=2, spacing="5ms")
    assert (found.failure, found.message) == (Failure.CONNECT_REFUSED, "ICMP port unreachable")
    assert found.samples["loss_ratio"] == 1
    assert loop.time() - started < 2.5


async def test_another_checks_refusal_is_not_this_ones(resources):
    with socket.socket(V4, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        closed = held.getsockname()[1]
    with UdpResponder(true_answer) as far_end:
        refused = [measure("stamp", resources, address=f"127.0.0.1:{closed}", count=5) for _ in range(20)]
        answered = [measure("stamp", resources, address=at(far_end), count=5) for _ in range(20)]
        found = await asyncio.gather(*refused, *answered)
    assert {measurement.failure for measurement in found[:20]} == {Failure.CONNECT_REFUSED}
    assert {(m.failure, m.samples["received"], m.samples["sent"]) for m in found[20:]} == {(None, 5, 5)}


@needs_root
async def test_no_route_is_an_unreachable_network():
    with private_network():
        opened = Resources()
        found = await measure("stamp", opened, address="203.0.113.1", count=2, spacing="5ms")
        await opened.aclose()
    assert found.failure is Failure.NETWORK_UNREACHABLE
    assert found.samples["loss_ratio"] == 1


# -- hostile answers -------------------------------------------------------------------------------------------------


def altered(request: Request, place: int, value: bytes) -> bytes:
    answer = reflection(request)
    return answer[:place] + value + answer[place + len(value) :]


FORGERIES = {
    "number": lambda request: altered(request, 24, b"\0\0\0\x63"),
    "timestamp": lambda request: altered(request, 28, os.urandom(8)),
    "short": lambda request: reflection(request)[:40],
    "echo": lambda request: request.data,
    "empty": lambda _: b"",
    "garbage": lambda _: os.urandom(600),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_forged_answer_is_none(resources, what):
    with UdpResponder(lambda request: [Answer(FORGERIES[what](request))]) as far_end:
        found = await measure("stamp", resources, 0.2, address=at(far_end), count=2, spacing="5ms")
    assert found.failure is Failure.PACKET_LOSS
    assert found.samples["received"] == 0
    assert shared_socket(resources, open_stamp_socket, V4).ignored == 2


@pytest.mark.parametrize("other", ["127.0.0.1", "127.0.0.2"])
async def test_a_true_answer_from_another_port_or_host_is_forged(resources, other):
    with socket.socket(V4, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind((other, 0))

        def from_elsewhere(request: Request) -> list[Answer]:
            elsewhere.sendto(reflection(request), request.source)
            return []

        with UdpResponder(from_elsewhere) as far_end:
            found = await measure("stamp", resources, 0.2, address=at(far_end), count=1)
    assert found.failure is Failure.PACKET_LOSS
    assert shared_socket(resources, open_stamp_socket, V4).ignored == 1


async def test_duplicates_and_forgeries_do_not_disturb_the_figures(resources):
    def noisy(request: Request) -> list[Answer]:
        answers = [Answer(make(request)) for make in FORGERIES.values()]
        if request.order != 1:
            answers += [Answer(reflection(request), 0.03), Answer(reflection(request), 0.04)]
        return answers

    with UdpResponder(noisy) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=3, spacing="5ms", wait="500ms")
    assert (found.samples["received"], found.samples["duplicates"]) == (2, 2)
    assert found.samples["loss_ratio"] == pytest.approx(1 / 3)
    assert found.samples["rtt_min_s"] >= 0.03
    assert found.samples["rtt_max_s"] < found.samples["rtt_min_s"] + 0.3


async def test_answers_out_of_order_are_matched_to_their_packets(resources):
    with UdpResponder(lambda request: [Answer(reflection(request), 0.2 - 0.04 * request.order)]) as far_end:
        found = await measure("stamp", resources, address=at(far_end), count=5, spacing="5ms")
    assert [sent.request.order for sent in far_end.log.sent] == [4, 3, 2, 1, 0]
    assert found.samples["received"] == 5
    assert found.samples["rtt_min_s"] < 0.1
    assert found.samples["rtt_max_s"] >= 0.2


async def test_hundreds_of_checks_share_the_socket_without_a_mistake(resources):
    delays_s = (0.0, 0.05, 0.1)
    with (
        UdpResponder(lambda r: [Answer(reflection(r), delays_s[0])]) as first,
        UdpResponder(lambda r: [Answer(reflection(r), delays_s[1])]) as second,
        UdpResponder(lambda r: [Answer(reflection(r), delays_s[2])]) as third,
    ):
        far_ends = (first, second, third)
        checks = [
            measure("stamp", resources, 20, address=at(far_end), count=3) for _ in range(100) for far_end in far_ends
        ]
        found = await asyncio.gather(*checks)
    for place, (far_end, delay_s) in enumerate(zip(far_ends, delays_s, strict=True)):
        mine = found[place::3]
        truth = sorted(far_end.log.rtts_s(""))
        assert all(measurement.samples["received"] == 3 for measurement in mine)
        assert all(measurement.samples["rtt_min_s"] >= delay_s for measurement in mine)
        middle = sorted(measurement.samples["rtt_median_s"] for measurement in mine)[len(mine) // 2]
        assert middle == pytest.approx(truth[len(truth) // 2], abs=0.02)


# -- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.1.0.1", "10.1.0.1", 862),
        ("10.1.0.1:8620", "10.1.0.1", 8620),
        ("2001:db8::1", "2001:db8::1", 862),
        ("[2001:db8::1]:5000", "2001:db8::1", 5000),
        ("core.example.vn", "core.example.vn", 862),
    ],
)
def test_addresses(address, host, port):
    assert StampParams(address=address).address == (host, port)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "10.0.0.1:0"},
        {"address": "10.0.0.1:99999"},
        {"address": "224.0.0.1:862"},
        {"address": ""},
        {"address": "10.0.0.1", "ip_version": 6},
        {"address": "10.0.0.1", "size": 43},
        {"address": "10.0.0.1", "count": 101},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        StampParams(**wrong)
