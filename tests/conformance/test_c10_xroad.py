"""C10. A server that accepts and never answers: `timeout` naming the phase, within the time-out + 0.1 s: `xroad`."""

import asyncio

import pytest

from probes.kinds.xroad import run
from probes.xroad_params import XroadParams
from tests.probes.http_servers import context, serve, then_wait
from tests.probes.xroad_servers import SecurityServer

WHO = {"client": "VN/GOV/BTC/THUE", "service": "VN/GOV/BCA/DANCU/khac"}


@pytest.mark.parametrize("params", [WHO, {**WHO, "protocol": "rest"}, {"mode": "health"}, {"mode": "configuration"}])
async def test_c10_xroad_names_the_phase_and_lets_go(params):
    async with serve(then_wait(b"")) as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(XroadParams(url=server.url, **params), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == "first_byte"
        await server.drained()


async def test_c10_xroad_a_second_question_is_its_own_phase():
    own = SecurityServer()

    async def script(request, reader, writer):
        if own.asked:
            await reader.read()
        else:
            writer.write(own(request))

    async with serve(script) as server, context(0.5) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(XroadParams(url=server.url, **WHO), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == "list"
        await server.drained()
