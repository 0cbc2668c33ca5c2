"""A real OpenSSH server of the tests' own on a free port of 127.0.0.1, stopped by its process id.

It sees a user of its own in files of its own, and its own /run, in a mount namespace: this host's are not touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgres import free_port

START_TIMEOUT_S = 30.0
USER, PASSWORD, USER_ID = "giamsat", "mat-khau-sftp", 54321

CONFIGURATION = """
Port {port}
ListenAddress 127.0.0.1
HostKey {here}/host_ed25519
HostKey {here}/host_rsa
PidFile none
UsePAM no
PasswordAuthentication yes
AuthorizedKeysFile {here}/authorized_keys
StrictModes no
Subsystem sftp internal-sftp -R
"""


class SshServer:
    """One server with two host keys, and a user who may log in by password or by `user_key`."""

    def __init__(self) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-sshd-"))
        self.directory.chmod(0o755)
        self.files = self.directory / "files"
        self.files.mkdir()
        self.user_key = self.directory / "user_ed25519"
        self._process: subprocess.Popen[bytes] | None = None

    def _prepare(self) -> None:
        here = self.directory
        for name, kind in (("host_ed25519", "ed25519"), ("host_rsa", "rsa"), ("user_ed25519", "ed25519")):
            bits = ["-b", "2048"] if kind == "rsa" else []
            subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", str(here / name)], check=True)
        shutil.copy(here / "user_ed25519.pub", here / "authorized_keys")
        hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True)
        user = f"{USER}:x:{USER_ID}:{USER_ID}::{here}:/usr/sbin/nologin\n"
        (here / "passwd").write_text(Path("/etc/passwd").read_text() + user)
        (here / "shadow").write_text(
            f"root:*:19000::::::\nsshd:*:19000::::::\n{USER}:{hashed.stdout.strip()}:19000::::::\n"
        )
        (here / "shadow").chmod(0o600)
        (here / "config").write_text(CONFIGURATION.format(port=self.port, here=here))

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._prepare()
        here = self.directory
        script = (
            "mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd"
            f" && mount --bind {here}/passwd /etc/passwd && mount --bind {here}/shadow /etc/shadow"
            f" && exec /usr/sbin/sshd -D -e -f {here}/config"
        )
        # It goes when the tests go, even when they are killed.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script]
        with (here / "out").open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((here / "out").read_text()[-4000:])
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def fingerprint(self, name: str = "host_ed25519") -> str:
        """Return the fingerprint of a key, as ssh-keygen shows it."""
        command = ["ssh-keygen", "-l", "-f", str(self.directory / f"{name}.pub")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]

    def known_hosts(self, name: str = "host_ed25519") -> str:
        """Write and return a file of known hosts with one of the host keys in it."""
        path = self.directory / f"known_hosts_{name}"
        path.write_text(f"[{self.host}]:{self.port} {(self.directory / f'{name}.pub').read_text()}")
        return str(path)

    def put(self, name: str, size: int, age_s: float) -> None:
        """Write a file of that size and age."""
        path = self.files / name
        path.write_bytes(b"x" * size)
        os.utime(path, (time.time() - age_s,) * 2)

    def close(self) -> None:
        """Stop the server and remove what it wrote."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)
