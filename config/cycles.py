"""Finds targets that lead back to themselves through `depends_on` or `members`.

Both count together: a channel that depends on the link it is a member of would be the cause of its own excuse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from config.model import AnyOf
from config.targets import WrittenTarget

Graph = Mapping[str, tuple[str, ...]]


def graph_of(written: Mapping[str, WrittenTarget]) -> dict[str, tuple[str, ...]]:
    """Return what each target leads to, its members first; ids that are not there are left out."""
    graph = {}
    for target, (_, _, file, _) in written.items():
        parents = [named for entry in file.depends_on for named in _alternatives(entry)]
        graph[target] = tuple(dict.fromkeys(named for named in (*file.members, *parents) if named in written))
    return graph


def _alternatives(entry: str | AnyOf) -> tuple[str, ...]:
    return entry.any if isinstance(entry, AnyOf) else (entry,)


def find_cycles(graph: Graph) -> Iterator[tuple[str, ...]]:
    """Yield one shortest cycle, such as (a, b, a), for every tangle of nodes that lead back to each other."""
    for tangle in _tangles(graph):
        first = next(node for node in graph if node in tangle)
        yield _shortest(graph, first, tangle)


def _shortest(graph: Graph, first: str, tangle: frozenset[str]) -> tuple[str, ...]:
    """Breadth first from a node back to itself, inside its tangle."""
    came_from: dict[str, str] = {}
    waiting = deque([first])
    while waiting:
        node = waiting.popleft()
        for following in graph[node]:
            if following == first:
                path = [first, node]
                while path[-1] != first:
                    path.append(came_from[path[-1]])
                return tuple(reversed(path))
            if following in tangle and following not in came_from:
                came_from[following] = node
                waiting.append(following)
    raise AssertionError("a tangle without a cycle")


def _tangles(graph: Graph) -> Iterator[frozenset[str]]:
    """Yield the strongly connected components that hold a cycle (Tarjan 1972), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            child = next(_unfinished(following, index, low, node, on_stack), None)
            if child is not None:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(graph[child])))
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                component = _popped(stack, on_stack, node)
                if len(component) > 1 or node in graph[node]:
                    yield component


def _unfinished(
    following: Iterable[str], index: Mapping[str, int], low: dict[str, int], node: str, on_stack: set[str]
) -> Iterator[str]:
    """Yield the successors that were not visited yet; those on the stack lower the node's mark."""
    for child in following:
        if child not in index:
            yield child
        elif child in on_stack:
            low[node] = min(low[node], index[child])


def _popped(stack: list[str], on_stack: set[str], node: str) -> frozenset[str]:
    component: list[str] = []
    while not component or component[-1] != node:
        component.append(stack.pop())
        on_stack.discard(component[-1])
    return frozenset(component)
