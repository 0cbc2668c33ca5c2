"""Real programs for the HTTP tests, on free ports of 127.0.0.1, stopped by their process ids: nginx and tinyproxy."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import free_port

START_TIMEOUT_S = 20.0


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program ended at once"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    # It goes when the tests go, even when they are killed.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def nginx(folder: Path, servers: str, port: int) -> Iterator[None]:
    """Run nginx with `servers` (the inside of its `http` block), one of which listens on `port`."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 64; }}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; {temporary}\n{servers}\n}}\n"
    )
    with _running([program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)], port):
        yield


@contextlib.contextmanager
def tinyproxy(folder: Path, login: str = "", tunnels: str = "") -> Iterator[int]:
    """Run tinyproxy and give its port; `login` is `user password`, `tunnels` the only port that CONNECT may go to."""
    port = free_port()
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 5", "MaxClients 20", f'LogFile "{folder}/tinyproxy.log"']
    lines += [f"BasicAuth {login}"] if login else []
    lines += [f"ConnectPort {tunnels}"] if tunnels else []
    configuration = folder / f"tinyproxy-{port}.conf"
    configuration.write_text("\n".join([*lines, ""]))
    with _running([shutil.which("tinyproxy") or "/usr/bin/tinyproxy", "-d", "-c", str(configuration)], port):
        yield port


@contextlib.contextmanager
def openssl_server(certificate: Path, key: Path, ca_file: Path, version: str) -> Iterator[int]:
    """Run `openssl s_server`, which wants a certificate of its client and says in an alert why it takes none."""
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-quiet", f"-{version}"]
    command += ["-cert", str(certificate), "-key", str(key), "-CAfile", str(ca_file)]
    with _running([*command, "-Verify", "2", "-verify_return_error"], port):
        yield port


@contextlib.contextmanager
def openssl_responder(index: Path, ca_file: Path, key: Path, port: int) -> Iterator[None]:
    """Run `openssl ocsp` as the responder of an authority, over its index of certificates."""
    command = ["openssl", "ocsp", "-port", str(port), "-index", str(index), "-CA", str(ca_file)]
    command += ["-rsigner", str(ca_file), "-rkey", str(key), "-ndays", "1", "-ignore_err"]
    # A connection without a request would hang it for good, so it is asked nothing: it says itself when it listens.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()) and b"waiting for" not in line:
            pass
        assert line, "the responder ended at once"
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
