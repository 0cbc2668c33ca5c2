"""C10. A server that accepts and never answers: `timeout` naming the phase, within the time-out + 0.1 s: `grpc`."""

import asyncio

import pytest

from probes.kinds.grpc import GrpcParams, run
from tests.probes.http_servers import context, serve, then_wait


@pytest.mark.parametrize(("tls", "said", "phase"), [(False, b"", "first_byte"), (True, b"", "tls")])
async def test_c10_grpc_names_the_phase_and_lets_go(tls, said, phase):
    async with serve(then_wait(said), reads=False) as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(GrpcParams(address=server.address, tls=tls), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == phase
        await server.drained()
