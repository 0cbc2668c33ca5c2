"""C10. A server that accepts and never answers: `timeout` naming the phase, within the time-out + 0.1 s: `soap`."""

import asyncio

import pytest

from probes.kinds.soap import SoapParams, run
from tests.probes.http_servers import context, serve, then_wait
from tests.probes.soap_servers import dan_cu


@pytest.mark.parametrize(("said", "phase"), [(b"", "first_byte"), (b"HTTP/1.1 200 OK\r\n\r\n<a", "transfer")])
async def test_c10_soap_names_the_phase_and_lets_go(said, phase):
    async with serve(then_wait(said)) as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(SoapParams(url=server.url, operation="a", namespace="b"), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == phase
        await server.drained()


async def test_c10_a_wsdl_that_never_comes_is_its_own_phase():
    async def script(request, reader, writer):
        if request.method == "POST":
            writer.write(dan_cu(request))
        else:
            await reader.read()

    async with serve(script) as server, context(0.5) as ctx:
        params = SoapParams(url=server.url, operation="GetStatus", namespace="urn:vn:gov:dan-cu", wsdl=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(params, ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == "wsdl"
        await server.drained()
