"""One rule, many targets: fills a template once for every row of its lists.

`{variable.column}` in a text is replaced by that row's field, and `{variable}` by an item of a plain list, where
`variable` is one that the template's `foreach` declares. Every other brace stays as it is, so that JSON bodies,
regular expressions and CEL survive. What a list gives is text, as written there: `01` stays `01`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from pydantic import ValidationError

from config.errors import Problems, shown
from config.explain import explain, field_names
from config.files import ROWS_LIMIT, Table, Tables
from config.located import Map, Place, Seq, Source, written
from config.secret_references import step
from config.written import TemplateFile
from config.yaml_reader import Budget, UnreadableError

_PLACEHOLDER = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_ITEM = ""
"""Column of a plain list: `{variable}` alone names it."""


class _Row(NamedTuple):
    """What one turn of the loops fills in, and how messages name it."""

    fields: Mapping[tuple[str, str], str]
    name: str


class Templates:
    """Expands templates."""

    def __init__(self, tables: Tables, problems: Problems, budget: Budget) -> None:
        self._tables = tables
        self._problems = problems
        self._budget = budget

    def expand(self, template: Map, path: str, sections: tuple[str, ...]) -> Iterator[tuple[str, Any, str]]:
        """Yield (section, item, path) for all that a template makes; what is not in order is noted.

        Raises UnreadableError when that is more than the budget allows.
        """
        if not self._is_good(template, path, sections):
            return
        tables = self._lists(template["foreach"], step(path, "foreach"))
        if tables is None:
            return
        filters = self._filters(template, path, tables)
        if filters is None:
            return
        if prod(len(table.rows) for table in tables.values()) > ROWS_LIMIT:
            self._problems.add(template.place, f"the lists have more than {ROWS_LIMIT} combinations", path=path)
            return
        planner = _Planner(tables, self._problems)
        plans = [
            (section, items[number], planner.plan(items, number, step(at, number)), step(at, number))
            for section, items, at in (
                (name, template[name], step(path, name)) for name in sections if name in template
            )
            for number in range(len(items))
        ]
        weight = sum(_weight(plan) for _, _, plan, _ in plans)
        for row in _rows(tables):
            if not _passes(row, *filters):
                continue
            if not self._budget.spend(weight):
                self._problems.add(template.place, f"the configuration holds more than {self._budget.limit} values")
                raise UnreadableError
            source = Source(template.source.file, row.name)
            for section, item, plan, at in plans:
                yield section, item if plan is None else plan.fill(row, source), at

    def _is_good(self, template: Map, path: str, sections: tuple[str, ...]) -> bool:
        before = len(self._problems.found)
        head = {key: value for key, value in template.items() if key not in sections}
        try:
            TemplateFile.model_validate(head)
        except ValidationError as error:
            known = {*field_names(TemplateFile), *sections}
            explain(error, template, path, "template", self._problems, TemplateFile, known)
        for section in sections:
            if section in template and not isinstance(template[section], Seq):
                place, at = template.place_of(section), step(path, section)
                self._problems.add(place, f"{section!r} must be a list", "begin each item with '- '", at)
        if not any(section in template for section in sections):
            self._problems.add(template.place, "the template makes nothing", "give it targets", path)
        return len(self._problems.found) == before

    def _lists(self, foreach: Map, path: str) -> dict[str, Table] | None:
        tables = {}
        for variable, listed in foreach.items():
            place, at = foreach.place_of(variable), step(path, variable)
            if not variable.isidentifier():
                self._problems.add(place, f"{shown(variable)} cannot be a variable", "use letters, digits and _", at)
            elif isinstance(listed, str):
                table = self._tables.find(listed, place, at)
                if table is not None:
                    tables[variable] = table
            elif isinstance(listed, Seq):
                table = self._inline(variable, listed, at)
                if table is not None:
                    tables[variable] = table
            else:
                message = f"{variable!r} must be the name of a CSV list, or a list"
                self._problems.add(place, message, "such as provinces.csv or [a, b]", at)
        return tables if len(tables) == len(foreach) else None

    def _inline(self, variable: str, listed: Seq, path: str) -> Table | None:
        """Return the table of a list that stands in the template: of rows, or of plain texts."""
        first = listed[0] if listed else None
        columns = tuple(first) if isinstance(first, Map) else (_ITEM,)
        rows: list[tuple[str, ...]] = []
        for number, item in enumerate(listed):
            place, at = listed.place_of(number), step(path, number)
            if isinstance(item, Map) is not isinstance(first, Map) or isinstance(item, Seq) or item is None:
                self._problems.add(place, f"the items of {variable!r} must all be texts, or all mappings", path=at)
                return None
            if not isinstance(item, Map):
                rows.append((written(listed, number),))
                continue
            if set(item) != set(columns) or any(isinstance(value, Map | Seq) for value in item.values()):
                expected = ", ".join(columns)
                self._problems.add(place, f"every row of {variable!r} must have exactly the texts {expected}", path=at)
                return None
            rows.append(tuple("" if item[column] is None else written(item, column) for column in columns))
        return Table("", columns, tuple(rows))

    def _filters(
        self, template: Map, path: str, tables: Mapping[str, Table]
    ) -> tuple[dict[tuple[str, str], frozenset[str]], ...] | None:
        filters = []
        for key in ("where", "unless"):
            wanted: dict[tuple[str, str], frozenset[str]] = {}
            conditions = template.get(key, {})
            for name, value in conditions.items():
                variable, _, column = name.partition(".")
                place, at = conditions.place_of(name), step(step(path, key), name)
                if variable not in tables or column not in tables[variable].columns:
                    known = [f"{v}.{c}".rstrip(".") for v, table in tables.items() for c in table.columns]
                    hint = self._problems.did_you_mean(name, known) or f"there are {', '.join(known)}"
                    self._problems.add(place, f"the lists have no {name!r}", hint, at)
                    return None
                if isinstance(value, Map) or value is None:
                    self._problems.add(place, f"{name!r} must be a text or a list of texts", path=at)
                    return None
                several = isinstance(value, Seq)
                texts = [written(value, n) for n in range(len(value))] if several else [written(conditions, name)]
                wanted[variable, column] = frozenset(texts)
            filters.append(wanted)
        return tuple(filters)


def _rows(tables: Mapping[str, Table]) -> Iterator[_Row]:
    """Yield the rows of nested loops, the first variable outermost."""
    names = list(tables)

    def turn(depth: int, fields: dict[tuple[str, str], str], name: str) -> Iterator[_Row]:
        if depth == len(names):
            yield _Row(fields, name)
            return
        variable, table = names[depth], tables[names[depth]]
        for number, row in enumerate(table.rows, 1):
            here = {(variable, column): value for column, value in zip(table.columns, row, strict=True)}
            where = f"row {number} of {table.name}" if table.name else f"item {number} of {variable}"
            mine = f"{where}, {variable} = {row[0]}"
            yield from turn(depth + 1, {**fields, **here}, f"{name}; {mine}" if name else mine)

    return turn(0, {}, "")


def _passes(
    row: _Row, where: Mapping[tuple[str, str], frozenset[str]], unless: Mapping[tuple[str, str], frozenset[str]]
) -> bool:
    wanted = all(row.fields[name] in texts for name, texts in where.items())
    return wanted and not (unless and all(row.fields[name] in texts for name, texts in unless.items()))


class _Text(NamedTuple):
    """A text with places to fill: literal text and names of fields, in order."""

    parts: tuple[str | tuple[str, str], ...]

    def fill(self, row: _Row, _: Source) -> str:
        """Return the text of one row."""
        return "".join([part if type(part) is str else row.fields[part] for part in self.parts])  # type: ignore[index]


class _Container(NamedTuple):
    """A mapping or list of which some members are filled; the others are shared by all rows."""

    value: Map | Seq
    plans: tuple[tuple[Any, _Text | _Container], ...]

    def fill(self, row: _Row, source: Source) -> Map | Seq:
        """Return the container of one row."""
        copy = self.value.copied(source)
        for key, plan in self.plans:
            copy[key] = plan.fill(row, source)
        return copy


class _Planner:
    """Finds, once for all rows, what there is to fill in a part of a template; notes what no list can fill."""

    def __init__(self, tables: Mapping[str, Table], problems: Problems) -> None:
        self._tables = tables
        self._problems = problems

    def plan(self, container: Map | Seq, key: Any, path: str) -> _Text | _Container | None:
        """Return the plan for a container's member, or None when nothing in it is to be filled."""
        value = container[key]
        if isinstance(value, str):
            return self._text(value, container.place_of(key), path) if "{" in value else None
        if not isinstance(value, Map | Seq) or not value.marked:
            return None
        keys = range(len(value)) if isinstance(value, Seq) else value
        plans = ((member, self.plan(value, member, step(path, member))) for member in keys)
        return _Container(value, tuple((member, plan) for member, plan in plans if plan is not None))

    def _text(self, text: str, place: Place, path: str) -> _Text | None:
        parts: list[str | tuple[str, str]] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            field = (found[1], found[2] or _ITEM)
            if self._is_known(field, found[0], place, path):
                parts += [text[end : found.start()], field]
                end = found.end()
        return _Text((*parts, text[end:])) if parts else None

    def _is_known(self, field: tuple[str, str], written_as: str, place: Place, path: str) -> bool:
        variable, column = field
        name = written_as[1:-1]
        if variable in self._tables:
            known = [f"{variable}.{each}".rstrip(".") for each in self._tables[variable].columns]
            if name not in known:
                hint = self._problems.did_you_mean(name, known) or f"there are {', '.join(known)}"
                self._problems.add(place, f"the list has no {name!r}", hint, path)
            return name in known
        if column:
            hint = self._problems.did_you_mean(variable, list(self._tables))
            if hint:
                self._problems.add(place, f"no variable {variable!r} is declared in 'foreach'", hint, path)
        return False


def _weight(plan: _Text | _Container | None) -> int:
    """Return how many values one row's copy holds."""
    if not isinstance(plan, _Container):
        return 1
    return len(plan.value) + sum(_weight(inner) for _, inner in plan.plans)
