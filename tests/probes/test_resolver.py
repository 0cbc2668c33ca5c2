"""The resolver against a small DNS server on loopback."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from probes.failures import TroubleError
from probes.model import Context, Failure, Resources
from probes.resolver import ADDRESSES_LIMIT, KEY, Address, Resolver, ascii_name, numeric, resolve

A, AAAA = 1, 28


class DnsServer(asyncio.DatagramProtocol):
    """Answers from `zone` ({(name, type): [address, …]}) with a TTL of an hour; counts questions by name.

    An absent name is NXDOMAIN unless `rcode` says otherwise; `silent` drops every question.
    """

    def __init__(self) -> None:
        self.zone: dict[tuple[str, int], list[str]] = {}
        self.rcode = 3
        self.silent = False
        self.asked: list[str] = []

    def connection_made(self, transport):
        self.transport = transport
        self.address = "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])

    def datagram_received(self, data, addr):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += data[at] + 1
        name, (qtype,) = ".".join(labels).lower(), struct.unpack(">H", data[at + 1 : at + 3])
        self.asked.append(name)
        if self.silent:
            return
        answers = self.zone.get((name, qtype), [])
        known = any(known == name for known, _ in self.zone)
        header = struct.pack(
            ">HHHHHH", *struct.unpack(">H", data[:2]), 0x8180 | (0 if known else self.rcode), 1, len(answers), 0, 0
        )
        body = data[12 : at + 5]
        for text in answers:
            packed = socket.inet_pton(socket.AF_INET6 if qtype == AAAA else socket.AF_INET, text)
            body += b"\xc0\x0c" + struct.pack(">HHIH", qtype, 1, 3600, len(packed)) + packed
        self.transport.sendto(header + body, addr)


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(DnsServer, local_addr=("127.0.0.1", 0))
    yield server
    transport.close()


@pytest.fixture
async def resources(dns) -> AsyncIterator[Resources]:
    opened = Resources()
    opened.get(KEY, lambda: Resolver([dns.address]))
    yield opened
    await opened.aclose()


@pytest.fixture
async def ctx(resources) -> Context:
    return Context(5.0, asyncio.get_running_loop().time() + 5.0, resources)


def hosts(addresses):
    return [address.host for address in addresses]


async def test_a_name_gives_its_addresses_and_the_phase_lasts_until_the_next(dns, ctx):
    dns.zone = {("a.example.vn", A): ["192.0.2.1"]}
    assert await resolve("a.example.vn", ctx) == (Address("192.0.2.1", socket.AF_INET),)
    assert ctx.phases.current == "resolve"
    ctx.phases.begin("connect")
    assert ctx.phases.samples["resolve_s"] > 0


async def test_a_version_asks_for_that_version_alone(dns, ctx):
    dns.zone = {("a.example.vn", A): ["192.0.2.1"], ("a.example.vn", AAAA): ["2001:db8::1"]}
    assert hosts(await resolve("a.example.vn", ctx, 6)) == ["2001:db8::1"]
    assert hosts(await resolve("a.example.vn", ctx, 4)) == ["192.0.2.1"]
    assert sorted(hosts(await resolve("a.example.vn", ctx))) == ["192.0.2.1", "2001:db8::1"]


async def test_many_addresses_are_bounded(dns, ctx):
    dns.zone = {("many.example.vn", A): [f"192.0.2.{n}" for n in range(1, 25)]}
    assert len(await resolve("many.example.vn", ctx)) == ADDRESSES_LIMIT


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [(3, Failure.DNS_NXDOMAIN), (2, Failure.DNS_SERVFAIL), (5, Failure.DNS_SERVFAIL), (1, Failure.DNS_SERVFAIL)],
)
async def test_the_server_s_refusals_have_their_failures(dns, ctx, rcode, failure):
    dns.rcode = rcode
    with pytest.raises(TroubleError) as caught:
        await resolve("absent.example.vn", ctx)
    assert caught.value.failure is failure
    assert "absent.example.vn" in caught.value.message
    assert ctx.phases.current == "resolve"


async def test_a_name_without_addresses_of_the_asked_version_is_a_wrong_answer(dns, ctx):
    dns.zone = {("four.example.vn", A): ["192.0.2.1"]}
    with pytest.raises(TroubleError) as caught:
        await resolve("four.example.vn", ctx, 6)
    assert caught.value.failure is Failure.DNS_ANSWER


async def test_a_silent_server_leaves_the_deadline_to_end_it_in_the_phase(dns, ctx):
    dns.silent = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await resolve("slow.example.vn", ctx)
    assert ctx.phases.current == "resolve"
    assert dns.asked


async def test_an_answer_is_never_kept_as_long_as_its_ttl_says(dns, ctx):
    dns.zone = {("a.example.vn", A): ["192.0.2.1"]}
    assert hosts(await resolve("a.example.vn", ctx, 4)) == ["192.0.2.1"]
    dns.zone = {("a.example.vn", A): ["192.0.2.2"]}
    async with asyncio.timeout(10):
        while hosts(await resolve("a.example.vn", ctx, 4)) != ["192.0.2.2"]:
            await asyncio.sleep(0.1)


async def test_a_name_that_is_gone_is_not_remembered_as_gone(dns, ctx):
    with pytest.raises(TroubleError):
        await resolve("back.example.vn", ctx, 4)
    dns.zone = {("back.example.vn", A): ["192.0.2.3"]}
    async with asyncio.timeout(10):
        while True:
            try:
                assert hosts(await resolve("back.example.vn", ctx, 4)) == ["192.0.2.3"]
            except TroubleError:
                await asyncio.sleep(0.1)
            else:
                break


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", Address("127.0.0.1", socket.AF_INET)),
        ("::1", Address("::1", socket.AF_INET6)),
        ("[::1]", Address("::1", socket.AF_INET6)),
        ("fe80::1%lo", Address("fe80::1%lo", socket.AF_INET6)),
    ],
)
async def test_a_number_is_not_looked_up(dns, ctx, host, address):
    assert await resolve(host, ctx) == (address,)
    assert not dns.asked


@pytest.mark.parametrize("host", ["1.2.3", "0x7f.1", "127.1", "2130706433", "01.2.3.4", ""])
def test_odd_spellings_of_numbers_are_not_numbers(host):
    assert numeric(host) is None


async def test_a_number_of_the_other_version_is_a_wrong_answer(ctx):
    with pytest.raises(TroubleError) as caught:
        await resolve("127.0.0.1", ctx, 6)
    assert caught.value.failure is Failure.DNS_ANSWER


async def test_localhost_works_offline(dns, ctx):
    assert "127.0.0.1" in hosts(await resolve("localhost", ctx))
    assert not dns.asked


def test_a_vietnamese_name_is_asked_for_as_dns_spells_it():
    assert ascii_name("thôngsuốt.vn") == "xn--" + "thôngsuốt".encode("punycode").decode() + ".vn"
    assert ascii_name("THÔNGSUỐT.vn") == ascii_name("thôngsuốt.vn")


@pytest.mark.parametrize("host", ["", "a\0b", "\ud800.vn", "a\u2024" * 300, "x" * 70 + ".vn", "a..b", "a b"])
async def test_a_name_that_cannot_exist_is_nxdomain(ctx, host):
    with pytest.raises(TroubleError) as caught:
        await resolve(host, ctx)
    assert caught.value.failure is Failure.DNS_NXDOMAIN
    assert caught.value.message


async def test_no_server_at_all_is_a_failure_of_the_layer_name():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    resources = Resources()
    resources.get(KEY, lambda: Resolver([address]))
    ctx = Context(5.0, asyncio.get_running_loop().time() + 5.0, resources)
    with pytest.raises(TroubleError) as caught:
        await resolve("a.example.vn", ctx)
    assert caught.value.failure is Failure.DNS_SERVFAIL
    await resources.aclose()
