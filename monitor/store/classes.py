"""The tables that are classes: inventory, incidents, notifications; and the metadata of all tables.

Every change here needs a migration, as `tables` says.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Boolean, Double, Index, MetaData, SmallInteger, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables; names of constraints are fixed here so that migrations can speak of them on every database."""


def is_kept_by(table: Table, dialect: str) -> bool:
    """Say whether a database of that kind has this table."""
    return bool(table.info.get("only", dialect) == dialect)


PENDING, CLAIMED, DELIVERED, GIVEN_UP = 0, 1, 2, 3
"""What `notifications.status` holds."""


class Base(SQLModel):
    """Base of the classes; it gives them the store's own metadata."""

    metadata: ClassVar[MetaData] = metadata


class AgencyRow(Base, table=True):
    """An agency. `position` is its place in the configuration; `removed_ms` says since when it is not there."""

    __tablename__ = "agencies"
    id: str = Field(primary_key=True)
    name_vi: str
    name_en: str
    position: int
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)


class SiteRow(Base, table=True):
    """A site."""

    __tablename__ = "sites"
    id: str = Field(primary_key=True)
    name_vi: str
    name_en: str
    province: str
    lat: float | None = Field(default=None, sa_type=Double)
    lon: float | None = Field(default=None, sa_type=Double)
    position: int
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)


class TargetRow(Base, table=True):
    """A target. `members` and `parents` are JSON arrays of ids, `objective` and `contract` JSON objects."""

    __tablename__ = "targets"
    id: str = Field(primary_key=True)
    type: str
    name_vi: str
    name_en: str
    agency: str
    site: str
    criticality: int = Field(sa_type=SmallInteger)
    policy: str
    service_hours: str
    members: str = Field(sa_type=Text)
    parents: str = Field(sa_type=Text)
    objective: str = Field(sa_type=Text)
    contract: str = Field(sa_type=Text)
    labels: str = Field(sa_type=Text)
    position: int
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)


class CheckRow(Base, table=True):
    """A check; `no` stands for it in results and is never given to another one.

    `address` is shown to people: it carries no credentials. `first_ms` is the start of its first result. A row
    with an empty `probe` was never in the configuration: its results were imported.
    """

    __tablename__ = "checks"
    no: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    target: str = Field(index=True)
    name: str
    probe: str
    address: str = Field(sa_type=Text)
    interval_s: float = Field(sa_type=Double)
    critical: bool = Field(sa_type=Boolean)
    position: int
    first_ms: int | None = Field(default=None, sa_type=BigInteger)
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)


class IncidentRow(Base, table=True):
    """An incident. `impact`, `announced` and `timeline` are JSON arrays."""

    __tablename__ = "incidents"
    __table_args__ = (Index("ix_incidents_phase_opened_ms", "phase", "opened_ms"),)
    id: str = Field(primary_key=True)
    target: str
    severity: int = Field(sa_type=SmallInteger)
    started_ms: int = Field(sa_type=BigInteger)
    opened_ms: int = Field(sa_type=BigInteger)
    reason: str
    message: str = Field(sa_type=Text)
    impact: str = Field(sa_type=Text)
    phase: str
    resolved_ms: int | None = Field(default=None, sa_type=BigInteger)
    announced: str = Field(sa_type=Text)
    timeline: str = Field(sa_type=Text)


class IncidentTargetRow(Base, table=True):
    """Which targets an incident is about: its cause and all that it has hurt."""

    __tablename__ = "incident_targets"
    target: str = Field(primary_key=True)
    incident: str = Field(primary_key=True, foreign_key="incidents.id")


class NotificationRow(Base, table=True):
    """A notification: pending from `due_ms`, claimed until `lease_ms`, then delivered, or given up."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("incident", "kind", "receiver", "at_ms"),
        Index(
            "ix_notifications_due_ms", "due_ms", sqlite_where=text("status < 2"), postgresql_where=text("status < 2")
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    incident: str
    kind: str
    receiver: str
    at_ms: int = Field(sa_type=BigInteger)
    targets: str = Field(sa_type=Text)
    status: int = Field(sa_type=SmallInteger)
    attempts: int
    due_ms: int = Field(sa_type=BigInteger)
    lease_ms: int | None = Field(default=None, sa_type=BigInteger)
    delivered_ms: int | None = Field(default=None, sa_type=BigInteger)
    error: str = Field(sa_type=Text)
