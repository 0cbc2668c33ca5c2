"""When a service is promised: days of the week, times of the day, holidays, and the days worked in their place."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.basics import Id, Model, Name, Named, checked
from config.hours import parse_days, parse_hours


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        message = f"{value!r} is not a day: write such as 2026-09-02"
        raise ValueError(message) from None


Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar, in the configured time zone."""

HOLIDAY_DAYS = 366
"""Longest holiday: whoever writes a longer one has mistaken the year."""


class Holiday(Model):
    """One day off, or all days from the first to the last, both included."""

    day: Day | None = None
    from_: Day | None = Field(None, alias="from")
    to: Day | None = None
    name: Named = Name()

    @model_validator(mode="after")
    def _is_one_day_or_several(self) -> Self:
        if (self.day is None) is (self.from_ is None) or (self.from_ is None) is not (self.to is None):
            raise ValueError("write either 'day', or 'from' and 'to'")
        if self.from_ is not None and self.to is not None and not 0 <= (self.to - self.from_).days < HOLIDAY_DAYS:
            message = f"it lasts from {self.from_} to {self.to}: it ends before it begins, or is longer than a year"
            raise ValueError(message)
        return self

    @property
    def days(self) -> list[date]:
        """All its days."""
        first, last = self.day or self.from_, self.day or self.to
        if first is None or last is None:
            return []
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]


class Holidays(Model):
    """A calendar of days off, and of the days that are worked in their place.

    Attributes:
        days: on these no service is promised.
        works_on: on these it is, whatever day of the week they are: what a swap of days has made working days.

    """

    id: Id
    name: Named = Name()
    days: tuple[Holiday, ...] = ()
    works_on: tuple[Day, ...] = ()

    @model_validator(mode="after")
    def _no_day_is_both(self) -> Self:
        both = sorted(self.days_off & set(self.works_on))
        if both:
            message = f"{both[0]} is both a day off and a day that is worked"
            raise ValueError(message)
        return self

    @property
    def days_off(self) -> frozenset[date]:
        """Every day off."""
        return frozenset(day for holiday in self.days for day in holiday.days)


class ServiceHours(Model):
    """When a service is promised, in the configured time zone.

    Attributes:
        days: days of the week and ranges of them, such as `mon-fri` or `mon,wed,sat`.
        hours: times of the day, such as `08:00-17:00` or `07:30-11:30,13:00-16:30`; the end is not in it.
        holidays: ids of the calendars whose days off are not served; what one of them works on is.

    """

    id: Id
    days: Annotated[str, AfterValidator(checked(parse_days))] = "mon-sun"
    hours: Annotated[str, AfterValidator(checked(parse_hours))] = "00:00-24:00"
    holidays: tuple[str, ...] = ()
