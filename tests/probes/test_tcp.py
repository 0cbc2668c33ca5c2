"""The kind `tcp`, on real sockets."""

import asyncio
import socket
import ssl
import struct
import time
from contextlib import ExitStack

import pytest
import trustme
import uvloop
from pydantic import ValidationError

from monitor.oneshot import WrongUseError, prepare, run_once
from probes.kinds.tcp import TcpParams
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, measure, refusing_port, saying, serve, silent


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "mail.example.vn").configure_cert(context)
    return context


async def test_a_connection_is_up_with_its_times_and_the_kernels_round_trip():
    async with serve(silent) as port:
        found = await measure("tcp", f"127.0.0.1:{port}")
    assert found.failure is None
    assert found.message == ""
    assert set(found.samples) == {"resolve_s", "connect_s", "tcp_rtt_s", "tcp_retransmits"}
    assert 0 < found.samples["tcp_rtt_s"] < 0.1
    assert found.samples["connect_s"] == found.samples["tcp_rtt_s"]
    assert found.samples["tcp_retransmits"] == 0
    assert found.facts["ip"] == "127.0.0.1"


async def test_ipv6_in_brackets():
    async with serve(silent, "::1") as port:
        assert (await measure("tcp", f"[::1]:{port}")).failure is None
        refused = await measure("tcp", f"[::1]:{port}", ip_version=4)
    assert refused.failure is Failure.DNS_ANSWER


async def test_a_name_is_resolved_and_each_address_tried():
    async with serve(silent) as port:  # only on 127.0.0.1: where ::1 comes first, it refuses
        found = await measure("tcp", f"localhost:{port}")
    assert found.failure is None
    assert found.facts["ip"] == "127.0.0.1"


async def test_a_closed_port_refuses():
    port = refusing_port()
    found = await measure("tcp", f"127.0.0.1:{port}")
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message == f"connection refused in connect: 127.0.0.1:{port}"
    assert "tcp_rtt_s" not in found.samples
    assert "connect_s" in found.samples


async def test_a_lost_syn_is_waited_for_and_is_no_round_trip():
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # its queue is full: the kernel drops the next SYN
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        probing = asyncio.create_task(measure("tcp", f"127.0.0.1:{listener.getsockname()[1]}"))
        await asyncio.sleep(0.2)
        for _ in range(2):
            stack.enter_context(listener.accept()[0])
        found = await probing
    assert found.failure is None
    assert found.samples["connect_s"] > 0.9  # the first repetition comes after a second (RFC 6298, section 2.1)
    assert found.samples["tcp_retransmits"] >= 1
    assert "tcp_rtt_s" not in found.samples


async def test_connecting_is_measured_by_the_kernel_when_this_process_is_late():
    loop = asyncio.get_running_loop()
    async with serve(silent) as port:
        probing = asyncio.create_task(measure("tcp", f"127.0.0.1:{port}"))
        loop.call_soon(lambda: loop.call_soon(time.sleep, 0.1))  # something else keeps the loop busy
        found = await probing
    assert found.samples["connect_s"] < 0.05


async def test_a_banner_is_expected_and_kept():
    async with serve(saying(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=[{"expect": "^SSH-2.0-"}])
    assert found.failure is None
    assert found.samples["dialogue_s"] > 0
    assert found.samples["tcp_rttvar_s"] > 0
    assert found.facts["banner"] == "SSH-2.0-OpenSSH_9.2"
    assert found.facts["matched"] == ["SSH-2.0-OpenSSH_9.2"]


async def test_a_prompt_without_a_line_feed_is_met_and_what_follows_is_a_line_of_its_own():
    async def login(reader, writer):
        writer.write(b"Welcome\nlogin: ")
        name = await reader.readline()
        writer.write(b"hello " + name)
        await silent(reader, writer)

    dialogue = [{"expect": "login: $"}, {"send": "ops\n"}, {"expect": "^hello ops$"}]
    async with serve(login) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=dialogue)
    assert found.failure is None
    assert found.facts["banner"] == "Welcome"
    assert found.facts["matched"] == ["login: ", "hello ops"]


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("PING", b"PING\r\n"),
        ("PING\r", b"PING\r\n"),
        ("PING\n", b"PING\n"),
        ("PING\r\n", b"PING\r\n"),
        (" a ", b" a \r\n"),
    ],
)
async def test_a_text_is_sent_as_a_line(text, wire):
    came = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        came.set_result(await reader.readuntil(b"\n"))
        writer.write(b"+PONG\r\n")
        await silent(reader, writer)

    async with serve(handler) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=[{"send": text}, {"expect": "^[+]PONG$"}])
    assert found.failure is None
    assert await came == wire


async def test_an_echoed_secret_stays_out_of_the_message():
    async def echo(reader, writer):
        writer.write(b"ERR unknown " + await reader.readline())
        writer.write_eof()

    dialogue = [{"send": "AUTH hunter2"}, {"expect": "^OK"}]
    async with serve(echo) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=dialogue)
    assert found.failure is Failure.PROTOCOL
    assert found.message == "expected '^OK', read 'ERR unknown …'"
    assert "hunter2" not in repr(TcpParams(address="h:1", dialogue=dialogue))


@pytest.mark.parametrize(
    ("said", "then_close", "failure", "message"),
    [
        (b"554 no service\r\n", False, Failure.PROTOCOL, "expected '^220 ', read '554 no service'"),
        (b"220-wait\r\n554 no\r\n", False, Failure.PROTOCOL, "expected '^220 ', read '220-wait 554 no'"),
        (b"ERROR busy\n", True, Failure.PROTOCOL, "expected '^220 ', read 'ERROR busy'"),
        (b"\x15\x03\x01\x00", True, Failure.PROTOCOL, "expected '^220 ', read"),
        (b"", True, Failure.CONNECTION_CLOSED, "expected '^220 ', and the peer closed the connection"),
    ],
)
async def test_anything_but_what_was_expected_is_down_with_what_was_read(said, then_close, failure, message):
    async with serve(saying(said, then_close=then_close)) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", timeout_s=10.0, dialogue=[{"expect": "^220 "}])
    assert found.failure is failure
    assert found.message.startswith(message)
    assert found.message.isprintable()


async def test_a_wrong_line_and_then_silence_is_what_was_read_and_not_a_timeout():
    async with serve(saying(b"busy\n")) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", {"dialogue": [{"expect": "^OK"}]}, 1.0), "test")
    assert result.failure is Failure.PROTOCOL
    assert result.message == "expected '^OK', read 'busy'"
    assert result.duration_s < 1.0 + SLACK_S


@pytest.mark.parametrize("said", [b"x" * 200_000, b"\n" * 200_000, b"y\n" * 100_000, b"\0\xff\xfe" * 70_000])
async def test_endless_talk_ends_at_the_limit(said):
    async with serve(saying(said)) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", timeout_s=10.0, dialogue=[{"expect": "^OK"}])
    assert found.failure is Failure.PROTOCOL
    assert len(found.message) <= 300


async def test_a_pattern_that_would_explode_in_a_backtracking_engine_does_not():
    async with serve(saying(b"a" * 60_000 + b"!", then_close=True)) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", timeout_s=10.0, dialogue=[{"expect": "^(a+)+b"}])
    assert found.failure is Failure.PROTOCOL


async def test_a_reset_in_the_dialogue():
    async def reset(reader, writer):
        await reader.readline()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serve(reset) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=[{"send": "x"}, {"expect": "y"}])
    assert found.failure is Failure.CONNECTION_RESET
    assert found.message == "connection reset by peer in dialogue"


async def test_tls_from_the_start(server_tls, ca_file):
    async with serve(saying(b"hello\n"), tls=server_tls) as port:
        address = f"127.0.0.1:{port}"
        found = await measure("tcp", address, tls=True, ca_file=ca_file, dialogue=[{"expect": "hello"}])
        untrusted = await measure("tcp", address, tls=True)
        named = await measure("tcp", address, tls=True, ca_file=ca_file, server_name="mail.example.vn")
        misnamed = await measure("tcp", address, tls=True, ca_file=ca_file, server_name="www.example.vn")
        unverified = await measure("tcp", address, tls=True, verify=False)
    assert found.failure is None
    assert found.samples["tls_s"] > 0
    assert found.samples["cert_expires_s"] > 0
    assert found.facts["cert.expires_in"].total_seconds() == pytest.approx(found.samples["cert_expires_s"], abs=5)
    assert untrusted.failure is Failure.TLS_UNTRUSTED
    assert untrusted.samples["cert_expires_s"] > 0
    assert named.failure is None
    assert misnamed.failure is Failure.TLS_NAME
    assert unverified.failure is None


@pytest.mark.parametrize(
    ("said", "then_close", "failure"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, Failure.TLS_HANDSHAKE),
        (b"", True, Failure.CONNECTION_CLOSED),
        (b"\x16\x03\x03\x40\x00" + b"\x0b\xff\xff\xff" + b"\0" * 300_000, False, Failure.TLS_HANDSHAKE),
    ],
)
async def test_what_is_not_tls(said, then_close, failure):
    async with serve(saying(said, then_close=then_close)) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", tls=True, verify=False)
    assert found.failure is failure


async def test_text_put_in_before_tls_is_found():
    async def handler(reader, writer):
        await reader.readline()
        writer.write(b"220 go\r\n250 injected\r\n")
        await silent(reader, writer)

    dialogue = [{"send": "STARTTLS"}, {"expect": "^220"}, {"starttls": True}]
    async with serve(handler) as port:
        found = await measure("tcp", f"127.0.0.1:{port}", dialogue=dialogue, verify=False)
    assert found.failure is Failure.PROTOCOL
    assert found.message == "text before TLS began: '250 injected'"


def test_it_works_on_uvloop_and_leaves_nothing_open():
    async def many():
        async with serve(saying(b"220 hi\r\n")) as port:
            calls = [measure("tcp", f"127.0.0.1:{port}", dialogue=[{"expect": "^220"}]) for _ in range(50)]
            found = await asyncio.gather(*calls)
            return [*found, await measure("tcp", f"127.0.0.1:{refusing_port()}")]

    found = uvloop.run(many())
    assert [one.failure for one in found] == [None] * 50 + [Failure.CONNECT_REFUSED]


@pytest.mark.parametrize("parameters", [{"dialogue": [{"expect": "x"}]}, {"tls": True}])
def test_silence_ends_on_uvloop_too(parameters):
    async def once():
        async with serve(silent) as port:
            return await run_once(prepare("tcp", f"127.0.0.1:{port}", parameters, 0.2), "test")

    result = uvloop.run(once())
    assert result.failure is Failure.TIMEOUT
    assert result.duration_s < 0.2 + SLACK_S


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("example.vn", "write host:port"),
        ("example.vn:0", "write host:port"),
        ("example.vn:65536", "write host:port"),
        ("2001:db8::1:443", "put an IPv6 address in brackets"),
        ("[2001:db8::1]", "write host:port"),
        ("[example.vn]:443", "write host:port"),
        (":443", "write host:port"),
        ("http://example.vn:80", "write host:port"),
        (".example.vn:80", "write host:port"),
        ("a b:80", "write host:port"),
    ],
)
def test_a_wrong_address_says_what_is_right(address, reason):
    with pytest.raises(ValidationError, match=reason):
        TcpParams(address=address)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"dialogue": [{"expect": "("}]}, "is not a regular expression"),
        ({"dialogue": [{"expect": "a", "send": "b"}]}, "one of expect, send and starttls"),
        ({"dialogue": [{}]}, "one of expect, send and starttls"),
        ({"tls": True, "dialogue": [{"starttls": True}]}, "TLS begins once"),
        ({"server_name": "x" * 64 + ".vn"}, "is not a name"),
        ({"adress": "x"}, "no such parameter"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(parameters, reason):
    with pytest.raises(WrongUseError, match=reason):
        prepare("tcp", "127.0.0.1:1", parameters)


@pytest.mark.parametrize(
    "address", [f"redis://:{'hunter2' * 3}@10.0.0.1:6379", f"noc:{'hunter2' * 3}@mail.example.vn:25"]
)
def test_an_address_that_is_none_is_not_repeated_with_its_password(address):
    with pytest.raises(WrongUseError, match="what is given, with a user in it, is not an address") as caught:
        prepare("tcp", address, {})
    assert "hunter2" not in str(caught.value)


def test_an_address_that_is_none_is_repeated_in_part():
    with pytest.raises(WrongUseError, match=r"'x{80}…' is not an address"):
        prepare("tcp", "x" * 5000, {})
