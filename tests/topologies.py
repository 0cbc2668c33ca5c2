"""Networks of several routers in a row, each a network namespace, from whose first host the test measures.

`chain` builds  client ── r1 ── r2 ── … ── server  with veth pairs, IPv4 and IPv6 on each, and static routes. A network
is built once for a module (IPv6 takes a second to begin) and `visited` by each test: the test's thread is in the
client's namespace meanwhile, and what it did to rules and routes is undone. Everything goes in the end. It needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.responders import CLONE_NEWNET

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()

SYSCTLS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv4/icmp_errors_use_inbound_ifaddr", "1"),
    ("net/ipv4/icmp_msgs_per_sec", "100000"),
    ("net/ipv4/icmp_msgs_burst", "10000"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/fib_multipath_hash_policy", "1"),
    ("net/ipv6/fib_multipath_hash_policy", "1"),
)


@dataclass
class Network:
    """Namespaces by short name, and what has been done in them."""

    prefix: str
    nodes: list[str] = field(default_factory=list)
    routes: list[tuple[str, str]] = field(default_factory=list)
    dropping: set[str] = field(default_factory=set)

    def name(self, node: str) -> str:
        """The namespace of a node."""
        return f"{self.prefix}-{node}"

    def add(self, *nodes: str) -> None:
        """Make nodes whose loopback is up and who forward without a limit on ICMP."""
        for node in nodes:
            run("ip", "netns", "add", self.name(node))
            self.nodes.append(node)
            self.ip(node, "link set lo up")
            with self.inside(node):
                for path, value in SYSCTLS:
                    set_sysctl(path, value)

    def link(self, left: str, right: str, subnet: int, mtu: int = 1500) -> None:
        """Join two nodes: `10.0.SUBNET.1` and `.2`, `fd00:SUBNET::1` and `::2`."""
        ends = (f"to-{right}", f"to-{left}")
        names = (self.name(left), self.name(right))
        run(
            *("ip", "link", "add", ends[0], "netns", names[0], "mtu", str(mtu), "type", "veth"),
            *("peer", "name", ends[1], "netns", names[1], "mtu", str(mtu)),
        )
        for number, (node, end) in enumerate(zip((left, right), ends, strict=True), 1):
            self.ip(
                node,
                f"addr add 10.0.{subnet}.{number}/24 dev {end}",
                f"addr add fd00:{subnet}::{number}/64 dev {end} nodad",
                f"link set {end} up",
            )

    def ip(self, node: str, *commands: str) -> None:
        """Run `ip` commands in a node."""
        run("ip", "-n", self.name(node), "-batch", "-", text="\n".join(commands) + "\n")

    def drop(self, node: str, *rules: str) -> None:
        """Add nft rules to a node's chain `prerouting`, `input`, `forward` or `output`, the first word of each."""
        lines = ["add table inet test"]
        for rule in rules:
            hook, _, text = rule.partition(" ")
            lines.append(f"add chain inet test {hook} {{ type filter hook {hook} priority 0; }}")
            lines.append(f"add rule inet test {hook} {text}")
        self.dropping.add(node)
        with self.inside(node):
            run("nft", "-f", "-", text="\n".join(lines) + "\n")

    def route(self, node: str, *routes: str) -> None:
        """Add routes that `reset` brings back."""
        self.routes += [(node, route) for route in routes]
        self.ip(node, *(f"route replace {route}" for route in routes))

    @contextlib.contextmanager
    def visited(self) -> Iterator[Network]:
        """Have this thread in the client's namespace, and everything as it was in the end."""
        try:
            with self.inside("client"):
                yield self
        finally:
            self.reset()

    def reset(self) -> None:
        """Take all rules away and bring all routes back."""
        for node in self.dropping:
            with self.inside(node):
                run("nft", "flush", "ruleset")
        self.dropping.clear()
        for node in self.nodes:
            changed = [f"route replace {route}" for owner, route in self.routes if owner == node]
            self.ip(node, "route flush cache", *changed)

    @contextlib.contextmanager
    def inside(self, node: str) -> Iterator[None]:
        """Have this thread, and what it starts, in a node's namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name(node)}", os.O_RDONLY)
        try:
            enter(there)
            yield
        finally:
            enter(home)
            os.close(home)
            os.close(there)

    def close(self) -> None:
        """Remove everything."""
        for node in self.nodes:
            subprocess.run(["ip", "netns", "del", self.name(node)], check=False, capture_output=True)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """An empty network."""
    made = Network(f"ts{os.getpid()}-{next(_serial)}")
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def chain(routers: int, mtus: dict[int, int] | None = None, *, awaits_ipv6: bool = True) -> Iterator[Network]:
    """`client`, `r1` … `rN`, `server`; subnet k is the link before the k-th hop. `mtus` are of links by subnet."""
    with network() as made:
        names = ["client", *(f"r{number}" for number in range(1, routers + 1)), "server"]
        made.add(*names)
        for subnet, (left, right) in enumerate(itertools.pairwise(names), 1):
            made.link(left, right, subnet, (mtus or {}).get(subnet, 1500))
        for place, node in enumerate(names):
            for subnet in range(1, len(names)):
                if subnet > place + 1:  # beyond the link to the right
                    via(made, node, subnet, f"{place + 1}", "2")
                elif subnet < place:  # before the link to the left
                    via(made, node, subnet, f"{place}", "1")
        if awaits_ipv6:
            with made.inside("client"):
                await_answer(f"fd00:{routers + 1}::2")
        yield made


def await_answer(host: str) -> None:
    """Wait until an IPv6 host answers this thread: the kernel takes its time to begin with IPv6 on a new link."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.settimeout(0.01)
        for _ in range(1000):
            with contextlib.suppress(OSError):
                sock.sendto(b"\x80\0\0\0ready?ok", (host, 0))
                while sock.recv(100)[0] != 129:
                    pass
                return
    message = f"{host} does not answer"
    raise RuntimeError(message)


def via(made: Network, node: str, subnet: int, link: str, end: str) -> None:
    """Route a subnet over the other end of a link."""
    made.route(node, f"10.0.{subnet}.0/24 via 10.0.{link}.{end}", f"fd00:{subnet}::/64 via fd00:{link}::{end}")


def set_sysctl(path: str, value: str) -> None:
    """Set a sysctl of the namespace that this thread is in, if its kernel has it there."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/{path}", "w", encoding="ascii") as file:
        file.write(value)


def enter(namespace: int) -> None:
    """Put this thread into a namespace."""
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def run(*command: str, text: str = "") -> None:
    """Run a command; raise with what it said when it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}\n{text}"
        raise RuntimeError(message)
