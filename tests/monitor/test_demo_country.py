"""Starting and stopping the simulated country: addresses, files, the process, and the configuration it writes."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import orjson
import pytest

from monitor.demo.addresses import BLOCKS, Block, free_port
from monitor.demo.country import Country, InUseError, start
from monitor.demo.listener import Listener, Server
from monitor.demo.stage import LOG_LIMIT_BYTES, HandClock, Log
from tests.monitor.demo_clients import config_text, connects, move, stamp, truth

COMMAND = (sys.executable, "-m", "monitor.demo", "--scale", "0")


async def small(directory: Path) -> Country:
    return await start(directory, scale=0.0, clock=HandClock())


async def test_two_countries_stand_side_by_side(tmp_path: Path) -> None:
    one, other = await small(tmp_path / "one"), await small(tmp_path / "other")
    channel = "link-cao-bang-a"
    assert one.address_of(channel) != other.address_of(channel)
    await move(one, 80)
    assert (await stamp(one.address_of(channel), 3, wait_s=0.2)).lost == 3
    assert (await stamp(other.address_of(channel), 3)).lost == 0
    await one.close()
    assert (await stamp(other.address_of(channel), 3)).lost == 0
    await other.close()


async def test_one_directory_is_one_country(tmp_path: Path) -> None:
    country = await small(tmp_path)
    with pytest.raises(InUseError, match="another simulated country"):
        await small(tmp_path)
    await country.close()
    again = await small(tmp_path)
    await again.close()


async def test_nothing_is_left_after_closing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    country = await small(tmp_path)
    await move(country, 110)  # with a host that has vanished
    addresses = [country.address_of(service) for service in country.plan.services if "dns" not in service]
    assert len(os.listdir("/proc/self/fd")) > before + 60
    await country.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert {await connects(address) for address in addresses} == {"refused"}
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_taken_port_is_replaced_by_another() -> None:
    async def never(_sock: socket.socket) -> Server:
        raise AssertionError("it is not asked to serve")

    block = Block()
    host = block.address(9, 9)
    taken = block.bind(socket.SOCK_STREAM, host, 8443)
    taken.listen()
    listener = Listener(block, host, 8443, never)
    assert taken.getsockname() == (host, 8443)
    assert listener.host == host
    assert listener.port != 8443
    assert await connects((listener.host, listener.port)) == "refused"
    with pytest.raises(OSError, match="in use"):
        block.bind(socket.SOCK_STREAM, host, 8443, is_exact=True)
    await listener.close()
    taken.close()
    block.close()


def test_blocks_are_taken_one_after_the_other() -> None:
    blocks = [Block(), Block()]
    first, second = (int(block.address(1, 2).split(".")[1]) for block in blocks)
    assert first != second
    assert {first, second} <= set(BLOCKS)
    for block in blocks:
        block.close()


def test_a_port_that_somebody_listens_on_is_not_given_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    line = {"text": "x" * (LOG_LIMIT_BYTES // 2)}
    for _ in range(6):
        log.write(line)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 * LOG_LIMIT_BYTES
    assert orjson.loads(log.path.read_bytes().splitlines()[-1]) == line


async def test_secrets_are_readable_by_their_owner_alone_and_stand_nowhere_else(tmp_path: Path) -> None:
    country = await small(tmp_path)
    secret = tmp_path / "secrets" / "database"
    assert secret.stat().st_mode & 0o077 == 0
    assert [p.name for p in (tmp_path / "certificates").glob("*-expired.pem") if p.stat().st_mode & 0o077] == []
    assert secret.read_text() not in config_text(country)
    await country.close()


async def _run(directory: Path, **options: object) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--directory", str(directory), stdout=asyncio.subprocess.PIPE, **options
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = await process.stdout.readline()
    return process, orjson.loads(line)


async def test_the_process_says_where_its_configuration_is_and_ends_on_sigterm(tmp_path: Path) -> None:
    process, ready = await _run(tmp_path)
    config = Path(ready["config"])
    address = next(
        row.rsplit(",", 1)[1]
        for row in (config / "channels.csv").read_text().splitlines()
        if row.startswith("link-ca-mau-a,")
    )
    host, port = address.split(":")
    assert (await stamp((host, int(port)), 3)).lost == 0
    assert ready["truth"] == str(tmp_path / "truth.jsonl")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert (await stamp((host, int(port)), 3, wait_s=0.1)).lost == 3


async def test_a_second_process_in_the_same_directory_says_why_it_does_not_start(tmp_path: Path) -> None:
    country = await small(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--directory", str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    await country.close()
    assert (process.returncode, out) == (2, b"")
    assert b"another simulated country" in err


async def test_the_process_ends_when_nobody_reads_its_output_any_more(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(*COMMAND, "--directory", str(tmp_path), stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        line = await asyncio.to_thread(pipe.readline)
        assert b"config" in line
        assert process.returncode is None
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_describe_counts_and_lists_and_starts_nothing() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, "--describe", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    text = out.decode()
    assert "channels" in text
    assert "gateway_outage" in text


async def test_real_time_plays_by_itself(tmp_path: Path) -> None:
    country = await start(tmp_path, scale=0.0)
    country.stage.clock._started -= 24.5
    async with asyncio.timeout(10):
        while not truth(country):
            await asyncio.sleep(0.02)
    assert truth(country)[0]["what"] == "channel_cut"
    assert (await stamp(country.address_of("link-lao-cai-b"), 3, wait_s=0.2)).lost == 3
    await country.close()
