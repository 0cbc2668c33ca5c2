"""A real RabbitMQ of the tests' own: one node with its own home, data and port mapper, stopped by process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgres import free_port

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S = 90.0
USER, PASSWORD = "giamsat", "mật-khẩu"

DEFINITIONS = """{
  "users": [
    {"name": "giamsat", "password": "mật-khẩu", "tags": ""},
    {"name": "quan-tri", "password": "mật-khẩu", "tags": ""},
    {"name": "nguoi-la", "password": "mật-khẩu", "tags": ""}
  ],
  "vhosts": [{"name": "/"}, {"name": "dữ liệu"}],
  "permissions": [
    {"user": "giamsat", "vhost": "/", "configure": "", "write": "", "read": ""},
    {"user": "giamsat", "vhost": "dữ liệu", "configure": "", "write": "", "read": ""},
    {"user": "quan-tri", "vhost": "/", "configure": "", "write": ".*", "read": ".*"}
  ],
  "queues": [{"name": "dong-bo", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}]
}"""


class RabbitServer:
    """One node, without plugins."""

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        self.host, self.port, self.tls_port = "127.0.0.1", free_port(), free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-rabbit-"))
        self._certificate, self._key = certificate, key
        self._processes: list[subprocess.Popen[bytes]] = []

    def _configure(self) -> None:
        lines = [
            f"listeners.tcp.local = {self.host}:{self.port}",
            f"load_definitions = {self.directory}/definitions.json",
            "log.console.level = warning",
            "vm_memory_high_watermark.absolute = 512MB",
            "disk_free_limit.absolute = 1MB",
        ]
        if self._certificate and self._key:
            for source, name in ((self._certificate, "cert.pem"), (self._key, "key.pem")):
                shutil.copy(source, self.directory / name)
            lines += [
                f"listeners.ssl.local = {self.host}:{self.tls_port}",
                f"ssl_options.certfile = {self.directory}/cert.pem",
                f"ssl_options.keyfile = {self.directory}/key.pem",
            ]
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.directory / "definitions.json").write_text(DEFINITIONS)
        (self.directory / "enabled_plugins").write_text("[].\n")

    def start(self) -> None:
        """Start the port mapper and the node, and wait until it takes connections."""
        self._configure()
        mapper_port, here = free_port(), str(self.directory)
        # One scheduler: a node of the tests has little to do, and many would spin for work.
        options = "-noinput +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": here,
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": f"thongsuot{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_BASE": here,
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": options,
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the node, instead of waiting for it
        }
        if os.geteuid() == 0:
            for path in (self.directory, *self.directory.iterdir()):
                shutil.chown(path, "rabbitmq", "rabbitmq")
        for program in (["/usr/bin/epmd", "-address", self.host, "-port", str(mapper_port)], [str(PROGRAM)]):
            with (self.directory / "out").open("ab") as out:
                process = subprocess.Popen(
                    [*self._as_user(), *program],
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    env=environ,
                    cwd=here,
                    start_new_session=True,
                )
            self._processes.append(process)
        self._wait()

    def _as_user(self) -> list[str]:
        # It goes when the tests go, even when they are killed.
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            entry = pwd.getpwnam("rabbitmq")
            command += ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]
        return command

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                raise RuntimeError((self.directory / "out").read_text(errors="replace")[-4000:])
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.tls_port if self._certificate else self.port)) == 0

    def close(self) -> None:
        """Stop both and remove what they wrote."""
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its own session: the shell around it and the machine within
            process.wait(30)
        self._processes.clear()
        shutil.rmtree(self.directory, ignore_errors=True)
