"""C10. A WebSocket server that never answers: `timeout` naming the phase, within the time-out + 0.1 s."""

import asyncio

import pytest

from probes.kinds.websocket import WebSocketParams, run
from tests.probes.http_servers import context, serve, then_wait
from tests.probes.test_websocket import upgraded

SILENT = {
    "says nothing": (then_wait(b""), "ws", {}, "upgrade"),
    "stops in the header": (then_wait(b"HTTP/1.1 101 X\r\nX: "), "ws", {}, "upgrade"),
    "shakes no hands": (then_wait(b""), "wss", {}, "tls"),
    "returns no pong": (upgraded(b""), "ws", {}, "ping"),
    "returns another pong": (upgraded(b"\x8a\x01x"), "ws", {}, "ping"),
    "says nothing in the dialogue": (upgraded(b""), "ws", {"ping": False, "dialogue": [{"expect": "x"}]}, "dialogue"),
}


@pytest.mark.parametrize(("script", "scheme", "more", "phase"), SILENT.values(), ids=SILENT.keys())
async def test_c10_websocket_names_the_phase_and_lets_go(script, scheme, more, phase):
    async with serve(script, reads=scheme == "ws") as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(WebSocketParams(url=f"{scheme}://{server.address}/", **more), ctx)
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1
        assert ctx.phases.current == phase
        await server.drained()
