"""One session with a Redis server over a stream: TLS, login, and commands that only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.redis_wire import Reader, ServerError, command
from probes.tcp_stream import TcpStream

LIMIT_BYTES = 256 * 1024
"""How much a server may answer; INFO is some 6 kB."""

_REJECTED = ("WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH", "ERR Client sent AUTH")


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected, TLS spoken where it is wanted.
        ctx: of the run that uses it.

    """

    stream: TcpStream
    ctx: Context
    _reader: Reader = field(default_factory=lambda: Reader(LIMIT_BYTES))

    async def login(self, user: str, password: SecretStr | None, database: int) -> None:
        """Log in where there is a password, say who we are, and choose the database, in the phase `login`.

        Raises TroubleError.
        """
        self.ctx.phases.begin("login")
        commands: list[tuple[str, ...]] = []
        secret = password.get_secret_value() if password is not None else ""
        if secret:
            commands.append(("AUTH", user, secret) if user else ("AUTH", secret))
        commands.append(("SELECT", str(database)))
        for words, answer in zip(commands, await self.ask(commands, secret), strict=True):
            # NOPERM for SELECT is a login that may not choose: database 0 is what it has.
            may_not_choose = words[0] == "SELECT" and not database and answer_is_refusal(answer)
            if isinstance(answer, ServerError) and not may_not_choose:
                raise failure_of(answer, secret)

    async def ask(self, commands: Sequence[tuple[str, ...]], secret: str = "") -> list[Any]:
        """Send commands in one round trip and return their answers, errors among them.

        Raises TroubleError, OSError. A server that is full says so to the first command and hangs up on the others:
        what it said last is then why it ended, not that it did; `secret` is not repeated.
        """
        self._reader.left = LIMIT_BYTES
        await self.stream.send(b"".join(command(*words) for words in commands))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await self._answer())
            except (TroubleError, ConnectionError) as error:
                is_over = isinstance(error, ConnectionError) or error.failure is Failure.CONNECTION_CLOSED
                if is_over and answers and isinstance(answers[-1], ServerError):
                    raise failure_of(answers[-1], secret) from None
                raise
        return answers

    async def _answer(self) -> Any:
        while True:
            answer = self._reader.next()
            if answer is not None:
                return answer[0]
            came = await self.stream.receive()
            if not came:
                where = self.ctx.phases.current
                raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
            self._reader.feed(came)

    def is_idle(self) -> bool:
        """Say whether the session is fit for the next run."""
        return self.stream.is_quiet() and self._reader.is_empty()

    def close(self) -> None:
        """Close."""
        self.stream.close()


def failure_of(error: ServerError, secret: str = "") -> TroubleError:
    """Return what an error that the server answered means; a secret in it is not repeated."""
    is_rejected = error.startswith(_REJECTED)
    text = error.replace(secret, "***") if secret else str(error)
    return TroubleError(Failure.AUTH_REJECTED if is_rejected else Failure.QUERY_FAILED, text)


def answer_is_refusal(answer: object) -> bool:
    """Say whether the server knows us, and does not take that command of ours (or of anybody)."""
    return isinstance(answer, ServerError) and answer.startswith(("NOPERM", "ERR unknown command"))
