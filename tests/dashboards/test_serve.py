"""The web process as a process: where it refuses to listen, how it starts without a store, how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time

import aiohttp
import pytest

from dashboards.serve import WrongUseError, main, parse_listen, store_url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8050", ("127.0.0.1", 8050)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("[::1]:8050", ("::1", 8050)),
        ("127.8.8.8:0", ("127.8.8.8", 0)),
    ],
)
def test_loopback_may_be_listened_on(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:8050",
        ":8050",
        "[::]:8050",
        "10.1.2.3:80",
        "example.org:80",
        "127.0.0.1.example:80",
        "*:8050",
        "[::ffff:10.0.0.1]:1",
    ],
)
def test_beyond_loopback_is_refused_until_there_are_logins(text):
    with pytest.raises(WrongUseError, match="no logins yet"):
        parse_listen(text)


@pytest.mark.parametrize(
    "text", ["", "8050", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:٣"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(WrongUseError, match="HOST:PORT"):
        parse_listen(text)


def test_the_store_comes_from_the_option_or_the_environment():
    environ = {"THONGSUOT_STORE": "sqlite:///a.db"}
    assert store_url(None, environ) == "sqlite:///a.db"
    assert store_url("sqlite:///b.db", environ) == "sqlite:///b.db"
    with pytest.raises(WrongUseError, match="no store"):
        store_url(None, {})


def test_an_address_that_is_no_store_is_refused_without_repeating_it():
    with pytest.raises(WrongUseError, match="not one") as refused:
        store_url("mysql://u:secret@h/d", {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "0.0.0.0:8050", "--store", "sqlite:///x.db"),
        ("--timezone", "Mars/Olympus", "--store", "sqlite:///x.db"),
        ("--timezone", "../../etc/passwd", "--store", "sqlite:///x.db"),
    ],
)
def test_wrong_use_ends_with_status_2_and_a_sentence(arguments, capfd):
    assert main(arguments) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_taken_port_ends_with_status_3(capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(("--listen", listen, "--store", "sqlite:///x.db")) == 3
    assert "cannot listen" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_starts_without_a_store_and_stops_cleanly(tmp_path, number):
    port = free_port()
    command = (
        sys.executable,
        "-m",
        "dashboards",
        "--listen",
        f"127.0.0.1:{port}",
        "--store",
        f"sqlite:///{tmp_path}/no.db",
    )
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    async with client.get("/healthz") as answer:
                        assert await answer.json() == {"status": "ok", "store": "away"}
                        break
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
            async with client.get("/live/overview") as answer:
                assert answer.status == 503
            async with client.get("/") as answer:
                assert answer.status == 200
        process.send_signal(number)
        _, logged = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, logged.decode()
        assert b"Traceback" not in logged
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
