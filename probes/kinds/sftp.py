"""SFTP: whether an SSH server shows the key that we know, lets us in, and how fresh its files are (RFC 4251 to 4254).

    - probe: sftp
      address: files.example.vn:22          # host:port; an IPv6 address in brackets
      username: giamsat
      key_file: /etc/thongsuot/giamsat_ed25519
      host_keys: ["SHA256:2m1Zb7r5n7mVdVdH2sVd0P3nQqk8YF3S9r3mUu1m0aE"]
      path: /outgoing
      pattern: "*.csv"
      max_age: 26h
      files_min: 1
      degraded_when: ["size_bytes > 50e9", "login_s > 1.0"]

**The server's key** has to be one of `host_keys` (what `ssh-keyscan HOST | ssh-keygen -lf -` shows) or to stand for
the host in `known_hosts_file`; without either, `verify: false` says that any will do. Another one is
`tls_untrusted`: SSH has no TLS, but this is the same finding, and it is kept apart from every other. A server with
several keys shows the one that both sides like best, Ed25519 before ECDSA and RSA: name that one, or all of them.

**Login** is by `password` or by `key_file`. Keys and agents of the account that the monitor runs as are never used.

**Without `username`** nobody logs in and no key is looked at: the check is up once the server has greeted as SSH does
(RFC 4253, section 4.2), in the phase `greeting`, which is all that `ssh` being reachable means.

**Path.** The files of a directory (not those below it) whose names fit `pattern`, or one file: how many, how large
together, and how old the newest one is by its time of change and this agent's clock. Older than `max_age`, or no file
at all, is `stale`. At most 20,000 entries are looked at. No file is opened.

**Down** it is, beside trouble with name and connection, when user, password or key are not taken (`auth_rejected`);
when SFTP or the path is not there or may not be seen (`query_failed`); when there are fewer files than `files_min`
(`condition`); and when what answers does not speak SSH as we do (`protocol`).

**Needs** the extra `sftp` (asyncssh). **Least privilege**, in sshd_config:

    Match User giamsat
        ForceCommand internal-sftp -R
        ChrootDirectory /srv/sftp
        AllowTcpForwarding no
        X11Forwarding no
        PermitTTY no
"""

from __future__ import annotations

import re
import time
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.resolver import IpVersion, resolve
from probes.sftp_session import Listing, Login, Session
from probes.stream_kind import Finding, measure, words
from probes.tcp_address import Address
from probes.tcp_stream import connect
from probes.units import Duration


def _fingerprint(value: str) -> str:
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", value):
        message = f"{value[:60]!r} is not a fingerprint: write SHA256: and 43 characters, as ssh-keygen -l does"
        raise ValueError(message)
    return value


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class SftpParams(Params):
    """Parameters of a visit to an SFTP server."""

    address: Address = Field(description="host:port; an IPv6 address in brackets")
    username: str = Field("", max_length=255, description="as whom to log in; without it, nobody logs in")
    password: SecretStr = Field(SecretStr(""), max_length=1024, description="its password, as a reference")
    key_file: str = Field("", description="file of the private key to log in with instead")
    key_passphrase: SecretStr = Field(SecretStr(""), max_length=1024, description="that key's, as a reference")
    host_keys: tuple[Fingerprint, ...] = Field((), max_length=16, description="fingerprints of the server's keys")
    known_hosts_file: str = Field("", description="file of known hosts, as OpenSSH has them")
    verify: bool = Field(True, description="false: take any key of the server's")
    path: str = Field("", max_length=4096, description="directory or file to look at")
    pattern: str = Field("*", max_length=255, description="which files of a directory count, by name")
    max_age: Duration | None = Field(None, gt=0, description="beyond this age of the newest file it is stale")
    files_min: int | None = Field(None, ge=1, description="below that many files the check is down")
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version")

    @model_validator(mode="after")
    def _fits_together(self) -> SftpParams:
        if not self.username:
            of_login = {name for name in self.model_fields_set if getattr(self, name)} - {"address", "ip_version"}
            if of_login - {"verify"}:
                message = f"{min(of_login - {'verify'})} is for those who log in: name username"
                raise ValueError(message)
            return self
        if bool(self.password.get_secret_value()) == bool(self.key_file):
            raise ValueError("log in by password or by key_file, one of the two")
        if self.verify and not self.host_keys and not self.known_hosts_file:
            raise ValueError("name the server's key: host_keys or known_hosts_file; verify: false takes any")
        if not self.path and (self.max_age, self.files_min) != (None, None):
            raise ValueError("max_age and files_min are of a path: name it")
        return self

    @property
    def login(self) -> Login:
        """How to log in."""
        return Login(
            self.address.host,
            self.address.port,
            self.username,
            self.password.get_secret_value(),
            self.key_file,
            self.key_passphrase.get_secret_value(),
            self.host_keys,
            self.known_hosts_file,
            self.verify,
        )


async def run(params: SftpParams, ctx: Context) -> Measurement:
    """Log in, look at the path, and leave."""

    async def speak(finding: Finding) -> None:
        addresses = await resolve(params.address.host, ctx, params.ip_version)
        stream = await connect(addresses, params.address.port, ctx)
        session = Session(stream, params.login, ctx)
        try:
            if not params.username:
                await session.greet()
                return
            client = await session.open()
            listing = await session.look(client, params.path, params.pattern) if params.path else None
            ctx.phases.end()
            await session.leave()
        finally:
            finding.facts["host_key"], finding.facts["software"] = session.host_key, session.software
            session.close()
        if listing is not None:
            _judge(listing, params, finding)

    return await measure(ctx, speak)


def _judge(listing: Listing, params: SftpParams, finding: Finding) -> None:
    """Raise TroubleError for files that are too few or too old."""
    finding.samples |= {"files": listing.files, "size_bytes": listing.size_bytes}
    finding.facts["newest"] = words(listing.newest.encode("utf-8", "replace"), ())
    age_s = None if listing.newest_at_s is None else time.time() - listing.newest_at_s
    if age_s is not None:
        finding.samples["freshness_s"] = age_s
    if params.max_age is not None:
        if age_s is None:
            raise TroubleError(Failure.STALE, f"there is no file {params.pattern} in {params.path}"[:300])
        if age_s > params.max_age:
            message = f"the newest file is {age_s:.0f} s old, allowed are {params.max_age:g} s"
            raise TroubleError(Failure.STALE, message)
    if params.files_min is not None and listing.files < params.files_min:
        message = f"{listing.files} files are in {params.path[:100]}, needed are {params.files_min}"
        raise TroubleError(Failure.CONDITION, message)


PROBE = Probe(
    kind="sftp",
    params=SftpParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "greeting_s": "time until the server greeted, in seconds; only without username",
        "handshake_s": "from the connection to the server's key, in seconds",
        "login_s": "from the server's key to being let in, in seconds",
        "open_s": "time of beginning SFTP, in seconds",
        "list_s": "time of looking at the path, in seconds",
        "files": "files that count",
        "size_bytes": "their size together, in bytes",
        "freshness_s": "age of the newest of them by this agent's clock, in seconds",
    },
    facts={"host_key": "string", "software": "string", "newest": "string"},
    latency="login_s",
)
