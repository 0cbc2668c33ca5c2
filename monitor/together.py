"""Figures of several targets together: of a group, an agency, a province, a programme.

Seconds are added up, percentages never averaged. A target counts wherever it belongs: a link and its two channels are
three targets of their agency. So the parts of an agency, a province or a programme add up to the whole, what belongs
to none of them (`""`) included; a target may be a member of several groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from alerts.availability import Availability, combine

PROGRAMME = "programme"
"""The label that says which programme a target is part of."""

By = Literal["target", "group", "agency", "province", "programme"]


class Facts(NamedTuple):
    """What a target belongs to; `members` are those of a group, or of a link of several channels."""

    agency: str = ""
    province: str = ""
    programme: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Together:
    """Several targets.

    Attributes:
        by, id: what they have in common.
        figures: their time, added up; the objective is there when they all have the same one.
        targets: how many they are; met, missed: how many of them met or missed their own objectives.

    """

    by: By
    id: str
    figures: Availability
    targets: int
    met: int
    missed: int

    def as_json(self) -> dict[str, Any]:
        """Return the figures as of a target, with what they are of in the place of `target`."""
        figures = self.figures.as_json()
        del figures["target"]
        counts = {"targets": self.targets, "targets_met": self.met, "targets_missed": self.missed}
        return {self.by: self.id, **counts, **figures}


def together(by: By, figures: Sequence[Availability], facts: Mapping[str, Facts]) -> list[Together]:
    """Add up figures by what their targets belong to, in the order in which each appears."""
    parts: dict[str, list[Availability]] = {}
    if by == "group":
        of_target = {figure.target: figure for figure in figures}
        for target in of_target:
            members = [of_target[member] for member in facts[target].members if member in of_target]
            if members:
                parts[target] = members
    else:
        for figure in figures:
            known = figure.target if by == "target" else getattr(facts[figure.target], by)
            parts.setdefault(known, []).append(figure)
    return [_added(by, id_, part) for id_, part in parts.items()]


def _added(by: By, id_: str, figures: Sequence[Availability]) -> Together:
    objectives = {figure.objective for figure in figures}
    common = objectives.pop() if len(objectives) == 1 else None
    return Together(
        by,
        id_,
        combine(figures, target=id_, objective=common),
        targets=len(figures),
        met=sum(figure.met is True for figure in figures),
        missed=sum(figure.met is False for figure in figures),
    )


def figures_to_json(figures: Availability) -> dict[str, Any]:
    """Return figures as they are kept: milliseconds, from which everything shown follows."""
    return asdict(figures)


def figures_of_json(found: Mapping[str, Any]) -> Availability:
    """Return figures that were kept."""
    return Availability(**found)


def facts_of_json(found: Mapping[str, Any]) -> Facts:
    """Return facts that were kept."""
    return Facts(**{**found, "members": tuple(found["members"])})


def of_agency(figures: Iterable[Availability], facts: Mapping[str, Facts], agency: str) -> list[Availability]:
    """Return the figures of one agency's targets."""
    return [figure for figure in figures if facts[figure.target].agency == agency]
