"""A real agent of the tests' own: net-snmp's snmpd on a free port of 127.0.0.1, whose MIB the test decides.

What the test puts into `objects` is served by a `pass_persist` script of snmpd; all that goes over the wire (BER,
PDUs, USM) is net-snmp's own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

COMMUNITY, PASSWORD = "cong-dong", "mat-khau-dai"
USERS: Mapping[str, str] = {
    "md5": f"MD5 {PASSWORD}",
    "sha1": f"SHA {PASSWORD} AES {PASSWORD}",
    "sha224": f"SHA-224 {PASSWORD} AES {PASSWORD}",
    "sha256": f"SHA-256 {PASSWORD} AES {PASSWORD}",
    "sha384": f"SHA-384 {PASSWORD} AES {PASSWORD}",
    "sha512": f"SHA-512 {PASSWORD} AES {PASSWORD}",
    "aes192": f"SHA-256 {PASSWORD} AES-192 {PASSWORD}",
    "aes256": f"SHA-512 {PASSWORD} AES-256 {PASSWORD}",
    "long": f"SHA {PASSWORD} AES-256 {PASSWORD}",
    "nobody": "",
}
START_TIMEOUT_S = 20.0
PASSED = (
    "1.3.6.1.2.1.1.3",
    "1.3.6.1.2.1.2",
    "1.3.6.1.2.1.31",
    "1.3.6.1.2.1.15",
    "1.3.6.1.2.1.14",
    "1.3.6.1.2.1.99",
    "1.3.6.1.2.1.47",
    "1.3.6.1.2.1.25.3.3",
    "1.3.6.1.2.1.25.2",
    "1.3.6.1.4.1.2021",
    "1.3.6.1.4.1.9",
)

SCRIPT = """
import bisect, os, sys, time
path = sys.argv[1]
stamp, table, keys = None, {}, []
def key(text):
    return tuple(map(int, text.strip().strip(".").split(".")))
while line := sys.stdin.readline().strip():
    if line == "PING":
        print("PONG", flush=True)
        continue
    asked = key(sys.stdin.readline())
    status = os.stat(path)
    if (status.st_mtime_ns, status.st_ino) != stamp:
        stamp = (status.st_mtime_ns, status.st_ino)
        rows = (row.rstrip("\\n").split("|", 2) for row in open(path))
        table = {key(oid): (oid, kind, value) for oid, kind, value in rows}
        keys = sorted(table)
    if line == "getnext":
        at = bisect.bisect_right(keys, asked)
        found = table[keys[at]] if at < len(keys) else None
    else:
        found = table.get(asked)
    if found is None:
        print("NONE", flush=True)
        continue
    oid, kind, value = found
    if kind == "clock":
        started, ticks = value.split()
        kind, value = "timeticks", str((int(ticks) + int((time.time() - float(started)) * 100)) % 2**32)
    print("." + oid, kind, value, sep="\\n", flush=True)
"""


def clock(ticks: int = 1_000_000) -> tuple[str, str]:
    """Return an object that shows `ticks` now and goes on counting."""
    return "clock", f"{time.time()} {ticks}"


class Snmpd:
    """One agent. `serve` replaces its MIB at once; an agent `of_this_host` shows the host that it runs on instead."""

    def __init__(self, *more: str, of_this_host: bool = False) -> None:
        self._passed = () if of_this_host else PASSED
        self._left_out = [] if of_this_host else ["-I", "-ifTable,ifXTable,hrh_storage,memory,system_mib"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-snmpd-"))
        self._objects = self.directory / "objects"
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self.serve({})

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def serve(self, objects: Mapping[str, tuple[str, object]], ticks: int = 1_000_000) -> None:
        """Show these objects (name to type and value), and an up-time that goes on from `ticks`."""
        rows = {"1.3.6.1.2.1.1.3.0": clock(ticks), **objects}
        new = self._objects.with_suffix(".new")
        new.write_text("".join(f"{oid}|{kind}|{value}\n" for oid, (kind, value) in rows.items()))
        new.replace(self._objects)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        script = self.directory / "served.py"
        script.write_text(SCRIPT)
        lines = [
            f"agentaddress udp:127.0.0.1:{self.port}",
            f"rocommunity {COMMUNITY} 127.0.0.1",
            *(f"createUser {user} {keys}" for user, keys in USERS.items()),
            *(
                f"rouser {user} {'noauth' if not keys else 'auth' if user == 'md5' else 'priv'}"
                for user, keys in USERS.items()
            ),
            *(f"pass_persist -p 1 .{oid} {sys.executable} -IS {script} {self._objects}" for oid in self._passed),
            *self._more,
        ]
        conf = self.directory / "snmpd.conf"
        conf.write_text("\n".join(lines) + "\n")
        command = [
            shutil.which("snmpd", path="/usr/sbin:/usr/bin") or "snmpd",
            "-f",
            "-Lf",
            str(self.directory / "log"),
            "-C",
            "-c",
            str(conf),
            "-M",
            "",
            "-m",
            "",
            *self._left_out,
        ]
        environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(self.directory / "kept")}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        # SNMPv3's question who the agent is: any agent answers it.
        question = bytes.fromhex(
            "303a020103300f02024a69020300ffe30401040201030410300e0400020100020100040004000400"
            "301204000400a00c02020123020100020100"
            "3000"
        )
        end = time.monotonic() + START_TIMEOUT_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.1)
            sock.connect(("127.0.0.1", self.port))
            while time.monotonic() < end:
                assert self._process is not None
                assert self._process.poll() is None, (self.directory / "log").read_text()
                try:
                    sock.send(question)
                    sock.recv(2000)
                except OSError:
                    time.sleep(0.02)
                    continue
                return
        raise TimeoutError("snmpd does not answer")

    def stop(self) -> None:
        """Stop it; it may be started again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """Stop it, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def interfaces(
    count: int = 3,
    octets: int = 1_000_000,
    *,
    bits: int = 64,
    first: int = 1,
    down: Sequence[int] = (),
    shut: Sequence[int] = (),
    speed_mbps: int = 1000,
    errors: int = 0,
    discontinuity: int = 0,
) -> dict[str, tuple[str, object]]:
    """Return IF-MIB of so many interfaces, numbered from `first` and called ge-0/0/1 and so on."""
    rows: dict[str, tuple[str, object]] = {}
    for number in range(1, count + 1):
        index = number + first - 1
        table = {
            2: ("string", f"GigabitEthernet 0/0/{number}"),
            5: ("gauge", min(speed_mbps * 1_000_000, 2**32 - 1)),
            7: ("integer", 2 if number in shut else 1),
            8: ("integer", 2 if number in shut or number in down else 1),
            10: ("counter", octets * number % 2**32),
            13: ("counter", errors),
            14: ("counter", errors),
            16: ("counter", 2 * octets * number % 2**32),
            19: ("counter", errors),
            20: ("counter", errors),
        }
        extended = {
            1: ("string", f"ge-0/0/{number}"),
            15: ("gauge", speed_mbps),
            18: ("string", f"tới tỉnh {number}"),
            19: ("timeticks", discontinuity),
        }
        if bits == 64:
            extended |= {6: ("counter64", octets * number), 10: ("counter64", 2 * octets * number)}
        rows |= {f"1.3.6.1.2.1.2.2.1.{column}.{index}": cell for column, cell in table.items()}
        rows |= {f"1.3.6.1.2.1.31.1.1.1.{column}.{index}": cell for column, cell in extended.items()}
    return rows
