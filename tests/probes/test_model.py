"""The phases of a run and the resources that outlive it."""

import asyncio

import pytest

from probes.model import Failure, Layer, Phases, Resources


def test_repeated_phases_add_up_and_the_current_one_is_known() -> None:
    phases = Phases()
    phases.begin("connect")
    phases.begin("tls")
    phases.begin("connect")
    assert phases.current == "connect"
    phases.end()
    assert set(phases.samples) == {"connect_s", "tls_s"}
    assert phases.current == ""


def test_the_layer_of_a_failure_is_the_one_of_the_specification() -> None:
    assert Failure.DNS_TIMEOUT.layer is Layer.NAME
    assert Failure.TIMEOUT.layer is Layer.APPLICATION
    assert Failure.PERMISSION.layer is Layer.SELF
    assert len(Failure) == 33


class Closable:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    async def aclose(self) -> None:
        self.log.append(self.name)


async def test_a_resource_is_opened_once_and_closed_last_first() -> None:
    resources, log, openings = Resources(), [], []

    async def opening(name: str) -> Closable:
        openings.append(name)
        await asyncio.sleep(0)
        return Closable(log, name)

    first, again = await asyncio.gather(
        resources.open("a", lambda: opening("a")), resources.open("a", lambda: opening("a"))
    )
    assert first is again
    await resources.open("b", lambda: opening("b"))
    await resources.aclose()
    assert openings == ["a", "b"]
    assert log == ["b", "a"]


async def test_a_failed_opening_is_tried_again() -> None:
    resources, tries = Resources(), []

    async def opening() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise PermissionError
        return "open"

    with pytest.raises(PermissionError):
        await resources.open("a", opening)
    assert await resources.open("a", opening) == "open"


async def test_one_that_stops_waiting_does_not_spoil_it_for_the_others() -> None:
    resources, gate = Resources(), asyncio.Event()

    async def opening() -> str:
        await gate.wait()
        return "open"

    impatient = asyncio.create_task(resources.open("a", opening))
    patient = asyncio.create_task(resources.open("a", opening))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    gate.set()
    assert await patient == "open"
