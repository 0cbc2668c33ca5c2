"""Numbers that stand for long names in results: of checks, agents and shapes of samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.classes import CheckRow, metadata
from monitor.store.codec import Shape
from monitor.store.pages import Marks
from monitor.store.statements import add
from monitor.store.tables import agents, shapes

checks = metadata.tables[CheckRow.__tablename__]

SHAPES_LIMIT = 4_000
"""Most shapes that are numbered. Probes need a few dozen; an import could bring any number of names."""
SHAPE_KEY_LIMIT = 1_000
"""Longest text of a numbered shape: it is a key of an index."""
PLAIN_SHAPE = 0
"""Number of the shape whose body is simply JSON: for what is beyond these limits."""


@dataclass(slots=True)
class Names:
    """Numbers by name and names by number, as far as they have been asked for.

    They are given by the database, never twice and never anew, so that two processes agree on them.
    """

    checks: dict[str, int] = field(default_factory=dict)
    agents: dict[str, int] = field(default_factory=dict)
    shapes: dict[Shape, int] = field(default_factory=dict)
    check_ids: dict[int, str] = field(default_factory=dict)
    agent_ids: dict[int, str] = field(default_factory=dict)
    shape_of: dict[int, Shape] = field(default_factory=dict)
    first_ms: dict[int, int] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)

    async def load(self, connection: AsyncConnection) -> None:
        """Read all of them."""
        for number, name, first_ms in await connection.execute(select(checks.c.no, checks.c.id, checks.c.first_ms)):
            self.checks[name], self.check_ids[number] = number, name
            if first_ms is not None:
                self.first_ms[number] = first_ms
        for number, name in await connection.execute(select(agents.c.no, agents.c.id)):
            self.agents[name], self.agent_ids[number] = number, name
        for number, key in await connection.execute(select(shapes.c.no, shapes.c.key)):
            shape = _shape_of(key)
            self.shapes[shape], self.shape_of[number] = number, shape

    async def intern(
        self,
        connection: AsyncConnection,
        new_checks: Collection[str] = (),
        new_agents: Collection[str] = (),
        new_shapes: Collection[Shape] = (),
    ) -> None:
        """Give numbers to new names. The caller commits, and loads after that: nothing is remembered before."""
        await add(connection, checks, [_unknown_check(name) for name in sorted(new_checks)])
        await add(connection, agents, [{"id": name} for name in sorted(new_agents)])
        room = max(0, SHAPES_LIMIT - len(self.shapes))
        await add(connection, shapes, [{"key": key_of(shape)} for shape in sorted(new_shapes)[:room]])

    def know(self, rows: Iterable[Sequence[Any]]) -> bool:
        """Say whether everything that rows of results refer to is known here."""
        return all(
            row[2] in self.check_ids and row[3] in self.agent_ids and (row[5] == PLAIN_SHAPE or row[5] in self.shape_of)
            for row in rows
        )

    def takes(self, shape: Shape) -> bool:
        """Say whether a new shape would be given a number."""
        return len(self.shapes) < SHAPES_LIMIT and len(key_of(shape)) <= SHAPE_KEY_LIMIT


def _unknown_check(name: str) -> dict[str, object]:
    target, _, short = name.rpartition("/")
    return {
        "id": name,
        "target": target,
        "name": short,
        "probe": "",
        "address": "",
        "interval_s": 0.0,
        "critical": True,
        "position": 0,
        "removed_ms": 0,
    }


def key_of(shape: Shape) -> str:
    """Return the text that a shape is stored as."""
    names, codes = shape
    return orjson.dumps([codes, *names]).decode()


def _shape_of(key: str) -> Shape:
    codes, *names = orjson.loads(key)
    return tuple(names), codes
