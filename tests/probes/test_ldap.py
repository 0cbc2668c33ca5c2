"""The kind `ldap`, against a real slapd with a consumer, and against servers that are not what they say."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.model import State
from monitor.oneshot import prepare, run_once
from monitor.runner import measure as run_job
from probes import ldap_wire as wire
from probes.failures import TroubleError
from probes.kinds import ldap
from probes.model import Failure, Resources
from tests.postgres import free_port
from tests.probes.tcp_servers import refusing_port, saying, serve

SUFFIX, ROOT, SECRET = "dc=example,dc=vn", "cn=admin,dc=example,dc=vn", "hunter2-rat-dai"
WATCHER = "cn=thongsuot,dc=example,dc=vn"
WAIT_S = 20.0
ENTRIES = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: {WATCHER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: thongsuot
userPassword: {SECRET}

dn: cn=a,ou=people,{SUFFIX}
objectClass: person
cn: a
sn: Nguyễn
"""


class Slapd:
    """One server on two ports, stopped by its process id."""

    def __init__(self, leaf, provider=None):
        self.directory = Path(tempfile.mkdtemp(prefix="thongsuot-ldap-"))
        (self.directory / "data").mkdir()
        leaf.private_key_pem.write_to_path(self.directory / "key.pem")
        leaf.cert_chain_pems[0].write_to_path(self.directory / "cert.pem")
        self.port, self.tls_port = free_port(), free_port()
        self.address, self.tls_address = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.tls_port}"
        documented = re.search(r"(?s)\n    access to.*?break\n    access.*?break\n", ldap.__doc__)[0]
        lines = [f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine")]
        lines += ["modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload syncprov", "sizelimit 500"]
        lines += [f"TLSCertificateFile {self.directory}/cert.pem", f"TLSCertificateKeyFile {self.directory}/key.pem"]
        lines += ["database mdb", f"suffix {SUFFIX}", f"rootdn {ROOT}", f"rootpw {SECRET}", "maxsize 10485760"]
        lines += [f"directory {self.directory}/data", "dbnosync"]
        lines += [line.removeprefix("    ") for line in documented.splitlines() if line]
        lines += ["access to attrs=userPassword by anonymous auth", "access to * by users none by anonymous auth"]
        if provider is not None:
            lines.append(
                f'syncrepl rid=1 provider=ldap://{provider.address} type=refreshAndPersist retry="1 +"'
                f" searchbase={SUFFIX} bindmethod=simple binddn={ROOT} credentials={SECRET}"
            )
        lines += ["overlay syncprov"]
        self.configuration = self.directory / "slapd.conf"
        self.configuration.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "openldap", str(self.directory)], check=True)

    def start(self):
        urls = f"ldap://{self.address} ldaps://{self.tls_address}"
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            command += ["--reuid", "openldap", "--regid", "openldap", "--clear-groups"]
        command += ["/usr/sbin/slapd", "-d", "0", "-f", str(self.configuration), "-h", urls]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + WAIT_S
        while not self._listens():
            assert self.process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def _listens(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def load(self, text):
        """Put entries in before the start."""
        command = ["/usr/sbin/slapadd", "-w", "-f", str(self.configuration)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "openldap", str(self.directory)], check=True)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT_S)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ldap") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def provider(authority):
    server = Slapd(authority.issue_cert("127.0.0.1"))
    try:
        yield server.load(ENTRIES).start()
    finally:
        server.close()


@pytest.fixture(scope="module")
def consumer(authority, provider):
    server = Slapd(authority.issue_cert("127.0.0.1"), provider)
    try:
        yield server.start()
    finally:
        server.close()


async def result_of(address, timeout_s=5.0, **parameters):
    result = await run_once(prepare("ldap", address, parameters, timeout_s), "test")
    assert SECRET not in result.message
    assert result.message.isprintable()
    return result


@pytest.mark.parametrize("tls", ["starttls", "ldaps"])
async def test_the_documented_rights_are_enough(provider, ca_file, tls):
    address = provider.tls_address if tls == "ldaps" else provider.address
    login = {"tls": tls, "ca_file": ca_file, "bind_dn": WATCHER, "password": SECRET}
    people = {"base": f"ou=people,{SUFFIX}", "scope": "sub", "filter": "(objectClass=person)"}
    found = await result_of(address, **login, **people, freshness={"max_age": "1h"})
    assert (found.failure, found.message) == (None, "")
    assert {"resolve_s", "connect_s", "tls_s", "login_s", "query_s", "cert_expires_s"} <= set(found.samples)
    assert found.samples["entries"] == 1
    assert -5 < found.samples["freshness_s"] < 600
    old = await result_of(address, **login, **people, freshness={"max_age": "1us"})
    assert (old.failure, "allowed are 1e-06 s" in old.message) == (Failure.STALE, True)
    none = await result_of(address, **login, **people, freshness={"attribute": "sn", "max_age": "1h"})
    assert none.message == "no entry has sn"
    hidden = await result_of(address, **login, base=f"cn=b,ou=people,{SUFFIX}")
    assert hidden.failure is Failure.QUERY_FAILED
    assert hidden.message.startswith("32 (noSuchObject)")
    assert (await result_of(address, tls=tls)).failure is Failure.TLS_UNTRUSTED


async def test_who_is_not_let_in(provider, ca_file):
    login = {"tls": "starttls", "ca_file": ca_file}
    wrong = await result_of(provider.address, **login, bind_dn=WATCHER, password="wrong")
    assert (wrong.state, wrong.failure) == (State.DOWN, Failure.AUTH_REJECTED)
    assert wrong.message == "49 (invalidCredentials): no message"
    nobody = await result_of(provider.address, **login, bind_dn=f"cn=nobody,{SUFFIX}", password=SECRET)
    assert nobody.failure is Failure.AUTH_REJECTED
    anonymous = await result_of(provider.address)
    assert (anonymous.state, anonymous.samples["entries"]) == (State.UP, 1)
    assert (await result_of(f"127.0.0.1:{refusing_port()}")).failure is Failure.CONNECT_REFUSED


async def test_a_session_is_kept(provider, ca_file):
    login = {"tls": "ldaps", "ca_file": ca_file, "bind_dn": WATCHER, "password": SECRET, "session": "keep"}
    job = prepare("ldap", provider.tls_address, {**login, "base": SUFFIX}, 5.0)
    resources = Resources()
    try:
        first = await run_job(job, resources, "test")
        second = await run_job(job, resources, "test")
    finally:
        await resources.aclose()
    assert (first.message, second.message) == ("", "")
    assert {"connect_s", "tls_s", "login_s"} <= set(first.samples)
    assert set(second.samples) == {"query_s", "entries", "cert_expires_s"}


async def test_a_consumer_that_is_in_step_and_one_that_is_not(provider, consumer, ca_file):
    login = {"tls": "ldaps", "ca_file": ca_file, "bind_dn": WATCHER, "password": SECRET}
    rule = {"address": consumer.tls_address, "suffix": SUFFIX, "max_gap": "0s"}
    deadline = time.monotonic() + WAIT_S
    while (found := await result_of(provider.tls_address, **login, in_step=rule)).failure:
        assert time.monotonic() < deadline, found.message
        await asyncio.sleep(0.05)
    assert found.samples["gap"] == 0
    consumer.stop()
    lost = await result_of(provider.tls_address, **login, in_step={**rule, "state": "degraded"})
    assert (lost.state, lost.failure) == (State.DEGRADED, Failure.CONNECT_REFUSED)
    assert lost.message.startswith(f"the other one ({consumer.tls_address}) cannot be asked: ")
    empty = await result_of(provider.tls_address, **login, in_step={**rule, "suffix": f"ou=people,{SUFFIX}"})
    assert empty.message == "this server shows no contextCSN"


def answer(number, tag, *content):
    return wire.element(0x30, wire._integer(number), wire.element(tag, *content))


def outcome(code, text=b""):
    return wire.element(0x0A, bytes((code,))) + wire.element(4, b"") + wire.element(4, text)


BOUND = answer(1, wire.BOUND, outcome(0))


@pytest.mark.parametrize(
    ("said", "failure", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", Failure.PROTOCOL, "this is not LDAP"),
        (b"\x30\x84\x7f\xff\xff\xff", Failure.BODY_TOO_LARGE, "2147483647 bytes where at most"),
        (b"\x30\x89" + b"\xff" * 20, Failure.PROTOCOL, "is not LDAP"),
        (b"\x30\x00", Failure.PROTOCOL, "is not LDAP"),
        (b"\x30\x03\x02\x01\x01", Failure.PROTOCOL, "is not LDAP"),
        (answer(9, wire.BOUND, outcome(0)), Failure.PROTOCOL, "answers message 9"),
        (answer(1, wire.DONE, outcome(0)), Failure.PROTOCOL, "an operation 0x65"),
        (
            answer(0, wire.EXTENDED_DONE, outcome(52, b"going away")),
            Failure.QUERY_FAILED,
            "52 (unavailable): going away",
        ),
        (answer(1, wire.BOUND, outcome(51, b"a\r\nb" + b"x" * 900)), Failure.QUERY_FAILED, "51 (busy): a  b"),
        (BOUND + answer(2, wire.DONE, outcome(4)), Failure.QUERY_FAILED, "4 (sizeLimitExceeded)"),
        (BOUND + answer(2, wire.ENTRY, b"\4\xff"), Failure.PROTOCOL, "is not LDAP"),
        (BOUND + answer(2, wire.ENTRY, b"\4\0\x30\0") * 1001, Failure.PROTOCOL, "an operation 0x64"),
        (BOUND + answer(2, wire.REFERENCE) + answer(2, wire.DONE, outcome(0)), None, ""),
    ],
)
async def test_what_comes_instead_of_answers(said, failure, message):
    async with serve(saying(said)) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=2.0)
    assert result.failure is failure
    assert message in result.message


async def test_no_tls_and_garbage_before_tls():
    refusal = answer(1, wire.EXTENDED_DONE, outcome(2, b"unsupported extended operation"))
    async with serve(saying(refusal)) as port:
        result = await result_of(f"127.0.0.1:{port}", tls="starttls")
    assert result.failure is Failure.TLS_REQUIRED
    async with serve(saying(answer(1, wire.EXTENDED_DONE, outcome(0)) + BOUND)) as port:
        result = await result_of(f"127.0.0.1:{port}", tls="starttls")
    assert result.message == "the server speaks out of turn before TLS"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("(cn=a)", "a307040263 6e 040161"),
        ("(cn=*)", "8702636e"),
        ("(!(cn=a\\2a))", "a20a a308 0402636e 0402612a"),
        ("(&(cn=a*)(cn>=b))", "a014 a409 0402636e 3003 800161 a507 0402636e 040162"),
        ("(|(cn=*a*b))", "a10e a40c 0402636e 3006 810161 820162"),
    ],
)
def test_filters_as_they_are_sent(text, sent):
    assert wire.compile_filter(text) == bytes.fromhex(sent)


def test_wrong_parameters_say_what_is_wrong():
    for text in ("cn=a", "(cn=a", "(&)", "(!(a=b)(c=d))", "(cn~=a)", "(" * 50, "(&" * 20 + "(a=b)" + ")" * 20):
        with pytest.raises(ValidationError, match="filter"):
            ldap.LdapParams(address="h", filter=text)
    with pytest.raises(ValidationError, match="only over tls") as caught:
        ldap.LdapParams(address="h", bind_dn=WATCHER, password=SECRET)
    assert SECRET not in str(caught.value)
    params = ldap.LdapParams(address="h", bind_dn=WATCHER, password=SECRET, tls="ldaps")
    assert params.place(params.address).port == 636
    assert SECRET not in f"{params!r} {params.model_dump_json()}"


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_are_messages_or_trouble(pieces):
    reader = wire.Reader(400)
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next()) is not None:
                wire.read_entry(message.body)
                wire.read_outcome(message.body)
    except TroubleError:
        return
