"""What the kinds that look into a database are configured with alike: which role, how fresh, how far behind.

A source of data is one statement, or a table with a column: then the statement is made here, of quoted names, and
asks for one aggregate and no row.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from probes.model import Params
from probes.resolver import IpVersion
from probes.units import Duration, parse_duration

QUERY_LIMIT = 64 * 1024
NAME_LIMIT = 128
"""Characters of a name; SQL Server's and Oracle's own, and more than others take."""

TABLE_PARTS = 3
"""database.schema.table at most."""

Role = Literal["primary", "replica", "any"]
SessionUse = Annotated[
    Literal["new", "keep"],
    Field(description="new: log in each time, as a client does; keep: leave one session open from run to run."),
]
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
    """Something that should hold, and what it makes of the check when it does not."""

    state: RuleState = Field("down", description="What the check is when it does not hold: down or degraded.")


class Source(Rule):
    """Where one figure comes from."""

    query: Statement | None = Field(None, description="A statement; the first column of its first row is what counts.")
    table: TableName | None = Field(None, description="Instead of a query: the table to look at.")
    column: Name | None = Field(None, description="The table's column whose greatest value counts.")

    @model_validator(mode="after")
    def _is_one_source(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("write either a query or a table")
        if self.query is not None and self.column is not None:
            raise ValueError("a column belongs to a table, not to a query")
        return self


class Freshness(Source):
    """How old the newest data may be: a query gives its time or its age, or a table has a column of times."""

    max_age: Duration = Field(gt=0, description="Beyond it the data is stale.")

    @model_validator(mode="after")
    def _has_a_column(self) -> Self:
        if self.table is not None and self.column is None:
            raise ValueError("which column of the table tells its age?")
        return self


class Heartbeat(Params):
    """A table that the primary writes the time into, so that a replica knows how late it is."""

    table: TableName = Field(description="Where the time stands.")
    column: Name = Field(description="Its column; the greatest value counts.")


class Replication(Rule):
    """How replication should be. An idle primary is no lag; one that is stopped has no lag, it is stopped."""

    max_lag: Duration | None = Field(default=None, gt=0, description="How late a replica may be.")
    replicas: int = Field(default=0, ge=0, description="How many replicas a primary has at the least.")


class ReplicationByTable(Replication):
    """The same, where the lag can be measured by a table as well."""

    heartbeat: Heartbeat | None = Field(
        None, description="Measure the lag by a table that the primary writes the time into."
    )


STOPPED_DEGRADES = Replication(state="degraded")
"""What holds where nothing is written: a replica that replicates nothing degrades the check."""
STOPPED_DEGRADES_BY_TABLE = ReplicationByTable(state="degraded")
"""The same, for kinds with a heartbeat table."""


class InStep(Source):
    """Another database that should hold the same, asked by the same query; of a table without a column, rows count."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a kind adds how to reach it

    column: Name | None = Field(
        None, description="The table's column whose greatest value counts; without it, its rows are counted."
    )
    max_gap: Gap = Field(description="How far one may be behind the other: a number, or a duration for times.")


class DatabaseParams(Params):
    """Parameters that every kind has which looks into a database; a kind adds how to reach it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # there may be a secret in a dsn that is not one

    role: Role = Field("any", description="What the server should be: primary, replica or any.")
    replication: Replication = Field(STOPPED_DEGRADES, description="How replication should be.")
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version.")


class SqlParams(DatabaseParams):
    """Parameters that every kind has which speaks SQL."""

    query: Statement = Field("SELECT 1", description="One statement.")
    freshness: Freshness | None = Field(None, description="How old the newest data may be.")


def quoted(name: str, opening: str = '"', closing: str = "") -> str:
    """Return a name of a table as SQL takes it whatever is in it; each part of `schema.table` is quoted by itself."""
    closing = closing or opening
    return ".".join(f"{opening}{part.replace(closing, closing * 2)}{closing}" for part in name.split("."))


def quoted_column(name: str, opening: str = '"', closing: str = "") -> str:
    """Return a name of a column as SQL takes it; a dot in it is a part of it."""
    closing = closing or opening
    return f"{opening}{name.replace(closing, closing * 2)}{closing}"


def figure_sql(table: str, column: str | None, opening: str = '"', closing: str = "", count: str = "COUNT(*)") -> str:
    """Return the statement for one aggregate of a table: how many rows, or the greatest value of a column."""
    figure = count if column is None else f"MAX({quoted_column(column, opening, closing)})"
    return f"SELECT {figure} FROM {quoted(table, opening, closing)}"  # noqa: S608 - names are quoted
