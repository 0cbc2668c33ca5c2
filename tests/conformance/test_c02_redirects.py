"""C2. Endless redirects are down after the limit, the next URL never asked for; switched off, a 302 can be up."""

import pytest

from probes.model import Failure
from tests.probes.http_servers import check, redirect, reply, serve


def onward(request):
    return redirect(f"/{int(request.target[1:] or 0) + 1}")


@pytest.mark.parametrize("limit", [0, 1, 10])
async def test_c2_the_url_past_the_limit_is_never_asked_for(limit):
    async with serve(onward) as server:
        found = await check(server.url, max_redirects=limit)
        asked = [request.target for request in server.requests]
    assert found.failure is Failure.TOO_MANY_REDIRECTS
    assert asked == ["/", *(f"/{step}" for step in range(1, limit + 1))]
    assert found.message == f"more than {limit} redirects (next: {server.url}{limit + 1})"
    assert found.samples["redirects"] == limit


async def test_c2_as_many_redirects_as_the_limit_are_followed():
    def three_then_fine(request):
        return onward(request) if request.target != "/3" else reply(200, b"there")

    async with serve(three_then_fine) as server:
        found = await check(server.url, max_redirects=3)
    assert found.failure is None
    assert found.samples["redirects"] == 3
    assert found.facts["url"] == f"{server.url}3"


async def test_c2_redirects_off_and_302_allowed_is_up():
    async with serve(onward) as server:
        found = await check(server.url, follow_redirects=False, status=[302])
        assert len(server.requests) == 1
    assert found.failure is None
    assert found.samples["status"] == 302


async def test_c2_redirects_off_and_302_not_allowed_is_a_wrong_status():
    async with serve(onward) as server:
        found = await check(server.url, follow_redirects=False)
    assert found.failure is Failure.HTTP_STATUS


async def test_c2_trouble_behind_a_redirect_names_where_it_led(unused_tcp_port):
    async with serve(redirect(f"http://127.0.0.1:{unused_tcp_port}/x")) as server:
        found = await check(server.url)
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message == f"redirected to http://127.0.0.1:{unused_tcp_port}/x: connection refused in connect"
