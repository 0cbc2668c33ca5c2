"""What kinds remember from one run of a check to the next: bounded, in this process, gone when it ends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

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
