"""Loads a configuration: a directory of files to one frozen inventory, or to all problems at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from config.basics import Model
from config.calendars import Holidays, ServiceHours
from config.checks import Checks
from config.cycles import find_cycles, graph_of
from config.errors import ConfigError, Problems
from config.explain import explain, field_names
from config.located import Map
from config.model import Agency, Inventory, Settings, Site
from config.modules import Module, ModuleFile
from config.modules import build as build_module
from config.routing import Routing
from config.secret_references import Secrets, step
from config.sections import Item, Sections, noun_of
from config.targets import Declared, Targets, WrittenTarget, check_references, complete

M = TypeVar("M", bound=Model)


def load(directory: Path, *, environ: Mapping[str, str]) -> Inventory:
    """Return the inventory that the files of a directory (and of those in it) describe.

    Args:
        directory: holds `*.yaml` and `*.yml` files, the CSV lists of templates and the files of secrets.
        environ: where `${env:NAME}` looks.

    Raises:
        ConfigError: with every problem of every file.

    """
    with _collector_at_rest():
        return _Loading(directory, environ).run()


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the cyclic garbage collector from looking, again and again, at a growing tree that is no garbage.

    It takes half of the time of loading 10,000 checks.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Loading:
    """One run of the loader."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._problems = Problems()
        self._secrets = Secrets(directory, environ, self._problems)
        self._sections = Sections(self._problems)

    def run(self) -> Inventory:
        """Read everything, check everything, and only then say what is wrong."""
        self._sections.read(self._directory)
        settings = self._settings()
        agencies = self._models("agencies", Agency)
        sites = self._models("sites", Site)
        hours = self._models("service_hours", ServiceHours)
        holidays = self._models("holidays", Holidays)
        written = self._targets()
        routing = Routing(self._sections, self._problems, self._secrets, settings.timezone)
        receivers, routes = routing.receivers(), routing.routes()
        modules = self._modules()
        maintenance, silences = routing.windows("maintenance"), routing.windows("silences")
        if self._sections.complete:
            ids = self._sections.ids
            declared = Declared(ids("agencies"), ids("sites"), ids("targets"), ids("service_hours"))
            check_references(written, declared, self._problems)
            routing.check_references()
        self._refuse_cycles(written)
        if self._problems.found:
            raise ConfigError(self._problems.sorted())
        return Inventory(
            settings=settings,
            agencies=agencies,
            sites=sites,
            targets=complete(written),
            receivers=receivers,
            routes=routes,
            maintenance=maintenance,
            silences=silences,
            service_hours=hours,
            modules=modules,
            holidays=holidays,
        )

    def _settings(self) -> Settings:
        """Merge the files' settings; each key may be set once."""
        merged: dict[str, Any] = {}
        places: dict[str, str] = {}
        for raw, path in self._sections.settings:
            self._secrets.refuse_references(raw, path, allowed=("store",))
            for key, value in raw.items():
                place = raw.place_of(key)
                if key in places:
                    message = f"the setting {key!r} is there twice, first at {places[key]}"
                    self._problems.add(place, message, path=step(path, key))
                places.setdefault(key, f"{place.file}:{place.line}")
                merged.setdefault(key, value)
            own = self._with_store(raw, path)
            if own is not None:
                try:
                    Settings.model_validate(own)
                except ValidationError as error:
                    explain(error, own, path, "settings", self._problems, Settings)
                    merged = {key: value for key, value in merged.items() if key not in own}
                else:
                    merged.update({"store": own["store"]} if "store" in own else {})
        return Settings.model_validate(merged)

    def _with_store(self, raw: Map, path: str) -> Map | None:
        """Return the settings with the references of `store` filled in; None when one cannot be."""
        store = raw.get("store")
        if not isinstance(store, str):
            return raw
        before = len(self._problems.found)
        place, at = raw.place_of("store"), step(path, "store")
        self._secrets.refuse_clear_text("store", store, place, at)
        filled = raw.copied(raw.source)
        filled["store"] = self._secrets.expand(store, place, at)
        return filled if len(self._problems.found) == before else None

    def _models(self, section: str, model: type[M]) -> dict[str, M]:
        """Validate the items of a section whose items are complete as they are written."""
        found: dict[str, M] = {}
        for raw, path in self._unique(section):
            try:
                found[raw["id"]] = model.model_validate(raw)
            except ValidationError as error:
                explain(error, raw, path, noun_of(section), self._problems, model)
        return found

    def _unique(self, section: str) -> Iterator[Item]:
        for item in self._sections.checked_ids(section):
            self._secrets.refuse_references(item.raw, item.path)
            yield item

    def _modules(self) -> dict[str, Module]:
        found: dict[str, Module] = {}
        for raw, path in self._sections.checked_ids("modules"):
            try:
                ModuleFile.model_validate({key: raw[key] for key in field_names(ModuleFile) if key in raw})
            except ValidationError as error:
                explain(error, raw, path, "module", self._problems, ModuleFile)
                continue
            module = build_module(raw, path, self._problems, self._secrets)
            if module is not None:
                found[module.id] = module
        return found

    def _targets(self) -> dict[str, WrittenTarget]:
        reader = Targets(self._problems, Checks(self._problems, self._secrets))
        found = {}
        for raw, path in self._sections.checked_ids("targets"):
            self._secrets.refuse_references(raw, path, allowed=("checks",))
            target = reader.read(raw, path)
            if target is not None:
                found[target.file.id] = target
        return found

    def _refuse_cycles(self, written: Mapping[str, WrittenTarget]) -> None:
        for cycle in find_cycles(graph_of(written)):
            raw, path, file, _ = written[cycle[0]]
            key = "members" if cycle[1] in file.members else "depends_on"
            message = f"targets lead back to themselves through depends_on or members: {' → '.join(cycle)}"
            self._problems.add(raw.place_of(key), message, "cut one of these", step(path, key))
