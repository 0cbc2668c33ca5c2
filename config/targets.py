"""Completes and validates targets, and what is counted over them: members, policies, settle times, references."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from config.checks import Checks
from config.errors import Problems, shown
from config.explain import explain
from config.located import Map, Seq
from config.model import AnyOf, Check, Target
from config.secret_references import step
from config.written import TargetFile

DEFAULT_INTERVAL_S = 30.0
SETTLE_INTERVALS = 2

_POLICY = re.compile(r"([0-9]{1,4})-of-(n|[0-9]{1,4})\Z")
_POLICY_HINT = "write any, all, or such as 2-of-3 or 2-of-n"


class WrittenTarget(NamedTuple):
    """A target whose own keys are in order: as written, as read, and its checks."""

    raw: Map
    path: str
    file: TargetFile
    checks: tuple[Check, ...]


class Targets:
    """Makes targets of what is written."""

    def __init__(self, problems: Problems, checks: Checks) -> None:
        self._problems = problems
        self._checks = checks

    def read(self, raw: Map, path: str) -> WrittenTarget | None:
        """Return a target's own keys and checks, or None when they are not in order, which is noted."""
        before = len(self._problems.found)
        target = raw.get("id")
        checks = self._read_checks(raw, path, target if isinstance(target, str) else "?")
        try:
            file = TargetFile.model_validate(raw)
        except ValidationError as error:
            explain(error, raw, path, "target", self._problems, TargetFile)
            return None
        self._check_shape(file, raw, path)
        if len(self._problems.found) > before:
            return None
        return WrittenTarget(raw, path, file, checks)

    def _read_checks(self, raw: Map, path: str, target: str) -> tuple[Check, ...]:
        written, at = raw.get("checks"), step(path, "checks")
        if "checks" not in raw:
            return ()
        if not isinstance(written, Seq):
            hint = "begin each check with '- '"
            self._problems.add(raw.place_of("checks"), "'checks' must be a list", hint, at)
            return ()
        found: dict[str, Check] = {}
        for number, item in enumerate(written):
            check = self._checks.build(item, written, number, step(at, number), target)
            if check is None:
                continue
            if check.name in found:
                message = f"two checks of {shown(target)} have the name {check.name!r}"
                self._problems.add(written.place_of(number), message, "give one a 'check_name'", step(at, number))
            found[check.name] = check
        return tuple(found.values())

    def _check_shape(self, file: TargetFile, raw: Map, path: str) -> None:
        if not raw.get("checks") and not file.members:
            missing = "members" if file.type == "group" else "checks or members"
            self._problems.add(raw.place, f"the target {shown(file.id)} has no {missing}", path=path)
        elif file.type == "group" and not file.members:
            self._problems.add(raw.place, f"the group {shown(file.id)} has no members", path=path)
        seen: set[str] = set()
        for number, member in enumerate(file.members):
            if member in seen:
                place, at = raw["members"].place_of(number), step(step(path, "members"), number)
                self._problems.add(place, f"the member {shown(member)} stands here twice", path=at)
            seen.add(member)
        if file.policy:
            trouble, hint = _policy_trouble(file)
            if trouble:
                self._problems.add(raw.place_of("policy"), trouble, hint, step(path, "policy"))


def _policy_trouble(file: TargetFile) -> tuple[str, str]:
    if not file.members:
        return "'policy' needs 'members'", ""
    match = _POLICY.match(file.policy)
    if file.policy in ("any", "all"):
        return "", ""
    if match is None:
        return f"'policy' is {shown(file.policy)}", _POLICY_HINT
    needed, count = int(match[1]), len(file.members)
    if match[2] != "n" and int(match[2]) != count:
        return f"'policy' speaks of {match[2]} members, there are {count}", f"write {needed}-of-n"
    if not 1 <= needed <= count:
        return f"'policy' needs {needed} of {count} members: that can never be", ""
    return "", ""


def need_of(file: TargetFile) -> tuple[str, int]:
    """Return a target's policy and how many of its members must be up.

    Without a policy a link needs one of its members (its channels back each other up), anything else all.
    """
    if not file.members:
        return "all", 0
    policy = file.policy or ("any" if file.type == "link" else "all")
    if policy in ("any", "all"):
        return policy, 1 if policy == "any" else len(file.members)
    return policy, int(policy.partition("-")[0])


def complete(written: Mapping[str, WrittenTarget]) -> dict[str, Target]:
    """Return the targets with everything filled in; their references are in order."""
    intervals: dict[str, float] = {}
    targets = {}
    for target, (_, _, file, checks) in written.items():
        policy, need = need_of(file)
        settle = file.settle
        if settle is None:
            settle = SETTLE_INTERVALS * _smallest_interval(target, written, intervals)
        targets[target] = Target(
            id=file.id,
            type=file.type,
            name=file.name,
            agency=file.agency,
            site=file.site,
            criticality=file.criticality,
            members=file.members,
            policy=policy,
            need=need,
            depends_on=file.depends_on,
            settle_s=settle,
            service_hours=file.service_hours,
            objective=file.objective,
            contract=file.contract,
            labels=file.labels,
            checks=checks,
        )
    return targets


def _smallest_interval(target: str, written: Mapping[str, WrittenTarget], known: dict[str, float]) -> float:
    """Return the smallest interval of a target's checks, and of its members' where it has none (30 s at worst).

    Members have no cycles here, but they may be as deep as the file is long: no recursion.
    """
    waiting = [target]
    while waiting:
        one = waiting[-1]
        missing = [m for m in written[one].file.members if m not in known and not written[one].checks]
        if missing:
            waiting.extend(missing)
            continue
        own = [check.interval_s for check in written[one].checks]
        theirs = [] if own else [known[member] for member in written[one].file.members]
        known[one] = min(own or theirs or [DEFAULT_INTERVAL_S])
        waiting.pop()
    return known[target]


class Declared(NamedTuple):
    """The ids that may be referred to, those of faulty items too: a mistake in one is not a mistake in others."""

    agencies: Collection[str]
    sites: Collection[str]
    targets: Collection[str]
    service_hours: Collection[str]


def check_references(written: Mapping[str, WrittenTarget], declared: Declared, problems: Problems) -> None:
    """Note every reference of a target that leads nowhere."""
    for raw, path, file, _ in written.values():
        for key, noun, known in (
            ("agency", "is no agency", declared.agencies),
            ("site", "is no site", declared.sites),
            ("service_hours", "are no service hours", declared.service_hours),
        ):
            named = getattr(file, key)
            if named and named not in known:
                hint = problems.nearest_or_all(named, known)
                problems.add(raw.place_of(key), f"there {noun} {shown(named)}", hint, step(path, key))
        for key, number, named in _named_targets(file):
            if named not in declared.targets:
                holder: Any = raw[key]
                hint = problems.nearest_or_all(named, declared.targets)
                at = step(step(path, key), number)
                problems.add(holder.place_of(number), f"there is no target {shown(named)}", hint, at)


def _named_targets(file: TargetFile) -> Iterator[tuple[str, int, str]]:
    """Yield (key, index, id) for every target that a target refers to."""
    for number, member in enumerate(file.members):
        yield "members", number, member
    for number, entry in enumerate(file.depends_on):
        for named in entry.any if isinstance(entry, AnyOf) else (entry,):
            yield "depends_on", number, named
