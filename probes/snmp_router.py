"""What the process keeps of one router: how it is spoken to, and one reading that many checks share.

Three hundred links of one router are three hundred checks, but one walk: a reading is good for every check that asks
within `max_age_s` of it, and those that ask while it is being made wait for it together. No check is ever given the
same reading twice, so that a change is never confirmed by the very answer that it came from. While only a few
interfaces are asked for, only these are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from probes.model import Context
from probes.resolver import Address, resolve
from probes.snmp_interfaces import Interface, Names, read_all, read_names, read_some
from probes.snmp_params import AgentParams
from probes.snmp_security import Security, security_for
from probes.snmp_session import Session
from probes.tcp_stream import last_moment

FEW = 12
"""Up to so many interfaces are asked for one by one; a walk of hundreds costs no more than twenty of them."""

INTEREST_S = 900.0
"""How long an interface is read for after a check has last asked for it."""

NAMES_S = 300.0
"""How old what interfaces are called may be: an alias changes without a sign. Numbers and names are compared always."""

MISSING_S = 30.0
"""How old it may be while an interface that is asked for is missing: tunnels come and go, with other numbers."""


class Reading:
    """Interfaces at one moment.

    Attributes:
        at: when it was begun, on the loop's clock.
        whole: whether it has all interfaces, or only those that were asked for.
        interfaces: by ifIndex.

    """

    __slots__ = ("_called", "at", "interfaces", "whole")

    def __init__(self, at: float, found: Iterable[Interface], *, whole: bool) -> None:
        self.at, self.whole = at, whole
        self.interfaces = {one.names.index: one for one in found}
        self._called: dict[str, Interface] | None = None

    def called(self, name: str) -> Interface | None:
        """Return the interface of that name: by ifName before ifDescr, ifAlias and the number; of equals the first."""
        if self._called is None:
            called: dict[str, Interface] = {}
            for attribute in ("name", "descr", "alias", "index"):
                for one in self.interfaces.values():
                    called.setdefault(str(getattr(one.names, attribute)), one)
            self._called = called
        return self._called.get(name)


@dataclass(slots=True)
class _Flight:
    """A reading that is being made, and until when somebody waits for it."""

    task: asyncio.Task[Reading]
    whole: bool
    names: frozenset[str]
    waiting: int = 0


@dataclass(slots=True)
class Router:
    """One router, asked in one name. Made once for the process."""

    security: Security
    _known: dict[int, Names] = field(default_factory=dict)
    _known_at: float = -NAMES_S
    _interest: dict[str, float] = field(default_factory=dict)
    _whole_interest: float = -INTEREST_S
    _last: Reading | None = None
    _flight: _Flight | None = None
    _until: float = 0.0

    async def reading(
        self, params: AgentParams, ctx: Context, name: str | None, max_age_s: float, other_than: Reading | None
    ) -> Reading:
        """Return a reading with the interface of that name if there is one (of all, for None).

        Raises TroubleError, OSError.
        """
        now = asyncio.get_running_loop().time()
        if name is None:
            self._whole_interest = now
        else:
            self._interest[name] = now
        last = self._last
        fresh = last is not None and last is not other_than and now - last.at <= max_age_s
        if last is not None and fresh and (last.whole or (name is not None and last.called(name) is not None)):
            return last
        addresses = await resolve(params.address.host, ctx, params.ip_version)
        ctx.phases.begin("query")
        # What others began without this interface is waited for: then all that were left out go together.
        while (flight := self._flight) is not None and not (flight.whole or name in flight.names):
            await asyncio.wait({flight.task})
        self._until = max(self._until, last_moment(ctx)) if flight else last_moment(ctx)
        if flight is None:
            flight = self._take_off(params, addresses[0], now)
        return await self._wait(flight)

    def _take_off(self, params: AgentParams, address: Address, now: float) -> _Flight:
        self._interest = {name: at for name, at in self._interest.items() if now - at < INTEREST_S}
        names = frozenset(self._interest)
        whole = now - self._whole_interest < INTEREST_S or len(names) > FEW
        task = asyncio.ensure_future(self._read(params, address, None if whole else names))
        flight = self._flight = _Flight(task, whole, names)
        task.add_done_callback(self._landed)
        return flight

    async def _wait(self, flight: _Flight) -> Reading:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()

    def _landed(self, task: asyncio.Task[Reading]) -> None:
        if self._flight is not None and self._flight.task is task:
            self._flight = None
        if not task.cancelled() and task.exception() is None:
            self._last = task.result()

    async def _read(self, params: AgentParams, address: Address, names: frozenset[str] | None) -> Reading:
        at = asyncio.get_running_loop().time()
        session = Session(address, params.address.port, self.security, lambda: self._until, params.answer_bytes)
        try:
            missing = names is not None and not all(self._is_known(name) for name in names)
            if at - self._known_at >= (MISSING_S if missing else NAMES_S):
                await self._learn_names(session, at)
            if names is None:
                return Reading(at, await read_all(session, self._known), whole=True)
            return Reading(at, await self._read_some(session, names, at), whole=False)
        finally:
            session.close()

    async def _read_some(self, session: Session, names: frozenset[str], at: float) -> list[Interface]:
        indexes = self._indexes(names)
        found = await read_some(session, indexes, self._known) if indexes else []
        if not found and self._known_at != at:  # numbers stand for others now, or the name is a new one
            await self._learn_names(session, at)
            indexes = self._indexes(names)
            found = await read_some(session, indexes, self._known) if indexes else []
        return found

    def _is_known(self, name: str) -> bool:
        return any(known.is_called(name) for known in self._known.values())

    def _indexes(self, names: frozenset[str]) -> set[int]:
        return {index for index, known in self._known.items() if any(known.is_called(name) for name in names)}

    async def _learn_names(self, session: Session, at: float) -> None:
        self._known = await read_names(session)
        self._known_at = at

    async def aclose(self) -> None:
        """Stop what is being read."""
        if self._flight is not None:
            self._flight.task.cancel()
            await asyncio.gather(self._flight.task, return_exceptions=True)


def router_of(params: AgentParams, ctx: Context) -> Router:
    """Return what is kept of the agent that the parameters name."""
    login = params.login
    key = ("probes.snmp_router", params.address, params.ip_version, login)
    return ctx.resources.get(key, lambda: Router(security_for(login)))


async def open_session(params: AgentParams, ctx: Context) -> Session:
    """Return a session of a check's own, in the phase `query`; close it in `finally`.

    Raises TroubleError, OSError.
    """
    addresses = await resolve(params.address.host, ctx, params.ip_version)
    ctx.phases.begin("query")
    until = last_moment(ctx)
    security = router_of(params, ctx).security
    return Session(addresses[0], params.address.port, security, lambda: until, params.answer_bytes)
