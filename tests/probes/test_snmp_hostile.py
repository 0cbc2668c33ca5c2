"""Agents that lie, repeat themselves, never end or lose packets; their messages are made by pysnmp and pyasn1."""

import asyncio
import itertools

import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.api import v2c

from probes.failures import TroubleError
from probes.model import Failure
from probes.resolver import numeric
from probes.snmp_ber import oid, suffix
from probes.snmp_security import CommunitySecurity
from probes.snmp_session import Session
from probes.snmp_walk import walk
from tests.probes.snmp_fixtures import agent
from tests.probes.tcp_servers import measure

ENTRY = "1.3.6.1.2.1.2.2.1"
UP_TIME = "1.3.6.1.2.1.1.3.0"
COLUMNS = (oid(f"{ENTRY}.2"), oid(f"{ENTRY}.8"))


class Question:
    """A request as pysnmp reads it."""

    def __init__(self, data):
        self.message, _ = decoder.decode(data, asn1Spec=v2c.Message())
        self.pdu = v2c.apiMessage.get_pdu(self.message)
        self.is_bulk = self.pdu.isSameTypeWith(v2c.GetBulkRequestPDU())
        self.names = [str(name) for name, _ in v2c.apiPDU.get_varbinds(self.pdu)]
        self.repetitions = int(self.pdu[2]) if self.is_bulk else 0

    def answer(self, bindings, status=0, index=0, id_offset=0):
        """Return an answer to it."""
        response = v2c.GetResponsePDU()
        v2c.apiPDU.set_defaults(response)
        v2c.apiPDU.set_request_id(response, int(v2c.apiPDU.get_request_id(self.pdu)) + id_offset)
        v2c.apiPDU.set_error_status(response, status)
        v2c.apiPDU.set_error_index(response, index)
        v2c.apiPDU.set_varbinds(response, bindings)
        message = v2c.Message()
        v2c.apiMessage.set_defaults(message)
        v2c.apiMessage.set_community(message, "other")
        v2c.apiMessage.set_pdu(message, response)
        return encoder.encode(message)

    def rows(self, count, last=10, value=lambda column, index: v2c.OctetString(f"{column}/{index}")):
        """Return what an honest agent says: `count` rows of a table that ends at `last`, after the up-time."""
        bindings = [(UP_TIME, v2c.TimeTicks(100))]
        for row in range(1, count + 1):
            for name in self.names[1:]:
                column, _, index = name.removeprefix(ENTRY).strip(".").partition(".")
                number = int(index or 0) + row
                if number > last:
                    bindings.append(("1.3.6.1.9.9", v2c.Integer32(1)))
                else:
                    bindings.append((f"{ENTRY}.{column}.{number}", value(column, number)))
        return bindings


async def walked(reply, timeout_s=3.0, limit=100, answer_bytes=1400):
    """Walk two columns of an agent that answers a Question with what `reply` makes of it."""
    async with agent(lambda data: reply(Question(data))) as address:
        until = asyncio.get_running_loop().time() + timeout_s
        port = int(address.rpartition(":")[2])
        session = Session(numeric("127.0.0.1"), port, CommunitySecurity("x"), lambda: until, answer_bytes)
        try:
            return await walk(session, COLUMNS, limit), session
        finally:
            session.close()


def whole(columns):
    return [sorted(column) for column in columns] == [[suffix((n,)) for n in range(1, 11)]] * 2


async def test_an_honest_agent_of_another_make():
    columns, session = await walked(lambda q: [q.answer(q.rows(q.repetitions))])
    assert whole(columns)
    assert columns[0][suffix((3,))].value == b"2/3"
    assert (session.retries, session.ignored) == (0, 0)
    assert columns[0][suffix((3,))].stamp.ticks == 100


async def test_one_row_at_a_time():
    columns, session = await walked(lambda q: [q.answer(q.rows(1))])
    assert whole(columns)
    assert session.requests == 11


async def test_an_answer_that_is_cut_off_in_the_middle_of_a_row():
    columns, _ = await walked(lambda q: [q.answer(q.rows(q.repetitions)[:4])])
    assert whole(columns)


async def test_too_big_is_asked_for_less():
    def reply(question):
        rows = question.rows(question.repetitions)
        return [question.answer(rows) if question.repetitions <= 2 else question.answer([], status=1)]

    assert whole((await walked(reply))[0])


@pytest.mark.parametrize(
    ("status", "index", "failure", "message"),
    [
        (1, 0, Failure.QUERY_FAILED, "the agent answers tooBig"),
        (5, 2, Failure.QUERY_FAILED, f"the agent answers genErr at {ENTRY}.2.1"),
        (16, 0, Failure.AUTH_REJECTED, "the agent answers authorizationError"),
        (6, 99, Failure.AUTH_REJECTED, "the agent answers noAccess"),
        (13, 0, Failure.QUERY_FAILED, "the agent answers resourceUnavailable"),
    ],
)
async def test_errors_have_their_names(status, index, failure, message):
    with pytest.raises(TroubleError) as raised:
        await walked(lambda q: [q.answer(q.rows(1), status, index)])
    assert (raised.value.failure, raised.value.message) == (failure, message)


async def test_names_that_do_not_increase_are_the_end():
    with pytest.raises(TroubleError, match="do not increase") as raised:
        await walked(
            lambda q: [q.answer([(UP_TIME, v2c.TimeTicks(1)), *[(f"{ENTRY}.{c}.5", v2c.Null()) for c in (2, 8)]])]
        )
    assert raised.value.failure is Failure.PROTOCOL


async def test_a_table_without_an_end_is_the_end():
    with pytest.raises(TroubleError, match="more than 100 rows") as raised:
        await walked(lambda q: [q.answer(q.rows(q.repetitions, last=10**9))])
    assert raised.value.failure is Failure.BODY_TOO_LARGE


@pytest.mark.parametrize("bindings", [[], [(UP_TIME, v2c.TimeTicks(1))]])
async def test_an_answer_with_nothing_in_it(bindings):
    with pytest.raises(TroubleError, match=r"with (nothing|less)"):
        await walked(lambda q: [q.answer(bindings)])


async def test_repeated_forged_and_late_answers_are_ignored():
    earlier = []

    def reply(question):
        forged = question.answer(question.rows(1, value=lambda *_: v2c.OctetString("forged")), id_offset=1)
        good = question.answer(question.rows(question.repetitions))
        earlier.append(good)
        return [*earlier[:-1], forged, b"", b"\x30\x03\x02\x01\x00", good, good]

    columns, session = await walked(reply, answer_bytes=484)
    assert whole(columns)
    assert all(cell.value != b"forged" for column in columns for cell in column.values())
    assert session.ignored > 3


async def test_lost_packets_are_asked_for_again_and_for_less():
    count = itertools.count()
    asked = []

    def reply(question):
        asked.append(question.repetitions)
        return [] if next(count) == 0 else [question.answer(question.rows(question.repetitions))]

    columns, session = await walked(reply)
    assert whole(columns)
    assert session.retries == 1
    assert asked[1] == asked[0] // 2


async def test_many_forgeries_are_somebodys_doing(monkeypatch):
    monkeypatch.setattr("probes.snmp_session.IGNORED_LIMIT", 100)  # what a socket's buffer holds of one burst
    with pytest.raises(TroubleError, match="datagrams came that do not answer"):
        await walked(lambda q: [b"\x30\x00"] * 150)


async def test_a_get_that_is_answered_with_other_objects():
    def reply(data):
        question = Question(data)
        return [question.answer([("1.3.6.1.5", v2c.Integer32(1)) for _ in question.names])]

    async with agent(reply) as address:
        found = await measure("snmp", address, community="x")
    assert found.failure is Failure.PROTOCOL


@pytest.mark.parametrize(
    "value", [v2c.OctetString("x" * 1200), v2c.Integer32(-1), v2c.Null(), v2c.IpAddress("1.2.3.4")]
)
async def test_values_of_the_wrong_type_are_absent_or_broken_but_no_crash(value):
    for parameters in ({}, {"interfaces": "all"}, {"interface": "1"}):
        given = set()

        def reply(data, given=given):
            question = Question(data)
            if not question.is_bulk:
                return [question.answer([(name, value) for name in question.names])]
            bindings = [(UP_TIME, v2c.TimeTicks(1))]
            for name in question.names[1:]:
                bindings.append(("1.3.6.1.9.9" if name in given else f"{name}.1", value))
                given.add(f"{name}.1")
            return [question.answer(bindings)]

        async with agent(reply) as address:
            found = await measure("snmp", address, community="x", **parameters)
        assert found.failure in (None, Failure.PROTOCOL, Failure.QUERY_FAILED)
        assert len(found.message) <= 300
