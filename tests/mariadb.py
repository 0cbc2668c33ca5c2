"""A real MariaDB of the tests' own: fresh data on a free port of 127.0.0.1, stopped by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.postgres import free_port

START_TIMEOUT_S = 60.0
OPTIONS = (
    "--no-defaults",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--skip-name-resolve",
    "--max-connections=40",
    "--performance-schema=OFF",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=1M",
)


def user() -> str:
    """Return the user that the server runs as."""
    return "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def install(data: Path, scratch: Path) -> None:
    """Make a new server's data."""
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", f"--user={user()}"]
    command += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
    environ = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(command, capture_output=True, check=False, cwd="/", env=environ)
    if done.returncode:
        raise RuntimeError(done.stderr.decode() + done.stdout.decode())


def _hand_over(directory: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(directory, user())


class MariadbServer:
    """One server. Made as a copy of `template`, a data directory at rest, where one is given."""

    def __init__(self, options: Sequence[str] = (), template: Path | None = None) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-my-"))
        self.data = self.directory / "data"
        self.socket = self.directory / "sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        _hand_over(self.directory)
        if template is None:
            install(self.data, self.directory)
        else:
            subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(self.data)], check=True)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        command = ["setpriv", "--pdeathsig", "KILL", "mariadbd", *OPTIONS, f"--datadir={self.data}"]
        command += [f"--port={self.port}", f"--bind-address={self.host}", f"--socket={self.socket}"]
        command += [f"--user={user()}", f"--tmpdir={self.directory}", *self._options]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.socket.exists() or self.execute("SELECT 1", check=False) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "log").read_text()[-4000:])
            time.sleep(0.02)

    def execute(self, sql: str, *, check: bool = True) -> str | None:
        """Run statements as root and return what they gave."""
        command = ["mariadb", "--no-defaults", "-N", "-B", "-u", "root", f"--socket={self.socket}", "-e", sql]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode:
            if check:
                raise RuntimeError(done.stderr)
            return None
        return done.stdout.strip()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the server: SIGTERM is orderly, SIGKILL a crash."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self, user: str = "watcher", password: str = "mat-khau", database: str = "app") -> str:
        """Return an address of it."""
        return f"mysql://{user}:{password}@{self.host}:{self.port}/{database}"
