"""Authenticated STAMP between our two ends, and with ends that do not know the key."""

from __future__ import annotations

import hmac
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from probes.kinds.stamp import StampParams
from probes.model import Failure, Resources
from probes.reflector import ReflectorOptions, serve_reflector
from tests.probes.flights import measure
from tests.responders import Answer, Request, UdpResponder, reflection

KEY = "a key that two of us share"


@pytest.fixture
async def resources() -> AsyncIterator[Resources]:
    opened = Resources()
    yield opened
    await opened.aclose()


def signed(text: bytes, key: str = KEY) -> bytes:
    """An authenticated packet of 112 octets: six blocks and their HMAC (RFC 8762, section 4.4)."""
    return text + hmac.new(key.encode(), text, "sha256").digest()[:16]


def signed_reflection(request: Request, key: str = KEY) -> bytes:
    """The answer of a reflector of another make (RFC 8762, section 4.3.2), without state or SSID."""
    seconds = request.arrived_ns // 1_000_000_000 + 2_208_988_800
    text = struct.pack(">I12xIIHH4x", int.from_bytes(request.data[:4], "big"), seconds, 0, 0x0001, 0)
    text += struct.pack(">II8x", seconds, 0)
    text += request.data[:4] + bytes(12) + request.data[16:26] + bytes(6) + bytes([64]) + bytes(15)
    return signed(text, key) + request.data[112:]


@pytest.mark.parametrize("params", [{}, {"size": 112}, {"size": 1400}, {"dscp": "EF"}, {"size": 113, "count": 1}])
async def test_both_ends_of_ours_authenticate(resources, params):
    reflector = await serve_reflector(ReflectorOptions(port=0, secret=KEY.encode()))
    params = {"count": 3, "spacing": "5ms", **params}
    found = await measure("stamp", resources, address=f"127.0.0.1:{reflector.port}", key=KEY, **params)
    await reflector.aclose()
    assert found.failure is None
    assert found.samples["received"] == reflector.counts.answered == params["count"]
    assert reflector.counts.unauthentic == 0
    assert found.samples.get("dscp_forward") == (46 if "dscp" in params else None)
    assert ("loss_forward_ratio" in found.samples) == (params.get("size", 200) > 113), "counters, signed"


async def test_a_key_in_hexadecimal_is_the_same_key(resources):
    reflector = await serve_reflector(ReflectorOptions(port=0, secret=KEY.encode()))
    key = f"hex:{KEY.encode().hex()}"
    found = await measure("stamp", resources, address=f"127.0.0.1:{reflector.port}", count=1, key=key)
    await reflector.aclose()
    assert found.failure is None


async def test_packets_are_as_the_rfc_lays_them_out_and_another_makes_answers_are_taken(resources):
    with UdpResponder(lambda request: [Answer(signed_reflection(request))]) as far_end:
        address = f"127.0.0.1:{far_end.port}"
        found = await measure("stamp", resources, address=address, count=2, spacing="5ms", key=KEY)
    assert found.samples["received"] == 2
    assert "loss_forward_ratio" not in found.samples, "it does not count"
    first = far_end.log.requests[0].data
    assert signed(first[:96]) == first[:112]
    assert first[4:16] == bytes(12)
    assert first[28:96] == bytes(68)
    counters = struct.pack(">BBHIII", 0x80, 5, 12, 1, 0, 0)
    mac = hmac.new(KEY.encode(), bytes(4) + counters, "sha256").digest()[:16]
    assert first[112:] == counters + struct.pack(">BBH", 0x80, 8, 16) + mac


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: signed_reflection(request, "another key"),
        lambda request: signed_reflection(request)[:96] + bytes(16),
        lambda request: signed_reflection(request)[:20] + b"x" + signed_reflection(request)[21:],
    ],
)
async def test_an_answer_without_a_true_hmac_is_none_and_is_told(resources, answer):
    with UdpResponder(lambda request: [Answer(answer(request))]) as far_end:
        address = f"127.0.0.1:{far_end.port}"
        found = await measure("stamp", resources, 0.3, address=address, count=2, spacing="5ms", key=KEY)
    assert (found.failure, found.samples["received"]) == (Failure.PACKET_LOSS, 0)
    assert found.message == "no answer to 2 packets (2 came without a true HMAC: are the keys the same?)"


async def test_an_unauthenticated_answer_is_none(resources):
    with UdpResponder(lambda request: [Answer(reflection(request))]) as far_end:
        found = await measure("stamp", resources, 0.3, address=f"127.0.0.1:{far_end.port}", count=2, key=KEY)
    assert (found.failure, found.samples["received"]) == (Failure.PACKET_LOSS, 0)


@pytest.mark.parametrize("params", [{}, {"key": "another key"}, {"size": 1400}])
async def test_a_reflector_with_a_key_never_answers_who_does_not_know_it(resources, params):
    reflector = await serve_reflector(ReflectorOptions(port=0, secret=KEY.encode()))
    address = f"127.0.0.1:{reflector.port}"
    found = await measure("stamp", resources, 0.3, address=address, count=2, spacing="5ms", **params)
    await reflector.aclose()
    assert (found.failure, found.samples["received"]) == (Failure.PACKET_LOSS, 0)
    assert (reflector.counts.answered, reflector.counts.unauthentic) == (0, 2)


async def test_icmp_reports_of_authenticated_packets_are_matched(resources):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    found = await measure("stamp", resources, address=f"127.0.0.1:{port}", count=2, spacing="5ms", key=KEY)
    assert (found.failure, found.message) == (Failure.CONNECT_REFUSED, "ICMP port unreachable")


async def test_checks_with_different_keys_and_classes_do_not_disturb_each_other(resources):
    one = await serve_reflector(ReflectorOptions(port=0, secret=b"key number one"))
    two = await serve_reflector(ReflectorOptions(port=0, secret=b"key number two"))
    for reflector, key, fine in ((one, "key number one", 2), (two, "key number two", 2), (one, "key number two", 0)):
        address = f"127.0.0.1:{reflector.port}"
        found = await measure("stamp", resources, 0.3, address=address, count=2, spacing="5ms", key=key)
        assert found.samples["received"] == fine
    await one.aclose()
    await two.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "short"},
        {"key": "hex:0g0g0g0g0g0g0g0g0g"},
        {"key": "x" * 1025},
        {"key": KEY, "size": 111},
        {"key": KEY, "dscp": 46, "size": 139},
        {"dscp": 46, "size": 51},
        {"dscp": 64},
        {"dscp": "AF44"},
    ],
)
def test_wrong_parameters_are_refused_without_a_word_of_the_key(wrong):
    with pytest.raises(ValidationError) as caught:
        StampParams(address="10.0.0.1", **wrong)
    said = str(caught.value)
    assert str(wrong.get("key", "no key")) not in said


def test_a_key_is_in_no_representation():
    params = StampParams(address="10.0.0.1", key=KEY, dscp="ef")
    assert params.dscp == 46
    assert KEY not in repr(params) + repr(params.manner()) + repr(ReflectorOptions(secret=KEY.encode()))
