"""Reads YAML text into located values, within bounds.

PyYAML's C parser gives events; the tree is built here without recursion, because its composer recurses in C and
takes the whole process down on a deeply nested file (docs/decisions/0040-yaml-events.md). Refused is what a
configuration must not have: tags, a key twice, a second document, and aliases that unfold into more than the bound
("billion laughs").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from config.errors import Problems, shown
from config.located import COLUMN_BITS, Map, Place, Seq, Source, packed
from config.scalars import resolve

DEPTH_LIMIT = 64
NODES_LIMIT = 2_000_000
"""Values in a whole configuration, aliases and templates unfolded; 10,000 checks written one by one are 400,000."""

_STRING_TAGS = ("tag:yaml.org,2002:str", "!")
_CONTAINER_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_NO_KEY = object()
_KEY_MUST_BE_TEXT = "a key must be text, not a list or a mapping"
_TAB_HINT = "a tab cannot indent YAML: use spaces"
_QUOTE_HINT = "put a text that holds ': ' or ' #', or begins with a sign such as { [ & * ! % @ `, in quotes"


class UnreadableError(Exception):
    """The file could not be read to its end; the problem is noted already."""


class Budget:
    """How many values may still be made."""

    def __init__(self, limit: int = NODES_LIMIT) -> None:
        self.limit = limit
        self.spent = 0

    def spend(self, count: int) -> bool:
        """Spend; return False when the limit is passed."""
        self.spent += count
        return self.spent <= self.limit


def read_yaml(data: bytes, file: str, problems: Problems, budget: Budget) -> Any:
    """Return what the file says: a Map, a Seq, a scalar, or None for an empty file.

    Raises UnreadableError when the rest of the file could not be read. Other problems (a key twice, a tag) are
    noted, and reading goes on.
    """
    source = Source(file)
    text = _decoded(data, file, problems)
    builder = _Builder(source, problems, budget)
    handlers = builder.handlers
    parser = yaml.CSafeLoader(text)
    try:
        event = parser.get_event()
        while type(event) is not yaml.StreamEndEvent:
            handlers[type(event)](event)
            event = parser.get_event()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = packed(mark.line, mark.column) if mark else 0
        lines = text.split(b"\n")
        line = lines[mark.line] if mark and mark.line < len(lines) else b""
        problems.add(source.place(at), *_syntax(error, line))
        raise UnreadableError from None
    except yaml.reader.ReaderError as error:
        line_number = text.count(b"\n", 0, error.position) + 1
        problems.add(Place(file, line_number), "the file holds a character that YAML does not allow")
        raise UnreadableError from None
    finally:
        parser.dispose()
    return builder.root


def _decoded(data: bytes, file: str, problems: Problems) -> bytes:
    text = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        problems.add(Place(file, line), "the file is not UTF-8", "save it with the encoding UTF-8")
        raise UnreadableError from None
    return text


def _syntax(error: yaml.MarkedYAMLError, line: bytes) -> tuple[str, str]:
    problem = error.problem or "not YAML"
    message = f"this is not YAML: {problem}"
    if b"\t" in line[: len(line) - len(line.lstrip())] or ("cannot start any token" in problem and b"\t" in line):
        return message, _TAB_HINT
    if "mapping values are not allowed" in problem or "cannot start any token" in problem:
        return message, _QUOTE_HINT
    if "did not find expected" in problem:
        return message, "look for a wrong indentation, or a bracket or quote that is not closed, in or above this line"
    return message, ""


class _Frame:
    """A container that is being filled; `key` is the one whose value comes next."""

    __slots__ = ("anchor", "container", "is_map", "key", "key_at", "merges", "spent")

    def __init__(self, container: Map | Seq, anchor: str | None, spent: int) -> None:
        self.container = container
        self.is_map = type(container) is Map
        self.anchor = anchor
        self.spent = spent
        self.key: Any = _NO_KEY
        self.key_at = 0
        self.merges: list[Any] | None = None


class _Builder:
    """Builds located values from events."""

    def __init__(self, source: Source, problems: Problems, budget: Budget) -> None:
        self.root: Any = None
        self._source = source
        self._problems = problems
        self._budget = budget
        self._frames: list[_Frame] = []
        self._documents = 0
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._resolved: dict[str, Any] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.StreamStartEvent: _pass_over,
            yaml.DocumentStartEvent: self._document,
            yaml.DocumentEndEvent: _pass_over,
        }

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._give_up(_at(event), "a second document begins here", "keep one document in each file")

    def _scalar(self, event: Any) -> None:
        value = event.value
        text = None
        if event.tag is None:
            if event.implicit[0]:
                text = value
                # The same few keys, words and numbers stand in thousands of places.
                value = self._resolved.get(text, _NO_KEY)
                if value is _NO_KEY:
                    value = self._resolved[text] = resolve(text)
        elif event.tag not in _STRING_TAGS:
            self._refuse_tag(event)
        mark = event.start_mark
        at = (mark.line + 1) << COLUMN_BITS | (mark.column + 1)  # `packed`, without a call for each of 300,000
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._take(value, at, text)

    def _start(self, event: Any) -> None:
        at = _at(event)
        if event.tag not in _CONTAINER_TAGS:
            self._refuse_tag(event)
        if len(self._frames) >= DEPTH_LIMIT:
            self._give_up(at, f"the file nests deeper than {DEPTH_LIMIT} levels")
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.is_map and frame.key is _NO_KEY:
            self._give_up(at, _KEY_MUST_BE_TEXT, "put a value that begins with { or [ in quotes")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        container = (Map if type(event) is yaml.MappingStartEvent else Seq)(self._source, at)
        self._frames.append(_Frame(container, event.anchor, self._budget.spent))

    def _end(self, _: Any) -> None:
        frame = self._frames.pop()
        container = frame.container
        if frame.merges is not None and isinstance(container, Map):
            self._merge(container, frame.merges)
        self._spend(len(container) + 1, container.at)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (container, self._budget.spent - frame.spent)
        self._take(container, container.at, None)

    def _alias(self, event: Any) -> None:
        at = _at(event)
        known = self._anchors.get(event.anchor)
        if known is None:
            inside = event.anchor in self._anchors
            message = f"*{event.anchor} stands inside itself" if inside else f"there is no anchor &{event.anchor} above"
            self._give_up(at, message)
            return
        value, weight = known
        self._spend(weight, at)
        self._take(value, at, None)

    def _take(self, value: Any, at: int, text: str | None) -> None:
        """Put a key or value where it belongs; `text` is a plain scalar as written."""
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        container, key = frame.container, frame.key
        if isinstance(container, Seq):
            key = len(container)
            container.append(value)
            container.items_at.append(at)
        elif key is _NO_KEY:
            if type(value) is str and value not in container and value != "<<":
                frame.key, frame.key_at = value, at
            else:
                self._take_odd_key(frame, value, text, at)
            return
        else:
            frame.key = _NO_KEY
            if key == "<<" and frame.merges is not None:
                frame.merges.append((value, at))
                return
            if key in container:
                return  # noted with its key; the first one stays
            container[key] = value
            container.keys_at[key] = frame.key_at
        if type(value) is str:
            if "{" in value:
                container.marked = True
        elif text is not None:
            container.written[key] = text
        elif not container.marked:
            container.marked = getattr(value, "marked", False)

    def _take_odd_key(self, frame: _Frame, key: Any, text: str | None, at: int) -> None:
        """Take a key that is not text, that is there already, or that merges (`<<`)."""
        if type(key) is not str:
            if text is None:
                self._give_up(at, _KEY_MUST_BE_TEXT)
            self._problems.add(self._source.place(at), f"the key {text} is not text to YAML", f'write "{text}"')
            key = str(text)
        elif key in frame.container:
            first = frame.container.place_of(key).line
            self._problems.add(self._source.place(at), f"the key {shown(key)} stands here twice, first in line {first}")
        elif text is not None and frame.merges is None:
            frame.merges = []
        frame.key, frame.key_at = key, at

    def _merge(self, into: Map, merges: list[Any]) -> None:
        """Apply `<<` (yaml.org/type/merge.html): what stands in the mapping itself wins, then the earlier source."""
        for value, at in merges:
            for base in value if type(value) is Seq else [value]:
                if type(base) is not Map:
                    self._problems.add(
                        self._source.place(at), "<< needs a mapping, or a list of them, such as *defaults"
                    )
                    continue
                for key, item in base.items():
                    if key not in into:
                        into[key] = item
                        into.keys_at[key] = base.keys_at[key]
                        if key in base.written:
                            into.written[key] = base.written[key]
                into.marked = into.marked or base.marked

    def _spend(self, count: int, at: int) -> None:
        if not self._budget.spend(count):
            self._give_up(at, f"the configuration holds more than {self._budget.limit} values")

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._problems.add(self._source.place(_at(event)), f"tags are not allowed here: {shown(tag)}", "remove it")

    def _give_up(self, at: int, message: str, suggestion: str = "") -> None:
        self._problems.add(self._source.place(at), message, suggestion)
        raise UnreadableError


def _at(event: Any) -> int:
    mark = event.start_mark
    return packed(mark.line, mark.column)


def _pass_over(_: Any) -> None:
    """Take an event that says nothing."""
