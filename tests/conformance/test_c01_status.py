"""C1. 200, 201, 299 are up; 300 and 404 are down. With 404 allowed and 201 not, the reverse."""

import pytest

from probes.model import Failure
from tests.probes.http_servers import check, reply, serve


@pytest.mark.parametrize("status", [200, 201, 299])
async def test_c1_a_status_of_the_class_2xx_is_up(status):
    async with serve(reply(status, b"x")) as server:
        found = await check(server.url)
    assert (found.failure, found.message) == (None, "")
    assert found.samples["status"] == status


@pytest.mark.parametrize("status", [300, 404, 199, 500])
async def test_c1_any_other_status_is_down_and_named(status):
    answer = reply(status, b"x") if status != 199 else b"HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n"
    shown = 599 if status == 199 else status
    async with serve(answer) as server:
        found = await check(server.url)
    assert found.failure is Failure.HTTP_STATUS
    assert found.message == f"status not in [2xx] (status = {shown})"
    assert found.samples["status"] == shown


@pytest.mark.parametrize(("status", "failure"), [(404, None), (201, Failure.HTTP_STATUS), (200, None)])
async def test_c1_with_404_allowed_and_201_not_the_reverse(status, failure):
    async with serve(reply(status, b"x")) as server:
        found = await check(server.url, status=[404, 200])
    assert found.failure is failure
    if failure:
        assert found.message == "status not in [404, 200] (status = 201)"
