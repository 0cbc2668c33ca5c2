"""C3. A forbidden pattern in the body holds, and the size is still reported; an absent required one is named."""

from probes.conditions import compile_condition
from probes.kinds.http import PROBE
from tests.probes.http_servers import check, reply, serve

BODY = "Hệ thống bảo trì: vui lòng quay lại sau".encode()


async def test_c3_a_forbidden_pattern_holds_and_the_size_is_still_reported():
    async with serve(reply(200, BODY, "Content-Type: text/plain; charset=utf-8")) as server:
        found = await check(server.url)
    holds, message = compile_condition("body.matches('bảo\\\\s+trì')", PROBE).holds(found, 0.01)
    assert holds
    assert "bảo" in message
    assert found.samples["body_bytes"] == len(BODY)


async def test_c3_of_two_required_patterns_the_absent_one_is_named():
    async with serve(reply(200, BODY)) as server:
        found = await check(server.url)
    rules = [compile_condition(f"!body.contains('{word}')", PROBE) for word in ("Hệ thống", "sẵn sàng")]
    outcomes = [rule.holds(found, 0.01) for rule in rules]
    assert [holds for holds, _ in outcomes] == [False, True]
    assert "sẵn sàng" in outcomes[1][1]
