"""A real PostgreSQL of the tests' own: a fresh cluster on a free port of 127.0.0.1, stopped by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil

from monitor.store import Store, StoreInUseError

USER, PASSWORD = "thongsuot", "mat-khau"
START_TIMEOUT_S = 60.0
SETTINGS: Mapping[str, str] = {
    # What makes a server slow to start and safe against power loss; a test's cluster is thrown away.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5min",
    "logging_collector": "off",
}


def programs() -> Path:
    """Return the directory of the newest installed PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        message = "PostgreSQL is not installed: sh deploy/system-packages test"
        raise FileNotFoundError(message)
    return found[-1].parent


def unprivileged() -> str:
    """Return the user that the server runs as: initdb and postgres refuse root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    """Return a TCP port that nobody listens on at 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """One cluster. `start` and `stop` may alternate: data, port and password stay."""

    def __init__(self, settings: Mapping[str, str] | None = None, primary: PostgresServer | None = None) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-pg-"))
        self.data = self.directory / "data"
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if primary is None:
            self._initialise()
        else:
            self._copy(primary)

    def _command(self, program: str, *arguments: str) -> list[str]:
        # The server goes when the tests go, even when they are killed.
        command = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            user = unprivileged()
            group = str(pwd.getpwnam(user).pw_gid)
            command += ["--reuid", user, "--regid", group, "--clear-groups"]
        return [*command, str(programs() / program), *arguments]

    def _initialise(self) -> None:
        password = self.directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.directory, password):
                shutil.chown(path, unprivileged())
        options = ["--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync"]
        options += ["--encoding", "UTF8", "--locale", "C.UTF-8", "-D", str(self.data)]
        done = subprocess.run(self._command("initdb", *options), capture_output=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    def _copy(self, primary: PostgresServer) -> None:
        """Become a standby of the primary, which runs."""
        if os.geteuid() == 0:
            shutil.chown(self.directory, unprivileged())
        options = ["-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", primary.dsn()]
        done = subprocess.run(self._command("pg_basebackup", *options), capture_output=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = {
            **self._settings,
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            command = self._command("postgres", "-D", str(self.data), *options)
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "log").read_text()[-4000:])
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        command = [str(programs() / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port), "-d", "postgres"]
        return subprocess.run([*command, "-U", USER, "-t", "5"], check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions and shuts down cleanly, SIGQUIT is a crash."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of its processes where they are: connections stay, nobody answers."""
        server = psutil.Process(self.pid)
        processes = [server, *server.children(recursive=True)]  # who forks is stopped first
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove the cluster."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of a database, with the superuser's name and password in it."""
        return f"postgresql://{USER}:{PASSWORD}@{self.host}:{self.port}/{database}"

    async def create_database(self, template: str = "template1") -> str:
        """Create an empty database, or a copy of another one, and return its name; `dsn(name)` is its address."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        connection = await asyncpg.connect(self.dsn())
        try:
            # Copying files is quicker than logging each page where nothing is kept.
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        finally:
            await connection.close()
        return name


async def end_sessions(url: str) -> None:
    """End every other session with a database."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def has_lock(store: Store, owner: str) -> bool:
    """Say whether a store could be locked for that owner."""
    try:
        await store.take_lock(owner)
    except StoreInUseError:
        return False
    return True
