"""Completes and validates who is told what, and when not: receivers, routes, maintenance, silences."""

from __future__ import annotations

from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from alerts.registry import UnknownChannelError
from alerts.registry import find as find_channel
from config.errors import Problems, shown
from config.explain import explain, field_names, unknown_key
from config.files import from_directory
from config.located import Map, Seq
from config.model import Maintenance, Receiver, RouteRule, Silence
from config.secret_references import Secrets, secret_fields, step
from config.sections import Sections, noun_of
from config.written import ReceiverFile, WindowFile

_RECEIVER = field_names(ReceiverFile)

F = TypeVar("F", bound=BaseModel)


class Routing:
    """Makes receivers, routes and windows of what is written."""

    def __init__(self, sections: Sections, problems: Problems, secrets: Secrets, timezone: str) -> None:
        self._sections = sections
        self._problems = problems
        self._secrets = secrets
        self._zone = ZoneInfo(timezone)

    def receivers(self) -> dict[str, Receiver]:
        """Return the receivers by id; what is not in order is noted and left out."""
        found = {}
        for raw, path in self._sections.checked_ids("receivers"):
            head = self._validated(raw, path, "receiver", ReceiverFile, {k: raw[k] for k in _RECEIVER if k in raw})
            options = self._options(raw, path)
            if head is not None and options is not None:
                found[head.id] = Receiver(id=head.id, channel=head.channel, options=options)
        return found

    def _options(self, raw: Map, path: str) -> Any:
        """Return an instance of the channel's model, or None."""
        if not isinstance(raw.get("channel"), str):
            return None  # the receiver's model says so
        try:
            channel = find_channel(raw["channel"])
        except UnknownChannelError as error:
            message, _, hint = str(error).partition("; ")
            self._problems.add(raw.place_of("channel"), message, hint, step(path, "channel"))
            return None
        own = field_names(channel.options)
        for key in raw:
            if key not in own and key not in _RECEIVER:
                message, hint = unknown_key(key, "receiver", (*_RECEIVER, *own), self._problems)
                hint = hint if hint.startswith("did") else f"{channel.kind} has {', '.join(own)}"
                self._problems.add(raw.place_of(key), message, hint, step(path, key))
        before = len(self._problems.found)
        filled = self._secrets.fill(raw, path, secret_fields(channel.options), own)
        if len(self._problems.found) > before:
            return None
        written = from_directory({key: filled[key] for key in own if key in filled}, self._secrets.directory)
        return self._validated(filled, path, f"{channel.kind} receiver", channel.options, written)

    def routes(self) -> tuple[RouteRule, ...]:
        """Return the routes in the order of the files."""
        found = []
        for raw, path in self._sections.items["routes"]:
            self._secrets.refuse_references(raw, path)
            route = self._validated(raw, path, "route", RouteRule, raw)
            if route is not None:
                found.append(route)
        return tuple(found)

    def windows(self, section: str) -> tuple[Any, ...]:
        """Return the windows of `maintenance` or `silences`, their times with an offset."""
        model = Maintenance if section == "maintenance" else Silence
        found = []
        for raw, path in self._sections.items[section]:
            self._secrets.refuse_references(raw, path)
            window = self._validated(raw, path, noun_of(section), WindowFile, raw)
            if window is None:
                continue
            start, end = self._in_zone(window.from_), self._in_zone(window.to)
            if start >= end:
                message = f"the {noun_of(section)} ends before it begins"
                self._problems.add(raw.place_of("to"), message, path=step(path, "to"))
                continue
            found.append(model(**{"targets": window.targets, "from": start, "to": end, "reason": window.reason}))
        return tuple(found)

    def _in_zone(self, moment: Any) -> Any:
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)

    def _validated(self, raw: Map, path: str, noun: str, model: type[F], values: dict[str, Any]) -> F | None:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            explain(error, raw, path, noun, self._problems, model)
            return None

    def check_references(self) -> None:
        """Note every reference of a route, a window or service hours that leads nowhere."""
        for raw, path in self._sections.items["service_hours"]:
            self._check_list(raw, path, "holidays", "holidays", "calendar of holidays")
        for section in ("maintenance", "silences"):
            for raw, path in self._sections.items[section]:
                self._check_list(raw, path, "targets", "targets", "target")
        for raw, path in self._sections.items["routes"]:
            self._check_list(raw, path, "receivers", "receivers", "receiver")
            match = raw.get("match")
            if isinstance(match, Map):
                self._check_list(match, step(path, "match"), "target", "targets", "target")
                self._check_list(match, step(path, "match"), "agency", "agencies", "agency")

    def _check_list(self, raw: Map, path: str, key: str, section: str, noun: str) -> None:
        named = raw.get(key)
        if not isinstance(named, Seq):
            return
        known = self._sections.ids(section)
        for number, name in enumerate(named):
            if isinstance(name, str) and name not in known:
                at = step(step(path, key), number)
                hint = self._problems.nearest_or_all(name, known)
                self._problems.add(named.place_of(number), f"there is no {noun} {shown(name)}", hint, at)
