"""Starts the country: binds every far end, plays the script on them, and writes the configuration that watches them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from monitor.demo import configuration, mail, postgres, weather
from monitor.demo.addresses import PORTS, Block, free_port
from monitor.demo.blueprint import draw
from monitor.demo.certificates import Authority, write_secret
from monitor.demo.domain import read
from monitor.demo.geography import round_trip_s
from monitor.demo.listener import Listener, Manner, Server, StreamServer
from monitor.demo.nameserver import ZONE, NameServer
from monitor.demo.plan import Host, Service
from monitor.demo.reflector import Reflector
from monitor.demo.scenes import SCENES
from monitor.demo.script import Effect, Script
from monitor.demo.stage import Actor, Clock, Log, RealClock, Stage
from monitor.demo.web import Receiver, WebServer

OPEN_FILES = 4096


class InUseError(RuntimeError):
    """Another simulation keeps its files in that directory."""


class Country:
    """The running country.

    Attributes:
        config: the directory of the configuration that watches it.
        truth: the log of what happened.
        told: the log of the notifications that its receivers got.
        plan, stage: what it consists of, and what happens to it.
        reflectors: the far ends of channels, by id.
        web: where the product's web process should listen.
        player: the task that plays the script in real time; it ends only when something broke.

    """

    def __init__(self, directory: Path, seed: int, scale: float, clock: Clock) -> None:
        directory = directory.resolve()
        self._directory = directory
        self._lock = _lock(directory)
        self.config, self.truth, self.told = directory / "config", directory / "truth.jsonl", directory / "told.jsonl"
        self.plan = draw(read(), scale)
        script = Script(self.plan, SCENES, seed)
        self.stage = Stage(self.plan, script, clock, Log(self.truth), seed, self._behave)
        self.reflectors: dict[str, Reflector] = {}
        self.web = ""
        self._seed = seed
        self._block = Block()
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._name_servers: list[NameServer] = []
        self._receiver = Receiver(Log(self.told))
        self._addresses: dict[str, tuple[str, int]] = {}
        self._authority = Authority(directory / "certificates")
        self.player: asyncio.Task[None] | None = None

    def address_of(self, id_: str) -> tuple[str, int]:
        """Return host and port of a channel's or service's far end."""
        return self._addresses[id_]

    async def open(self) -> None:
        """Bind everything, and write the configuration."""
        password = self._password()
        for _, channel in self.plan.channels():
            sock = self._block.bind(socket.SOCK_DGRAM, self._block.address(*channel.address), PORTS["stamp"])
            self._addresses[channel.id] = sock.getsockname()
            way = weather.channel(self._seed, channel.id, round_trip_s(channel.length_km))
            effect = partial(self.stage.effect, channel.id)
            self.reflectors[channel.id] = Reflector(sock, way, effect, self.stage.clock.now)
        for host in self.plan.hosts.values():
            await self._open_host(host, password)
        await self._receiver.open(self._block.control)
        await self.stage.play()
        self._write_configuration()

    def play(self) -> None:
        """Let the script run from now on."""
        self.player = asyncio.create_task(self.stage.run())

    async def _open_host(self, host: Host, password: str) -> None:
        address = self._block.address(*host.address)
        way = weather.channel(self._seed, host.id, round_trip_s(host.length_km))
        by_port: dict[str, list[Service]] = {}
        for service in self.plan.on(host.id):
            by_port.setdefault(service.port, []).append(service)
        databases = 0
        for port, services in by_port.items():
            actors = {service.path: Actor(self.stage, service, way) for service in services}
            first = services[0]
            if first.speaks == "dns":
                await self._open_name_server(actors[first.path], address)
                continue
            number = PORTS.get(port) or PORTS[first.speaks] + databases
            databases += first.speaks == "postgresql"
            listener = Listener(self._block, address, number, partial(self._serve, host, actors, password))
            self._listeners[host.id, port] = listener
            for service in services:
                self._addresses[service.id] = (listener.host, listener.port)

    async def _serve(self, host: Host, actors: dict[str, Actor], password: str, sock: socket.socket) -> Server:
        """Begin to serve on a bound socket what these services speak."""
        actor = next(iter(actors.values()))
        match actor.service.speaks:
            case "mail":
                return await StreamServer.open(sock, partial(mail.converse, actor))
            case "postgresql":
                database = postgres.Database(actor, password)
                return await StreamServer.open(sock, partial(postgres.converse, database))
        context = None
        if actor.service.tls:
            context = self._authority.context(
                host.id, sock.getsockname()[0], host.certificate_days, lambda: self.stage.effect(host.id).expired
            )
        return await WebServer.open(sock, actors, context)

    async def _open_name_server(self, actor: Actor, address: str) -> None:
        sock = self._block.bind(socket.SOCK_DGRAM, address, PORTS["dns"])
        zone = {f"{host.id}.{ZONE}": self._block.address(*host.address) for host in self.plan.hosts.values()}
        self._addresses[actor.service.id] = sock.getsockname()
        self._name_servers.append(await NameServer.open(sock, actor, zone))

    async def _behave(self) -> None:
        """Make every listener behave as the script has it now."""
        for (host_id, _), listener in self._listeners.items():
            effect = self.stage.host_effect(self.plan.hosts[host_id])
            await listener.behave(_manner(effect))

    def _password(self) -> str:
        """Return the databases' password: made once, so that a configuration that was copied stays right."""
        path = self._directory / "secrets" / "database"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(18).encode())
        return path.read_text()

    def _write_configuration(self) -> None:
        host, port = self._block.control.getsockname()
        self.web = f"127.0.0.1:{free_port(8050)}"
        facts = configuration.Facts(
            address_of=lambda id_: "{}:{}".format(*self._addresses[id_]),
            ca_file=self._authority.ca_file,
            password_file=self._directory / "secrets" / "database",
            data=self._directory / "data",
            web=self.web,
            listen=f"127.0.0.1:{free_port(9109)}",
            receiver=f"http://{host}:{port}",
        )
        facts.data.mkdir(exist_ok=True)
        configuration.write(self.config, self.plan, facts)

    async def close(self) -> None:
        """Stop everything and give all addresses back."""
        if self.player is not None:
            self.player.cancel()
            await asyncio.wait({self.player})
        for listener in self._listeners.values():
            await listener.close()
        for server in self._name_servers:
            await server.close()
        await self._receiver.close()
        for reflector in self.reflectors.values():
            reflector.close()
        self._block.close()
        os.close(self._lock)


def _manner(effect: Effect) -> Manner:
    if effect.cut:
        return Manner.VANISH
    return Manner.REFUSE if effect.refuse else Manner.SERVE


def _lock(directory: Path) -> int:
    """Take the directory for this process. Raises InUseError."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        message = f"another simulated country keeps its files in {directory}"
        raise InUseError(message) from None
    return lock


async def start(directory: Path, *, seed: int = 1, scale: float = 1.0, clock: Clock | None = None) -> Country:
    """Start the country in this event loop; its files go to `directory`.

    `scale` (0 to 1) is the share of provinces and ministries. With a clock of one's own the script is played only
    by `country.stage.play()`; without one it follows real time.

    Raises InUseError, and OSError when sockets cannot be had.
    """
    country = Country(directory, seed, scale, clock or RealClock())
    try:
        await country.open()
    except BaseException:
        await country.close()
        raise
    if clock is None:
        country.play()
    return country


def schedule(seed: int = 1, scale: float = 1.0, cycles: int = 1) -> Iterator[str]:
    """Yield the script as text, a line a fault."""
    script = Script(draw(read(), scale), SCENES, seed)
    for number in range(cycles):
        for fault in script.cycle(number):
            yield f"{fault.from_s:6.0f} – {fault.to_s:4.0f} s  {fault.what:20} {fault.where}"
