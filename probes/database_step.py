"""Asking two databases the same, one right after the other: what the kinds' `in_step` is made of.

Trouble with the other database is a finding of the check; trouble with its own ends the run as any other does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager

from probes.database_findings import Findings, GapRule, judge_gap
from probes.database_memory import S, in_session
from probes.database_params import SessionUse
from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context

Figure = float | None
"""What is compared; None of a database that has nothing."""


class OtherError(TroubleError):
    """Trouble with the other database."""


@contextmanager
def asking_other(apart: Context, errors: tuple[type[BaseException], ...] = NETWORK_ERRORS) -> Iterator[None]:
    """Turn trouble of the network into trouble with the other database."""
    try:
        yield
    except errors as error:
        raise OtherError(*classify(error, apart.phases.current)) from None


async def judge_step(
    ctx: Context,
    rule: GapRule,
    address: object,
    findings: Findings,
    ask_both: Callable[[Context], Awaitable[tuple[Figure, Figure]]],
) -> None:
    """Ask both databases, in the phase `in_step`, and say which one is behind.

    Args:
        ctx: of the run.
        rule: how far one may be behind the other.
        address: of the other database, as it is shown.
        findings: where it is said.
        ask_both: returns what both say, this one's first; the other one is asked in the context that it is given,
            whose phases are its own, and within `asking_other`.

    """
    apart = Context(ctx.timeout_s, ctx.deadline, ctx.resources, check=ctx.check)
    other = f"the other one ({address})"
    ctx.phases.begin("in_step")
    try:
        here, there = await ask_both(apart)
    except OtherError as error:
        findings.find(rule.state, error.failure, f"{other} cannot be asked: {error.message}")
    else:
        judge_gap(here, there, rule, other, findings)
    ctx.phases.end()


async def ask_in_session(
    apart: Context,
    key: Hashable,
    use: SessionUse,
    open_other: Callable[[Context], Awaitable[S]],
    ask_here: Callable[[], Awaitable[Figure]],
    ask_there: Callable[[S], Awaitable[Figure]],
) -> tuple[Figure, Figure]:
    """Return what both databases say; the session with the other one is kept if `use` says so."""

    async def opened() -> S:
        with asking_other(apart):
            return await open_other(apart)

    async def work(session: S) -> tuple[Figure, Figure]:
        here = await ask_here()
        with asking_other(apart):
            apart.phases.begin("query")
            return here, await ask_there(session)

    return await in_session(apart, key, use, opened, work)
