"""C12: DNS: rcode not allowed → down though the query worked; no answers when answers are needed → `dns_answer`."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.dns_servers import a, always, name_server


async def result_of(reply, **parameters):
    async with name_server(reply) as server:
        return await run_once(prepare("dns", "example.vn", {"server": server.address, **parameters}), "test")


@pytest.mark.parametrize(
    ("rcode", "failure", "name"),
    [
        (3, Failure.DNS_NXDOMAIN, "NXDOMAIN"),
        (2, Failure.DNS_SERVFAIL, "SERVFAIL"),
        (5, Failure.DNS_ANSWER, "REFUSED"),
        (4, Failure.DNS_ANSWER, "NOTIMP"),
    ],
)
async def test_c12_a_code_that_is_not_allowed_is_down_though_the_query_worked(rcode, failure, name):
    result = await result_of(always(rcode=rcode))
    assert (result.state, result.failure) == (State.DOWN, failure)
    assert result.message == f"the server answered {name}, allowed is NOERROR"
    assert result.samples["rcode"] == rcode
    assert result.samples["query_s"] > 0


async def test_c12_no_answers_when_answers_are_needed():
    result = await result_of(always())
    assert (result.state, result.failure) == (State.DOWN, Failure.DNS_ANSWER)
    assert result.message == "0 A records, at least 1 needed"
    fewer = await result_of(always(a("192.0.2.1")), min_answers=2)
    assert fewer.failure is Failure.DNS_ANSWER
    assert (await result_of(always(), min_answers=0)).state is State.UP


async def test_c12_a_code_that_is_allowed_is_up_and_another_one_down():
    assert (await result_of(always(rcode=3), rcode=["NXDOMAIN"])).state is State.UP
    result = await result_of(always(a("192.0.2.1")), rcode=["NXDOMAIN"])
    assert (result.state, result.failure) == (State.DOWN, Failure.DNS_ANSWER)
    assert (await result_of(always(a("192.0.2.1")), rcode=["NXDOMAIN", "NOERROR"])).state is State.UP
