"""Tries a proposed check with the very probe that would run it, gently: few at once, each with a short deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare
from monitor.runner import Observation, observe
from probes import registry
from probes.model import Context, Resources

AT_ONCE = 4
"""Probes that run side by side: whoever is looked at should not feel it."""

AGENT = "discover"


class Trials:
    """Runs probes for an engine.

    Args:
        timeout_s: of each.

    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.resources = Resources()
        self._seats = asyncio.Semaphore(AT_ONCE)

    async def run(self, kind: str, parameters: Mapping[str, Any]) -> Observation | None:
        """Run a probe once; None where there is no such kind here, or it does not take these parameters."""
        try:
            name = registry.find(kind).address
            rest = {key: value for key, value in parameters.items() if key != name}
            job = prepare(kind, str(parameters[name]), rest, self.timeout_s)
        except (WrongUseError, registry.UnknownKindError):
            return None
        async with self._seats:
            return await observe(job, self.resources, AGENT)

    async def is_up(self, kind: str, parameters: Mapping[str, Any]) -> bool:
        """Say whether a check with these parameters would be up."""
        seen = await self.run(kind, parameters)
        return seen is not None and seen.result.state is State.UP

    def context(self) -> Context:
        """Return a context for an engine that asks by itself."""
        loop = asyncio.get_running_loop()
        return Context(self.timeout_s, loop.time() + self.timeout_s, self.resources, check=AGENT)

    async def aclose(self) -> None:
        """Let go of what the probes shared."""
        await self.resources.aclose()
