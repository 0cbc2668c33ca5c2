"""One SSH connection for SFTP, by asyncssh: the handshake, the server's key, login, and a look at a directory.

Nothing of this host's own is used for it: no agent, no keys, no configuration and no known hosts of a user.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.stream_intake import Intake
from probes.stream_kind import words
from probes.tcp_stream import TcpStream, last_moment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncssh import SFTPClient, SFTPName, SSHClientConnection, SSHKey

ENTRIES_LIMIT = 20_000
GREETING_LIMIT_BYTES = 16 * 1024
_PORT = 22
_CLOSE_S = 0.5
_KEY_SORTS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Which of its keys a server is to show, the best liked first: as OpenSSH asks, so that both see the same one."""

_FAILURES: Mapping[str, Failure] = {
    # asyncssh's exceptions by name, because it is imported only where it is used.
    "HostKeyNotVerifiable": Failure.TLS_UNTRUSTED,
    "PermissionDenied": Failure.AUTH_REJECTED,
    "ConnectionLost": Failure.CONNECTION_CLOSED,
    "SFTPConnectionLost": Failure.CONNECTION_CLOSED,
    "SFTPNoConnection": Failure.CONNECTION_CLOSED,
    "SFTPBadMessage": Failure.PROTOCOL,
    "ChannelOpenError": Failure.QUERY_FAILED,
    "SFTPError": Failure.QUERY_FAILED,
    "DisconnectError": Failure.PROTOCOL,
}


def _load() -> None:
    """Import asyncssh. Raises TroubleError (`internal`: we cannot measure) when it is not installed."""
    try:
        import asyncssh  # noqa: F401, PLC0415 - 0.2 s of a cold start, and an extra of its own
    except ImportError:
        message = "the kind sftp needs asyncssh: install thongsuot[sftp]"
        raise TroubleError(Failure.INTERNAL, message) from None


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in, and whom to trust.

    Attributes:
        host, port: as they stand in known_hosts.
        user, password: the latter "" where a key is used.
        key_file: private key in OpenSSH's or PEM's form; "" where a password is used.
        passphrase: of the key; "" where it has none.
        host_keys: SHA-256 fingerprints of the keys that the server may have.
        known_hosts_file: where such keys stand; "" for none.
        verify: whether the server's key is looked at at all.

    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    key_file: str
    passphrase: str = field(repr=False)
    host_keys: tuple[str, ...]
    known_hosts_file: str
    verify: bool


@dataclass(slots=True)
class Listing:
    """What stands at a path: files, how large they are together, the newest one's time and name."""

    files: int = 0
    size_bytes: int = 0
    newest_at_s: float | None = None
    newest: str = ""

    def add(self, name: str, attributes: Any) -> None:
        """Count a file."""
        self.files += 1
        self.size_bytes += attributes.size or 0
        at_s = attributes.mtime
        if at_s is not None and (self.newest_at_s is None or at_s > self.newest_at_s):
            self.newest_at_s, self.newest = float(at_s), name


class Session:
    """A session over a connected stream. Close it in `finally`.

    Attributes:
        host_key: fingerprint of the key that the server showed, "" before it did.
        software: what the server says it is.

    """

    def __init__(self, stream: TcpStream, login: Login, ctx: Context) -> None:
        self._stream, self._login, self._ctx = stream, login, ctx
        self._connection: SSHClientConnection | None = None
        self._known: set[SSHKey] = set()
        self.host_key = ""
        self.software = ""

    async def greet(self) -> None:
        """Wait for what the server says it is, in the phase `greeting` (RFC 4253, section 4.2).

        Raises TroubleError (`protocol`) when it is no server of SSH 2.
        """
        self._ctx.phases.begin("greeting")
        intake = Intake(self._stream, self._ctx, GREETING_LIMIT_BYTES)
        await self._stream.send(b"SSH-2.0-thongsuot\r\n")
        line = b""
        while not line.startswith(b"SSH-"):  # lines before it are for people
            try:
                # A server that has said something else is not silent: that must be said before time is up.
                async with asyncio.timeout_at(last_moment(self._ctx) if line else None):
                    line = await intake.line()
            except TimeoutError:
                break
        if not line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            raise TroubleError(Failure.PROTOCOL, f"this is not SSH 2: '{words(line, (), 100)}'")
        self.software = words(line, (), 100)

    async def open(self) -> SFTPClient:
        """Shake hands and log in, in the phases `handshake` and `login`, and begin SFTP, in `open`.

        Raises TroubleError: `tls_untrusted` for a key of the server's that is not one of those we know,
        `auth_rejected` when it does not take user, password or key, `internal` without asyncssh or our own key.
        """
        self._ctx.phases.aside(_load)
        import asyncssh  # noqa: PLC0415 - as above

        self._ctx.phases.begin("handshake")
        session = self

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
                return session._takes(key)

            def connection_made(self, conn: SSHClientConnection) -> None:
                session._connection = conn

        options = self._options(asyncssh)
        with self._classified(asyncssh):
            self._connection = await asyncssh.connect(
                self._login.host,
                self._login.port,
                sock=self._stream.detach(),
                client_factory=Client,
                config=None,
                **options,
            )
            self.software = words(str(self._connection.get_extra_info("server_version", "")).encode(), (), 100)
            self._ctx.phases.begin("open")
            return await self._connection.start_sftp_client()

    async def look(self, client: SFTPClient, path: str, pattern: str) -> Listing:
        """Return what stands at a path, in the phase `list`: the files of a directory, or the one file.

        Raises TroubleError: `query_failed` when there is nothing, or nothing that we may see, `body_too_large` for more
        than ENTRIES_LIMIT entries.
        """
        self._ctx.phases.begin("list")
        looking = asyncio.ensure_future(self._list(client, path, pattern))
        try:
            # On its way out of a listing asyncssh asks the server to close it, and waits for the answer: whoever
            # cancels that alone waits with it. Without its connection it has nothing to wait for.
            await asyncio.wait([looking])
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.abort()
            await asyncio.wait([looking], timeout=_CLOSE_S / 10)
            looking.cancel()
            raise
        return looking.result()

    async def _list(self, client: SFTPClient, path: str, pattern: str) -> Listing:
        import asyncssh  # noqa: PLC0415 - as above

        found, entries = Listing(), 0
        with self._classified(asyncssh, path):
            attributes = await client.stat(path)
            if not stat.S_ISDIR(attributes.permissions or 0):
                found.add(path.rpartition("/")[2], attributes)
                return found
            async with aclosing(cast("AsyncGenerator[SFTPName, None]", client.scandir(path))) as listing:
                async for entry in listing:
                    entries += 1
                    if entries > ENTRIES_LIMIT:
                        message = f"{path[:100]} has more than {ENTRIES_LIMIT} entries"
                        raise TroubleError(Failure.BODY_TOO_LARGE, message)
                    name = _text(entry.filename)
                    if stat.S_ISREG(entry.attrs.permissions or 0) and fnmatchcase(name, pattern):
                        found.add(name, entry.attrs)
        return found

    async def leave(self) -> None:
        """Say goodbye and wait a moment for the connection to end."""
        if self._connection is not None:
            self._connection.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._connection.wait_closed()

    def close(self) -> None:
        """Break off, if that is still needed. Harmless when repeated."""
        if self._connection is not None:
            self._connection.abort()  # it closes the socket, in the loop's next turn: not before it has let go of it
        else:
            asyncio.get_running_loop().call_soon(self._stream.close)

    def _options(self, asyncssh: Any) -> dict[str, Any]:
        login = self._login
        options: dict[str, Any] = {
            "username": login.user,
            "agent_path": None,
            "client_keys": None,
            "gss_host": None,
            "known_hosts": ([], [], []),
            "server_host_key_algs": list(_KEY_SORTS),
            "login_timeout": self._ctx.timeout_s,
            "connect_timeout": None,
            "preferred_auth": "publickey" if login.key_file else "password,keyboard-interactive",
        }
        try:
            if login.key_file:
                passphrase = login.passphrase or None
                options["client_keys"] = [asyncssh.import_private_key(Path(login.key_file).read_bytes(), passphrase)]
            else:
                options["password"] = login.password
            if login.known_hosts_file:
                self._know(asyncssh, Path(login.known_hosts_file).read_text("utf-8"), options)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            message = f"key_file {login.key_file} is no private key, or the passphrase is wrong"
            raise TroubleError(Failure.INTERNAL, message) from None
        except (OSError, ValueError) as error:
            text = error.strerror if isinstance(error, OSError) else "it is no such file"
            message = f"{login.key_file or login.known_hosts_file} cannot be used: {text}"
            raise TroubleError(Failure.INTERNAL, message) from None
        return options

    def _know(self, asyncssh: Any, text: str, options: dict[str, Any]) -> None:
        """Take the keys that known_hosts has for the server, and ask it for one of their sort."""
        login = self._login
        port = login.port if login.port != _PORT else None  # which known_hosts does not name
        self._known = set(asyncssh.import_known_hosts(text).match(login.host, self._stream.address.host, port)[0])
        sorts = [sort.decode() for key in self._known for sort in key.sig_algorithms]
        if sorts and not login.host_keys:
            options["server_host_key_algs"] = sorts

    def _takes(self, key: SSHKey) -> bool:
        """Say whether the server's key is one that we know; the login then follows."""
        self.host_key = key.get_fingerprint()
        taken = not self._login.verify or self.host_key in self._login.host_keys or key in self._known
        if taken:
            self._ctx.phases.begin("login")
        return taken

    @contextmanager
    def _classified(self, asyncssh: Any, path: str = "") -> Iterator[None]:
        """Turn asyncssh's exceptions into trouble."""
        try:
            yield
        except asyncssh.HostKeyNotVerifiable:
            raise TroubleError(Failure.TLS_UNTRUSTED, self._about_key()) from None
        except asyncssh.Error as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            failure = next((_FAILURES[name] for name in names if name in _FAILURES), Failure.PROTOCOL)
            text = words(str(error.reason).encode(), (self._login.password, self._login.passphrase))
            where = f"{path[:100]}: " if path else ""
            raise TroubleError(failure, f"{where}{text or names[0]}") from None
        except ValueError:  # asyncssh's PacketDecodeError is one, and so is what it makes of a number that is none
            raise TroubleError(Failure.PROTOCOL, "the server's packets are not those of SSH") from None

    def _about_key(self) -> str:
        known = [*self._login.host_keys, *(key.get_fingerprint() for key in self._known)]
        shown = ", ".join(known[:3]) or "none"
        return f"the server's key is {self.host_key or 'unreadable'}, known is {shown}: changed, or somebody in between"


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "replace")
