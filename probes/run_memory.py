"""What kinds remember from one run of a check to the next: bounded, in this process, gone when it ends.

There is one such memory. A value is found by its check (`Context.check`; `thongsuot probe` names a check after its
address), its kind, and all else that it depends on: a check that a reload points elsewhere begins anew, one that a
reload gives other limits does not.

Two things are kept elsewhere, because they are no check's own: an idle session (`database_memory`) belongs to those
who log in alike, and has to be closed; what is known of a router (`snmp_router`) is shared by all its checks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar

from probes.model import Context

CHECKS_LIMIT: Final = 20_000
"""Of how many checks something is remembered; those that ran longest ago are forgotten first."""

T = TypeVar("T")


class RunMemory(Generic[T]):
    """The last value of each check, under a key that holds all that the value depends on."""

    def __init__(self, limit: int = CHECKS_LIMIT) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def recall(self, key: Hashable) -> T | None:
        """Return what was kept last, None where there is nothing."""
        return self._values.get(key)

    def keep(self, key: Hashable, value: T) -> None:
        """Remember a value in place of the last one."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)


class LastRun(Generic[T]):
    """What one check remembers of its last run."""

    def __init__(self, memory: RunMemory[Any], key: Hashable) -> None:
        self._memory = memory
        self._key = key

    def recall(self) -> T | None:
        """Return what was kept, None in the first run."""
        value: T | None = self._memory.recall(self._key)
        return value

    def keep(self, value: T) -> None:
        """Remember a value for the next run."""
        self._memory.keep(self._key, value)


def last_run(ctx: Context, kind: str, *depends_on: Hashable) -> LastRun[Any]:
    """Return what the check that runs remembers under its kind and what the value depends on beside."""
    return LastRun(ctx.resources.get(RunMemory, RunMemory), (ctx.check, kind, depends_on))
