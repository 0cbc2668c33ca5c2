"""What the kinds that look into a database are configured with alike: which role, how fresh, how far behind.

A source of data is one statement, or a table with a column: then the statement is made here, of quoted names, and
asks for one aggregate and no row.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from probes.model import Params
from probes.units import Duration, parse_duration

QUERY_LIMIT = 64 * 1024
NAME_LIMIT = 128
"""Characters of a name; SQL Server's and Oracle's own, and more than others take."""

TABLE_PARTS = 3
"""database.schema.table at most."""

Role = Literal["primary", "replica", "any"]
SessionUse = Literal["new", "keep"]
RuleState = Literal["down", "degraded"]


def _statement(value: str) -> str:
    if "\0" in value:
        raise ValueError("a statement has no NUL in it")
    return value


def _name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name is printable")
    return value


def _table(value: str) -> str:
    parts = value.split(".")
    if not all(parts) or len(parts) > TABLE_PARTS:
        raise ValueError("a table is table or schema.table; for a name with a dot in it write a query")
    return value


def _gap(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) and not value.strip().isdigit() else value


Statement = Annotated[str, Field(min_length=1, max_length=QUERY_LIMIT), AfterValidator(_statement)]
"""One statement in the database's own language."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT), AfterValidator(_name)]
"""A column's name as the database keeps it; it is quoted, so capitals and spaces count."""

TableName = Annotated[
    str, Field(min_length=1, max_length=TABLE_PARTS * NAME_LIMIT), AfterValidator(_name), AfterValidator(_table)
]
"""A table, with its schema where it needs one: `table` or `schema.table`; each part is quoted."""

Gap = Annotated[
    float,
    Field(ge=0),
    BeforeValidator(_gap),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "examples": ["5m"]}]}),
]
"""How far apart: a count, or a duration where times are compared."""


class Rule(Params):
    """Something that should hold, and what it makes of the check when it does not.

    Attributes:
        state: `down` or `degraded`.

    """

    state: RuleState = "down"


class Source(Rule):
    """Where one figure comes from.

    Attributes:
        query: one statement whose first column of its first row is the figure.
        table, column: the table to look at, and its column, instead of a query.

    """

    query: Statement | None = None
    table: TableName | None = None
    column: Name | None = None

    @model_validator(mode="after")
    def _is_one_source(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("write either a query or a table")
        if self.query is not None and self.column is not None:
            raise ValueError("a column belongs to a table, not to a query")
        return self


class Freshness(Source):
    """How old the newest data may be.

    Attributes:
        query: gives the time of the newest data, or its age.
        table, column: or the table and its column of times.
        max_age: beyond it the data is stale.

    """

    max_age: Duration = Field(gt=0)

    @model_validator(mode="after")
    def _has_a_column(self) -> Self:
        if self.table is not None and self.column is None:
            raise ValueError("which column of the table tells its age?")
        return self


class Heartbeat(Params):
    """A table that the primary writes the time into, so that a replica knows how late it is.

    Attributes:
        table, column: where the newest time stands.

    """

    table: TableName
    column: Name


class Replication(Rule):
    """How replication should be. An idle primary is no lag; one that is stopped has no lag, it is stopped.

    Attributes:
        max_lag: how late a replica may be.
        replicas: how many replicas a primary has at the least.
        heartbeat: measure the lag by a table that the primary writes the time into.

    """

    max_lag: Duration | None = Field(default=None, gt=0)
    replicas: int = Field(default=0, ge=0)
    heartbeat: Heartbeat | None = None


class InStep(Source):
    """Another database that should hold the same; a kind adds how to reach it.

    Attributes:
        query: gives a count, a latest id or a latest time; the same statement for both databases.
        table, column: or the table: its rows are counted, or the greatest values of its column compared.
        max_gap: how far one may be behind the other: a count, or a duration for times.

    """

    max_gap: Gap


def quoted(name: str, opening: str = '"', closing: str = "") -> str:
    """Return a name of a table as SQL takes it whatever is in it; each part of `schema.table` is quoted by itself."""
    closing = closing or opening
    return ".".join(f"{opening}{part.replace(closing, closing * 2)}{closing}" for part in name.split("."))


def quoted_column(name: str, opening: str = '"', closing: str = "") -> str:
    """Return a name of a column as SQL takes it; a dot in it is a part of it."""
    closing = closing or opening
    return f"{opening}{name.replace(closing, closing * 2)}{closing}"
