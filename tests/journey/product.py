"""The product as its users have it: real processes on a configuration, with a service to watch and someone to tell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web

PATIENCE_S = 30.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def until(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait until `holds()` gives something true (it may be a coroutine function) and return that."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.05)
    message = f"in vain: {what}"
    raise AssertionError(message)


class Service:
    """A service that answers as it is told, and a receiver of notifications beside it.

    Attributes:
        asked: how often it was asked.

    """

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.told: list[dict[str, Any]] = []
        self.url = ""
        self.hook = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"status": "UP" if self.status == 200 else "DOWN"}, status=self.status)

    async def take(self, request: web.Request) -> web.Response:
        self.told.append({**await request.json(), "key": request.headers["Idempotency-Key"]})
        return web.Response()


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """Serve a Service on a free port."""
    served = Service()
    app = web.Application()
    app.add_routes([web.get("/health", served.answer), web.post("/hook", served.take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    served.url, served.hook = f"{base}/health", f"{base}/hook"
    try:
        yield served
    finally:
        await runner.cleanup()
        # A connection that was taken at the last moment gets its transport, and loses it, in the turns that follow.
        await asyncio.sleep(0.05)


class Product:
    """A directory with a configuration, and the processes that run on it."""

    def __init__(self, directory: Path, served: Service, store: str | None = None) -> None:
        self.directory = directory
        self.config = directory / "config"
        self.config.mkdir()
        self.web = f"http://127.0.0.1:{free_port()}"
        self.listen = f"http://127.0.0.1:{free_port()}"
        self.store = store or f"sqlite:///{directory}/thongsuot.db"
        (self.config / "store").write_text(self.store)  # it may hold a password
        self.document: dict[str, Any] = {
            "settings": {
                "store": "${file:store}",
                "spool": str(directory / "spool"),
                "web": self.web.removeprefix("http://"),
                "listen": self.listen.removeprefix("http://"),
            },
            "agencies": [{"id": "BCA", "name": {"vi": "Bộ Công an", "en": "Ministry of Public Security"}}],
            "targets": [
                {
                    "id": "dan-cu",
                    "type": "endpoint",
                    "name": {"vi": "CSDL quốc gia về dân cư", "en": "Population"},
                    "agency": "BCA",
                    "criticality": 1,
                    "checks": [
                        {
                            "probe": "http",
                            "url": served.url,
                            "interval": "1s",
                            "timeout": "900ms",
                            "retry_interval": "500ms",
                            "confirm": {"down": 3, "up": 2},
                            "down_when": ["json.status != 'UP'"],
                        }
                    ],
                }
            ],
            "receivers": [{"id": "noc", "channel": "webhook", "url": served.hook}],
            "routes": [{"receivers": ["noc"]}],
        }
        self.write()

    def write(self) -> None:
        """Write the configuration as the document says (JSON is YAML)."""
        (self.config / "product.yaml").write_text(json.dumps(self.document, ensure_ascii=False))

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `thongsuot COMMAND` for the length of the block, in a session of its own."""
        with (self.directory / f"{command}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "monitor", command, "--config", str(self.config)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), PATIENCE_S)
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise

    async def cli(self, *arguments: str) -> tuple[int, str, str]:
        """Run one command to its end; return its exit status, standard output and standard error."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "THONGSUOT_CONFIG": str(self.config)},
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def get(self, url: str) -> tuple[int, str]:
        """Get a URL; (0, "") while nobody listens."""
        try:
            async with aiohttp.ClientSession() as client, client.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def is_ready(self) -> bool:
        return (await self.get(f"{self.listen}/readyz"))[0] == 200

    async def metric(self, name: str) -> float:
        """Return the first series of that name, NaN where there is none yet."""
        _, text = await self.get(f"{self.listen}/metrics")
        for line in text.splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.rsplit(" ", 1)[1])
        return float("nan")

    def log(self, command: str) -> str:
        return (self.directory / f"{command}.log").read_text()


def child_of(process: asyncio.subprocess.Process, word: str) -> psutil.Process | None:
    """Return the child whose command line holds that word."""
    for child in psutil.Process(process.pid).children():
        try:
            if word in child.cmdline():
                return child
        except psutil.Error:
            continue
    return None
