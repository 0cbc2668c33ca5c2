"""A stream over real sockets: several addresses, back-pressure, ends and link-local addresses."""

import asyncio
import socket
import ssl
from contextlib import ExitStack

import pytest
import trustme

from probes.failures import TroubleError
from probes.model import Context, Failure, Resources
from probes.resolver import Address
from probes.tcp_stream import connect, sockaddr
from tests.probes.tcp_servers import refusing_port, saying, serve, silent

HERE = Address("127.0.0.1", socket.AF_INET)
ELSEWHERE = Address("127.0.0.2", socket.AF_INET)


def context(timeout_s=5.0):
    return Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, Resources())


async def test_the_next_address_is_taken_when_one_refuses():
    async with serve(silent) as port:
        stream = await connect([ELSEWHERE, HERE], port, context())
        stream.close()
    assert stream.address == ("127.0.0.1", port)


async def test_a_silent_address_has_its_fair_share_of_the_time():
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        answering = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        ctx = context(0.6)
        stream = await connect([ELSEWHERE, HERE], port, ctx)
        stream.close()
        assert answering.getsockname() == stream.address
    ctx.phases.end()
    assert 0.25 < ctx.phases.samples["connect_s"] < 0.6


async def test_the_last_address_says_what_befell_them():
    port = refusing_port()
    with pytest.raises(TroubleError) as caught:
        await connect([ELSEWHERE, HERE], port, context())
    assert caught.value.failure is Failure.CONNECT_REFUSED
    assert caught.value.message == f"connection refused in connect: 127.0.0.1:{port} (the last of 2 addresses)"
    with pytest.raises(TroubleError, match="no address"):
        await connect([], port, context())


@pytest.mark.parametrize("lifted", [False, True])
async def test_more_than_the_kernel_takes_at_once_is_sent_when_the_peer_reads(lifted):
    data = b"x" * 64_000_000  # more than the kernel's two buffers may grow to (tcp_rmem, tcp_wmem)
    came = asyncio.get_running_loop().create_future()
    go = asyncio.Event()

    async def slow(reader, writer):
        writer.transport.pause_reading()
        await go.wait()
        writer.transport.resume_reading()
        came.set_result(len(await reader.readexactly(len(data))))
        await silent(reader, writer)

    tls = None
    if lifted:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    async with serve(slow, tls=tls) as port:
        stream = await connect([HERE], port, context())
        try:
            if lifted:
                await stream.start_tls(trusting, "127.0.0.1")
            sending = asyncio.create_task(stream.send(data))
            done, _ = await asyncio.wait([sending], timeout=0.1)
            assert not done
            go.set()
            await sending
            assert await came == len(data)
        finally:
            stream.close()


async def test_the_end_of_a_stream_is_no_bytes():
    async with serve(saying(b"bye", then_close=True)) as port:
        stream = await connect([HERE], port, context())
        try:
            assert await stream.receive() == b"bye"
            assert await stream.receive() == b""
        finally:
            stream.close()
            stream.close()  # twice is once


async def test_a_cancelled_wait_leaves_no_watcher_behind():
    async with serve(silent) as port:
        stream = await connect([HERE], port, context())
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        descriptor = stream._socket.fileno()
        stream.close()
        assert asyncio.get_running_loop().remove_reader(descriptor) is False


def test_a_link_local_address_names_its_interface():
    assert sockaddr(HERE, 1) == ("127.0.0.1", 1)
    loopback = socket.if_nametoindex("lo")
    for scope in ("lo", str(loopback)):
        assert sockaddr(Address(f"fe80::1%{scope}", socket.AF_INET6), 7) == ("fe80::1", 7, 0, loopback)
    with pytest.raises(OSError, match="no interface"):
        sockaddr(Address("fe80::1%nothere", socket.AF_INET6), 7)
