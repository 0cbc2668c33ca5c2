"""What stands in the files, before it is completed: models whose only use is to check what was written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from config.basics import Id, Model, Name, Named
from config.model import AnyOf, Contract, Objective, TargetType
from probes.units import Duration


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            message = f"{value!r} is not a time: write such as 2026-10-01T22:00 or 2026-10-01T22:00+07:00"
            raise ValueError(message) from None
    raise ValueError("write a time such as 2026-10-01T22:00 or 2026-10-01T22:00+07:00")


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A time in ISO 8601; without an offset it is one of the configured time zone."""


def _dependency(value: Any) -> str:
    return "one" if isinstance(value, str) else "any of"


Dependency = Annotated[
    Annotated[str, Tag("one")] | Annotated[AnyOf, Tag("any of")],
    Discriminator(_dependency),
]


class TargetFile(Model):
    """A target as written; `checks` are read apart from it."""

    id: Id
    type: TargetType
    name: Named = Name()
    agency: str = ""
    site: str = ""
    criticality: int = Field(3, ge=1, le=4)
    members: tuple[str, ...] = ()
    policy: str = ""
    depends_on: tuple[Dependency, ...] = ()
    settle: Duration | None = Field(None, ge=0.0, le=86400.0)
    service_hours: str = ""
    objective: Objective = Objective()
    contract: Contract = Contract()
    labels: Mapping[str, str] = {}
    checks: Any = None


class WindowFile(Model):
    """A maintenance window or a silence as written."""

    targets: tuple[str, ...] = Field(min_length=1)
    from_: Moment = Field(alias="from")
    to: Moment
    reason: str = ""


class ReceiverFile(Model):
    """What every receiver has; the channel's own options stand beside these."""

    id: Id
    channel: str


class TemplateFile(Model):
    """One rule, many targets.

    Attributes:
        foreach: loop variable → a CSV list, or a list of rows or texts; several are nested loops, in their order.
        where: `variable.column` → the text, or one of the texts, that it must be.
        unless: the same, for the rows to leave out.

    """

    foreach: Mapping[str, Any] = Field(min_length=1)
    where: Mapping[str, Any] = {}
    unless: Mapping[str, Any] = {}
