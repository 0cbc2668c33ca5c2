"""What a reload changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from config.model import Check, Inventory


@dataclass(frozen=True, slots=True)
class Changes:
    """Checks by what a reload does to them, ids sorted.

    A check is the same check as long as its id is: it keeps its history, and its phase where its interval stays.

    Attributes:
        added: not there before.
        removed: not there any more; their history stays in the store.
        changed: there before and after, with other parameters, times, conditions or labels.
        unchanged: how many stay exactly as they are.

    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compare(old: Inventory, new: Inventory) -> Changes:
    """Return which checks a change from one inventory to another adds, removes and changes."""
    before, after = old.checks, new.checks
    both = before.keys() & after.keys()
    changed = tuple(sorted(check for check in both if not _is_same(before[check], after[check])))
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=changed,
        unchanged=len(both) - len(changed),
    )


def _is_same(before: Check, after: Check) -> bool:
    # A kind's parameters may keep what they have prepared (a request, a resolved rule) in private attributes,
    # which are no part of what was configured: only the public ones are compared.
    same_params = before.params.__dict__ == after.params.__dict__
    return same_params and replace(before, params=None) == replace(after, params=None)
