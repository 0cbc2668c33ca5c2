"""Who is part of whom and who depends on whom, worked out once from the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter

from alerts.model import Rules, TargetRule, Window


class Topology:
    """The relations between targets, by target id.

    References to targets and checks that the rules do not have are left out. So are dependencies on what a target
    is itself part of, directly or through others: it cannot be explained by its own trouble, and two targets that
    wait for each other's explanation would never be announced.

    Attributes:
        rank: members have a lower rank than what they are members of.
        checks: ids of its checks.
        members: ids of its members.
        containers: ids of the groups and links that it is a member of.
        links: those of them that are links.
        parents: what it depends on; each entry is the alternatives of which one must hold.
        children: ids of the targets that depend on it.

    """

    def __init__(self, rules: Rules) -> None:
        """Work the relations out. Raises `graphlib.CycleError`, a ValueError, when groups contain each other."""
        targets = rules.targets
        self._mutes: dict[str, list[Window]] = {}
        for window in (*rules.maintenance, *rules.silences):
            for target in window.targets:
                self._mutes.setdefault(target, []).append(window)
        self.checks = {id_: tuple(c for c in rule.checks if c in rules.checks) for id_, rule in targets.items()}
        self.members = {id_: _existing(rule.members, targets) for id_, rule in targets.items()}
        order = TopologicalSorter(self.members).static_order()
        self.rank = {id_: rank for rank, id_ in enumerate(order)}
        self.containers = _reversed(self.members)
        self.links = {
            id_: tuple(c for c in containers if targets[c].type == "link")
            for id_, containers in self.containers.items()
        }
        self.parents = self._explaining(targets)
        self.children = _reversed(
            {id_: tuple(dict.fromkeys(p for entry in entries for p in entry)) for id_, entries in self.parents.items()}
        )

    def parent_checks(self, target: str) -> tuple[str, ...]:
        """Return the checks whose results say whether what the target depends on holds."""
        found: dict[str, None] = {}
        for part in self.with_members(parent for entry in self.parents[target] for parent in entry):
            found.update(dict.fromkeys(self.checks[part]))
        return tuple(found)

    def with_members(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Return the targets and their members, and the members of these, each once."""
        return _closure(targets, self.members)

    def above(self, target: str) -> tuple[str, ...]:
        """Return all that the target is part of, directly or through others, each once."""
        return _closure(self.containers[target], self.containers)

    def is_covered(self, target: str, now_ms: int) -> bool:
        """Say whether a maintenance window or a silence in force mutes the target."""
        return any(window.from_ms <= now_ms < window.to_ms for window in self._mutes.get(target, ()))

    def _explaining(self, targets: Mapping[str, TargetRule]) -> dict[str, tuple[tuple[str, ...], ...]]:
        entries = {id_: [_existing(entry, targets) for entry in rule.depends_on] for id_, rule in targets.items()}
        if not any(entries.values()):
            return dict.fromkeys(targets, ())
        edges = {
            id_: [*self.members[id_], *self.links[id_], *(p for entry in entries[id_] for p in entry)]
            for id_ in targets
        }
        component = strong_components(edges)
        explaining = {}
        for id_ in targets:
            kept = [tuple(p for p in entry if component[p] != component[id_]) for entry in entries[id_]]
            explaining[id_] = tuple(entry for entry in kept if entry)
        return explaining


def strong_components(edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return for each node the number of its strongly connected component (Tarjan 1972, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    component: dict[str, int] = {}
    path: list[str] = []
    for root in edges:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        path.append(root)
        stack = [(root, iter(edges[root]))]
        while stack:
            node, targets = stack[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    path.append(target)
                    stack.append((target, iter(edges[target])))
                    break
                if target not in component:
                    low[node] = min(low[node], index[target])
            else:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[node])
                if low[node] == index[node]:
                    _close(node, path, component)
    return component


def _close(node: str, path: list[str], component: dict[str, int]) -> None:
    number = len(component)
    while True:
        member = path.pop()
        component[member] = number
        if member == node:
            return


def _closure(starts: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    todo = list(starts)[::-1]
    while todo:
        node = todo.pop()
        if node not in found:
            found[node] = None
            todo.extend(reversed(edges[node]))
    return tuple(found)


def _existing(ids: Iterable[str], targets: Mapping[str, TargetRule]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id_ for id_ in ids if id_ in targets))


def _reversed(edges: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {id_: [] for id_ in edges}
    for id_, ends in edges.items():
        for end in ends:
            found[end].append(id_)
    return {id_: tuple(starts) for id_, starts in found.items()}
