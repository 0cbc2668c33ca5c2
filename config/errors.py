"""What is wrong with a configuration: every problem at once, each with its place and, where there is one, a hint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from config.located import Place

SHOWN_LIMIT = 80
"""Characters of a configured value inside a message."""

_FEW = 8
_MANY = 500
_GUESSES_AMONG_MANY = 100
"""Looking for the nearest of thousands of ids is dear: so many problems get a guess, the rest go without."""

_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: relative to the configuration's directory (or the directory itself).
        line: from 1; 0 where there is none.
        message: one sentence; it never holds a secret.
        suggestion: what to do about it, or "".
        path: where in the file's structure, such as `targets[3].checks[0].interval`.
        column: from 1; 0 where there is none.
        row: which row of a template's lists it is about, or "".

    """

    file: str
    line: int
    message: str
    suggestion: str = ""
    path: str = ""
    column: int = 0
    row: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        row = f" ({self.row})" if self.row else ""
        hint = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}{row}: {self.message}{hint}"


class ConfigError(Exception):
    """The configuration cannot be used.

    Attributes:
        problems: all that is wrong, by file and line.

    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class Problems:
    """Collects problems while a configuration is read.

    Attributes:
        found: in the order in which they were found.
        secrets: texts that must not appear in any message.

    """

    found: list[Problem] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    _guesses: int = 0

    def add(self, place: Place, message: str, suggestion: str = "", path: str = "") -> None:
        """Note a problem at a place."""
        self.found.append(Problem(place.file, place.line, message, suggestion, path, place.column, place.row))

    def did_you_mean(self, word: str, known: Collection[str]) -> str:
        """Return `did you mean 'x'?` for the nearest known word, or ""."""
        if len(known) > _MANY:
            self._guesses += 1
            if self._guesses > _GUESSES_AMONG_MANY:
                return ""
        near = difflib.get_close_matches(word[:200], known, n=1)
        return f"did you mean {near[0]!r}?" if near else ""

    def nearest_or_all(self, word: str, known: Collection[str]) -> str:
        """Return the nearest known word as a question, else all of them if they are few, else ""."""
        hint = self.did_you_mean(word, known)
        return hint or (f"known: {', '.join(map(shown, known))}" if 0 < len(known) <= _FEW else "")

    def sorted(self) -> tuple[Problem, ...]:
        """Return the problems by file and line, those of one template line merged, without any secret."""
        return tuple(sorted(map(self._scrubbed, _merged(self.found)), key=_by_place))

    def _scrubbed(self, problem: Problem) -> Problem:
        message, suggestion = problem.message, problem.suggestion
        for secret in self.secrets:
            if len(secret) >= 4:  # shorter ones would blank out plain words; no message quotes them anyway
                message, suggestion = message.replace(secret, "•••"), suggestion.replace(secret, "•••")
        return replace(problem, message=message, suggestion=suggestion)


def shown(value: object) -> str:
    """Return a configured value as a message quotes it: printable, on one line, bounded."""
    text = repr(value)
    return text if len(text) <= SHOWN_LIMIT else text[: SHOWN_LIMIT - 1] + "…"


def _by_place(problem: Problem) -> tuple[str, int, int, str]:
    return problem.file, problem.line, problem.column, problem.message


def _merged(found: Iterable[Problem]) -> Iterable[Problem]:
    """Yield each problem once; one that a template repeats for row after row keeps its first row and a count.

    What rows say about a place that is wrong in the template itself follows from that, and is left out.
    """
    found = list(found)
    templates = {(problem.file, problem.line, problem.column) for problem in found if not problem.row}
    first: dict[tuple[object, ...], Problem] = {}
    more: dict[tuple[object, ...], int] = {}
    for problem in found:
        key: tuple[object, ...] = (problem.file, problem.line, problem.column, problem.message)
        if problem.row:
            if key[:3] in templates:
                continue
            key = (*key[:3], _PARTICULARS.sub("", problem.message), "rows")
        if key not in first:
            first[key] = problem
        elif problem.row != first[key].row:
            more[key] = more.get(key, 0) + 1
    for key, problem in first.items():
        count = more.get(key, 0)
        rows = f"{problem.row}; and {count} more row{'s' * (count > 1)}"
        yield replace(problem, row=rows) if count else problem
