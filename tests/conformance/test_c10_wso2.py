"""C10. A server that accepts and never answers: `timeout` naming the phase, within the time-out + 0.1 s: `wso2`."""

import asyncio

import pytest

from probes.kinds.wso2 import run
from probes.wso2_params import Wso2Params
from tests.probes.http_servers import context, serve, then_wait

LOGIN = {"basic_auth": {"username": "a", "password": "b"}}


@pytest.mark.parametrize(
    ("params", "phase"),
    [({}, "first_byte"), ({"mode": "integrator"}, "first_byte"), ({"mode": "management", **LOGIN}, "token")],
)
async def test_c10_wso2_names_the_phase_and_lets_go(params, phase):
    async with serve(then_wait(b"")) as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(Wso2Params(url=server.url, **params), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == phase
        await server.drained()
