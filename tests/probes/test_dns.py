"""The kind `dns`, against name servers on loopback."""

import asyncio
import struct

import pytest
import uvloop

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from probes.dns_exchange import system_servers
from probes.model import Failure
from tests.probes.dns_servers import a, always, answer, name_server, question_of, record, wire
from tests.probes.tcp_servers import SLACK_S, measure, refusing_port


async def test_records_are_counted_and_shown():
    async with name_server(always(a("192.0.2.1", ttl_s=60), a("192.0.2.2"))) as server:
        found = await measure("dns", "example.vn", server=server.address)
        held = "!('192.0.2.2' in records) || 'aa' in flags || rcode_name != 'NOERROR'"
        result = await run_once(prepare("dns", "example.vn", {"server": server.address, "down_when": held}), "test")
    assert found.failure is None
    assert found.samples == {
        "query_s": found.samples["query_s"], "rcode": 0, "answers": 2, "answer_records": 2, "authorities": 0,
        "additionals": 0, "ttl_min_s": 60,
        "response_bytes": 60, "tcp_fallback": 0, "retries": 0, "ignored": 0,
    }  # fmt: skip
    assert found.facts["records"] == ["192.0.2.1", "192.0.2.2"]
    assert found.facts["answer"][0] == "example.vn.\t60\tIN\tA\t192.0.2.1"
    assert found.facts["flags"] == ["qr", "rd", "ra"]
    assert result.state is State.UP


async def test_an_ipv6_server_and_a_server_by_name():
    async with name_server(always(a("192.0.2.1")), host="::1") as server:
        assert (await measure("dns", "example.vn", server=server.address)).failure is None
        long = server.address.replace("::1", "0:0:0:0:0:0:0:1")
        assert (await measure("dns", "example.vn", server=long)).failure is None
    async with name_server(always(a("192.0.2.1"))) as server:
        port = server.address.rpartition(":")[2]
        named = await measure("dns", "example.vn", server=f"localhost:{port}", ip_version=4)
    assert named.failure is None
    assert named.samples["resolve_s"] > 0


async def test_every_run_has_another_id_and_another_port():
    async with name_server(always(a("192.0.2.1"))) as server:
        for _ in range(8):
            await measure("dns", "example.vn", server=server.address)
        ids = {query[:2] for query in server.udp}
    assert len(ids) > 4


async def test_a_chain_of_cnames_counts_its_end_and_nothing_else():
    chain = [record(5, wire("b.vn")), record(5, wire("C.vn"), owner=wire("b.vn")), a("192.0.2.1", owner=wire("c.vn"))]
    stray = a("192.0.2.66", owner=wire("evil.vn"))
    async with name_server(always(stray, *chain)) as server:
        found = await measure("dns", "example.vn", server=server.address)
        alias = await measure("dns", "example.vn", server=server.address, type="CNAME")
    assert found.facts["records"] == ["192.0.2.1"]
    assert alias.facts["records"] == ["b.vn."]
    async with name_server(always(chain[0], chain[1])) as server:
        dangling = await measure("dns", "example.vn", server=server.address)
    assert dangling.failure is Failure.DNS_ANSWER
    assert dangling.message == "0 A records (CNAME to c.vn.), at least 1 needed"


async def test_cnames_in_a_circle_end():
    async with name_server(
        always(record(5, wire("b.vn")), record(5, wire("example.vn"), owner=wire("b.vn")))
    ) as server:
        assert (await measure("dns", "example.vn", server=server.address)).samples["answers"] == 0


async def test_the_serial_of_a_zone():
    soa = record(6, wire("ns.vn") + wire("h.vn") + struct.pack(">5I", 2026112301, 1, 2, 3, 4))
    async with name_server(always(soa, flags=0x8580)) as server:
        found = await measure("dns", "example.vn", type="SOA", server=server.address)
        older = {"type": "soa", "server": server.address, "down_when": "serial < 2026112302"}
        result = await run_once(prepare("dns", "example.vn", older), "test")
    assert found.facts["serial"] == 2026112301
    assert "aa" in found.facts["flags"]
    assert result.message == "serial < 2026112302 (serial = 2026112301)"


async def test_an_address_is_turned_round_for_ptr():
    async with name_server(always(record(12, wire("host.vn")))) as server:
        found = await measure("dns", "192.0.2.1", type="PTR", server=server.address)
    assert found.facts["records"] == ["host.vn."]
    assert question_of(server.udp[0]).startswith(wire("1.2.0.192.in-addr.arpa"))


async def test_a_lost_packet_does_not_make_a_server_silent():
    seen = []

    def deaf_at_first(query):
        seen.append(query)
        return [answer(query, a("192.0.2.1"))] if len(seen) > 1 else []

    async with name_server(deaf_at_first) as server:
        found = await measure("dns", "example.vn", timeout_s=1.5, server=server.address)
    assert found.failure is None
    assert found.samples["retries"] == 1
    assert found.samples["query_s"] > 0.1
    assert seen[0] == seen[1]


async def test_forged_and_stray_answers_are_ignored_and_counted():
    def forged_first(query):
        other_id = bytes((query[0] ^ 1,)) + query[1:]
        return [
            b"garbage",
            query,
            answer(other_id, a("192.0.2.66")),
            answer(query.replace(b"example", b"EXAMPEL"), a("192.0.2.66")),
            answer(query, a("192.0.2.1")),
        ]

    async with name_server(forged_first) as server:
        found = await measure("dns", "example.vn", server=server.address)
    assert found.facts["records"] == ["192.0.2.1"]
    assert found.samples["ignored"] == 4


async def test_an_answer_from_another_address_is_ignored():
    loop = asyncio.get_running_loop()

    class FromElsewhere(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            elsewhere.sendto(answer(data, a("192.0.2.66")), addr)

    elsewhere, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.2", 0))
    asked, _ = await loop.create_datagram_endpoint(FromElsewhere, local_addr=("127.0.0.1", 0))
    try:
        port = asked.get_extra_info("sockname")[1]
        found = await measure("dns", "example.vn", timeout_s=1.0, server=f"127.0.0.1:{port}")
    finally:
        asked.close()
        elsewhere.close()
    assert found.failure is Failure.DNS_TIMEOUT
    assert found.samples["ignored"] == 3
    assert "3 datagrams ignored that were not the answer" in found.message


async def test_a_flood_of_forged_answers_ends():
    async with name_server(lambda query: [b"x"] * 1100) as server:
        found = await measure("dns", "example.vn", timeout_s=0.6, server=server.address)
    assert found.failure in (Failure.DNS_ANSWER, Failure.DNS_TIMEOUT)  # as many as the socket's buffer takes
    assert found.samples["ignored"] > 100


async def test_a_truncated_answer_is_fetched_over_tcp():
    def over_udp(query):
        return [answer(query, flags=0x8380)]

    def over_tcp(query):
        message = answer(query, *[a(f"192.0.2.{n}") for n in range(200)])
        framed = len(message).to_bytes(2, "big") + message
        return [framed[:1], framed[1:700], framed[700:]]

    async with name_server(over_udp, over_tcp) as server:
        found = await measure("dns", "example.vn", server=server.address, min_answers=200)
    assert found.failure is None
    assert found.samples["tcp_fallback"] == 1
    assert found.samples["answers"] == 200
    assert found.samples["connect_s"] > 0
    assert len(found.facts["records"]) == 100


@pytest.mark.parametrize(
    ("over_tcp", "failure", "message"),
    [
        (lambda query: [b"\0\5garb!"], Failure.DNS_ANSWER, "not to our question: shorter than a header"),
        (lambda query: [b"\xff\xff" + answer(query)], Failure.DNS_TIMEOUT, "no answer within 0.8 s in query"),
        (lambda query: [b"\0\0"], Failure.DNS_ANSWER, "shorter than a header"),
        (lambda query: [], Failure.DNS_TIMEOUT, "no answer within 0.8 s in query"),
        (
            lambda query: [len(answer(query)).to_bytes(2, "big") + answer(query, flags=0x8380)],
            Failure.DNS_ANSWER,
            "truncated over TCP too",
        ),
    ],
)
async def test_trouble_over_tcp(over_tcp, failure, message):
    async with name_server(lambda query: [], over_tcp) as server:
        found = await measure("dns", "example.vn", timeout_s=0.8, server=server.address, transport="tcp")
    assert found.failure is failure
    assert message in found.message
    assert not server.udp


async def test_a_server_from_before_edns_is_asked_without_it():
    def old(query):
        if query[11]:  # an additional record
            return [query[:2] + b"\x81\x81" + bytes(8)]
        return [answer(query, a("192.0.2.1"))]

    async with name_server(old) as server:
        found = await measure("dns", "example.vn", server=server.address)
    assert found.failure is None
    assert found.samples["retries"] == 0
    assert len(server.udp) == 2


async def test_dnssec_and_recursion_are_asked_for_as_told():
    async with name_server(always(a("192.0.2.1"))) as server:
        await measure("dns", "example.vn", server=server.address)
        await measure("dns", "example.vn", server=server.address, recursion=False, dnssec_ok=True)
    plain, secure = server.udp
    assert plain[2] & 1
    assert not secure[2] & 1
    assert plain[-4] & 0x80 == 0
    assert secure[-4] & 0x80


async def test_a_broken_answer_is_said_to_be_broken():
    async with name_server(always(record(1, b"\x01"))) as server:
        found = await measure("dns", "example.vn", server=server.address)
    assert found.failure is Failure.DNS_ANSWER
    assert found.message == "the answer is broken: it ends too early"


async def test_nobody_listening_is_known_at_once():
    found = await measure("dns", "example.vn", timeout_s=5.0, server=f"127.0.0.1:{refusing_port()}")
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.samples["query_s"] < 2.0


def test_it_works_on_uvloop():
    async def many():
        async with name_server(always(a("192.0.2.1"))) as server:
            return await asyncio.gather(*(measure("dns", "a.vn", server=server.address) for _ in range(50)))

    assert [found.failure for found in uvloop.run(many())] == [None] * 50


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_silence_ends_on_uvloop_too(transport):
    async def once():
        async with name_server(lambda query: []) as server:
            parameters = {"server": server.address, "transport": transport}
            return await run_once(prepare("dns", "a.vn", parameters, 0.5), "test")

    result = uvloop.run(once())
    assert result.failure in (Failure.DNS_TIMEOUT, Failure.TIMEOUT)  # the runner's, where this machine is late
    assert result.duration_s < 0.5 + SLACK_S


def test_the_systems_servers(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("# comment\nsearch vn\nnameserver 192.0.2.53\nnameserver ::1\nnameserver\n")
    assert system_servers(str(path)) == ["192.0.2.53", "::1"]
    assert system_servers(str(tmp_path / "none")) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "parameters", "reason"),
    [
        ("a..b", {}, "is not a name"),
        ("", {}, "at least 1 character"),
        ("a.vn", {"type": "MXX"}, "is not a record type"),
        ("a.vn", {"rcode": ["NOEROR"]}, "is not a response code"),
        ("a.vn", {"rcode": []}, "at least 1 item"),
        ("a.vn", {"server": "a b"}, "is not an address"),
        ("a.vn", {"transport": "quic"}, "'udp' or 'tcp'"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(name, parameters, reason):
    with pytest.raises(WrongUseError, match=reason):
        prepare("dns", name, parameters)
