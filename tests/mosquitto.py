"""A real mosquitto of the tests' own on free ports of 127.0.0.1, stopped by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgres import free_port

PROGRAM = "/usr/sbin/mosquitto"
START_TIMEOUT_S = 30.0
USER, PASSWORD = "giamsat", "mật-khẩu"

RIGHTS = """
user giamsat
topic read quan-trac/#
topic readwrite giamsat/#
topic read chi-doc/#
topic read $SYS/#
user may-do
topic readwrite #
"""


class MosquittoServer:
    """One broker with a password file, rights by user, and TLS beside plain TCP."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.host, self.port, self.tls_port = "127.0.0.1", free_port(), free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-mosquitto-"))
        for source, name in ((certificate, "cert.pem"), (key, "key.pem")):
            shutil.copy(source, self.directory / name)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the broker and wait until it takes connections."""
        here = self.directory
        passwords = here / "passwords"
        passwords.touch(mode=0o600)
        for user in (USER, "may-do"):
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True, capture_output=True)
        (here / "rights").write_text(RIGHTS)
        (here / "conf").write_text(
            f"listener {self.port} {self.host}\n"
            f"listener {self.tls_port} {self.host}\n"
            f"certfile {here}/cert.pem\nkeyfile {here}/key.pem\n"
            f"allow_anonymous false\npassword_file {passwords}\nacl_file {here}/rights\npersistence false\n"
        )
        if os.geteuid() == 0:
            for path in (here, *here.iterdir()):  # started by root, it becomes this user
                shutil.chown(path, "mosquitto", "mosquitto")
        with (here / "out").open("wb") as out:
            # It goes when the tests go, even when they are killed.
            command = ["setpriv", "--pdeathsig", "KILL", *self._as_user(), PROGRAM, "-c", str(here / "conf")]
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((here / "out").read_text()[-4000:])
            time.sleep(0.02)

    def _as_user(self) -> list[str]:
        return ["--reuid", "mosquitto", "--regid", "mosquitto", "--clear-groups"] if os.geteuid() == 0 else []

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.tls_port)) == 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a retained message, octet by octet, and wait until the broker has it."""
        name, secret = b"may-do", PASSWORD.encode()
        login = b"\0\4MQTT\4\xc2\0\0" + b"".join(struct.pack(">H", len(part)) + part for part in (b"w", name, secret))
        raw = topic.encode()
        message = struct.pack(">H", len(raw)) + raw + b"\0\1" + payload
        assert len(login) < 128
        with socket.create_connection((self.host, self.port), START_TIMEOUT_S) as connection:
            connection.sendall(b"\x10" + bytes([len(login)]) + login)
            assert connection.recv(4) == b"\x20\2\0\0"
            connection.sendall(b"\x33" + bytes([len(message) % 128 | 0x80, len(message) // 128]) + message)
            assert connection.recv(4) == b"\x40\2\0\1"
            connection.sendall(b"\xe0\0")

    def close(self) -> None:
        """Stop the broker and remove what it wrote."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)
