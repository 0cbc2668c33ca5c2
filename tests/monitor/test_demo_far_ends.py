"""The far ends of the simulated country, seen by clients that know nothing of them: what was said is what happens."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from xml.etree import ElementTree as ET

import aiohttp
import asyncpg
import orjson
import pytest

from monitor.demo import weather
from monitor.demo.country import Country, start
from monitor.demo.geography import round_trip_s
from monitor.demo.stage import HandClock
from tests.monitor.demo_clients import AGE, NEWEST, ROWS, connects, fetch, log_in, look_up, move, stamp, truth

FAULT = "{http://schemas.xmlsoap.org/soap/envelope/}Fault"


@pytest.fixture
async def country(tmp_path: Path) -> AsyncIterator[Country]:
    country = await start(tmp_path, scale=0.0, clock=HandClock())
    yield country
    await country.close()


async def test_a_channel_delays_as_its_weather_has_it(country: Country) -> None:
    name, length_km = "link-ca-mau-a", country.plan.links["link-ca-mau"].channels[0].length_km
    answers = await stamp(country.address_of(name), 100)
    same = weather.channel(1, name, round_trip_s(length_km))
    drawn = {n: same.one_way_s(0) + same.one_way_s(0) for n in range(100) if not same.loses(0.0)}
    assert set(answers.rtt_s) == set(drawn)
    excess = [answers.rtt_s[n] - drawn[n] for n in drawn]
    # Never less than the cable's, and beyond it only what loopback and this client add.
    assert min(excess) > -2e-6
    assert median(excess) < 0.005


async def test_a_cut_channel_is_silent_and_the_other_one_is_not(country: Country) -> None:
    await move(country, 30)
    cut, other = (country.address_of(f"link-lao-cai-{letter}") for letter in "ba")
    assert (await stamp(cut, 10)).lost == 10
    assert (await stamp(other, 10)).lost == 0
    await move(country, 100)
    assert (await stamp(cut, 10)).lost == 0


async def test_a_fibre_cut_takes_the_province_and_what_is_behind_it(country: Country) -> None:
    lgsp = country.address_of("lgsp-cao-bang")
    await move(country, 80)
    assert (await stamp(country.address_of("link-cao-bang-a"), 5)).lost == 5
    assert (await fetch(country, "lgsp-cao-bang")).status == 200, "the other channel carries it"
    await move(country, 110)
    assert (await stamp(country.address_of("link-cao-bang-b"), 5)).lost == 5
    assert await connects(lgsp) == "silent"
    assert await connects(lgsp) == "silent"
    await move(country, 205)
    assert await connects(lgsp) == "connected"
    assert (await fetch(country, "lgsp-cao-bang")).status == 200


async def test_lost_packets_are_those_that_the_far_end_counts(country: Country) -> None:
    await move(country, 320)
    reflector = country.reflectors["link-dak-lak-a"]
    answers = await stamp(country.address_of("link-dak-lak-a"), 400, wait_s=0.3)
    assert (reflector.received, reflector.lost, reflector.answered) == (400, answers.lost, 400 - answers.lost)
    assert 0.5 < answers.lost / 400 < 0.7


async def test_a_detour_is_longer_by_what_the_script_says(country: Country) -> None:
    usual = await stamp(country.address_of("link-ca-mau-a"), 20)
    await move(country, 450)
    longer = await stamp(country.address_of("link-ca-mau-a"), 20, wait_s=1.0)
    assert 0.10 < median(longer.rtt_s.values()) - median(usual.rtt_s.values()) < 0.13


async def test_packets_that_are_no_test_packets_are_dropped(country: Country) -> None:
    address = country.address_of("link-ca-mau-b")
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=address
    )
    for junk in (b"x", b"x" * 43, b""):
        transport.sendto(junk)
    assert (await stamp(address, 3)).lost == 0
    transport.close()
    assert country.reflectors["link-ca-mau-b"].answered == 3


async def test_rest_xroad_and_soap_answer_with_metadata_that_says_it_is_simulated(country: Country) -> None:
    rest, xroad, soap = [await fetch(country, s) for s in ("gw-ndop", "ndxp-dan-cu", "ndxp-ho-tich")]
    health = orjson.loads(rest.body)
    assert (health["status"], health["service"], health["simulated"]) == ("UP", "gw-ndop", True)
    service = orjson.loads(xroad.body)["service"][0]
    assert (service["memberCode"], service["subsystemCode"]) == ("bca", "ndxp-dan-cu")
    assert orjson.loads(xroad.body)["simulated"] is True
    assert ET.fromstring(soap.body)[0].find(FAULT) is None
    assert "dữ liệu mô phỏng" in soap.body.decode()
    assert (await fetch(country, "gw-ndop", "/nothing")).status == 404


async def test_a_soap_fault_hides_in_a_200(country: Country) -> None:
    await move(country, 180)
    page = await fetch(country, "ndxp-ho-tich")
    assert page.status == 200
    fault = ET.fromstring(page.body)[0].find(FAULT)
    assert fault is not None
    assert fault.findtext("faultcode") == "soap:Server"


async def test_a_certificate_runs_out_and_is_renewed(country: Country) -> None:
    assert (await fetch(country, "dvc-quoc-gia")).status == 200
    await move(country, 45)
    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        await fetch(country, "dvc-quoc-gia")
    error = caught.value.certificate_error
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert error.verify_code == 10  # X509_V_ERR_CERT_HAS_EXPIRED
    assert (await fetch(country, "vneid")).status == 200
    await move(country, 165)
    assert (await fetch(country, "dvc-quoc-gia")).status == 200


async def test_a_gateway_slows_down(country: Country) -> None:
    before = await fetch(country, "gw-ndop")
    await move(country, 61)
    during = await fetch(country, "gw-ndop")
    assert (before.status, during.status) == (200, 200)
    assert before.duration_s < 0.8 < during.duration_s


async def test_an_endpoint_flaps(country: Country) -> None:
    statuses = []
    for at in (254, 256, 257.5, 260, 262, 264):
        await move(country, at)
        statuses.append((await fetch(country, "lgsp-can-tho")).status)
    assert statuses == [200, 503, 200, 503, 503, 200]


async def test_a_gateway_takes_its_connectors_with_it(country: Country) -> None:
    behind = [s.id for s in country.plan.services.values() if s.host == "gw-tai-chinh"]
    assert len(behind) == 7
    open_session = await log_in(country, "csdl-doanh-nghiep")
    await move(country, 315)
    assert {await connects(country.address_of(service)) for service in behind} == {"refused"}
    assert await connects(country.address_of("csdl-dat-dai")) == "connected"
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresConnectionError, ConnectionError)):
        await open_session.fetchval("SELECT 1")
    await move(country, 400)
    assert {await connects(country.address_of(service)) for service in behind} == {"connected"}


async def test_a_service_says_in_a_200_that_it_is_not_well(country: Country) -> None:
    await move(country, 430)
    page = await fetch(country, "cong-du-lieu")
    assert (page.status, orjson.loads(page.body)["status"]) == (200, "DOWN")


async def test_a_database_answers_and_its_newest_row_is_fresh_until_it_stalls(country: Country) -> None:
    async def age_s() -> float:
        connection = await log_in(country, "csdl-dat-dai")
        newest, age = await connection.fetchval(NEWEST), await connection.fetchval(AGE)
        assert await connection.fetchval(ROWS) >= 1200
        await connection.close()
        assert (datetime.now(UTC) - newest).total_seconds() == pytest.approx(age, abs=2)
        return age

    for at, least, most in ((129, 0, 10), (140, 8, 20), (195, 63, 75), (280, 148, 160), (290, 0, 10)):
        await move(country, at)
        assert least <= await age_s() <= most


async def test_a_login_is_refused(country: Country) -> None:
    await move(country, 500)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(country, "csdl-y-te")
    await (await log_in(country, "csdl-tiem-chung")).close()


async def test_the_simulated_postgresql_speaks_its_protocol(country: Country) -> None:
    for changed, error in (
        ({"password": "wrong"}, asyncpg.InvalidPasswordError),
        ({"user": "postgres"}, asyncpg.InvalidPasswordError),
        ({"database": "nothing"}, asyncpg.InvalidCatalogNameError),
        ({"ssl": "require"}, ConnectionError),
    ):
        with pytest.raises(error):
            await log_in(country, "csdl-dan-cu", **changed)
    connection = await log_in(country, "csdl-dan-cu")
    assert await connection.execute("SET statement_timeout = '1s'; SELECT 1") == "SELECT 1"
    assert await connection.fetchval("  select   1 ;") == 1
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.fetch("SELECT * FROM cong_dan")
    async with connection.transaction(readonly=True):
        assert [dict(row) async for row in connection.cursor(ROWS)] == [{"so_ban_ghi": 1200}]
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute("DROP TABLE dong_bo")
    await connection.reset()
    await connection.close()


NONSENSE = (
    b"\0",
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\0\0\0\x08\0\3\0\0",
    b"\0\0\0\x0b\0\3\0\0a\0\0p\0\0\0\x05x",
    b"\0\0\0\x0b\0\3\0\0a\0\0p\xff\xff\xff\xff",
    b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\1",
)


async def test_nonsense_does_not_hurt_the_database(country: Country) -> None:
    for octets in NONSENSE:
        reader, writer = await asyncio.open_connection(*country.address_of("csdl-dan-cu"))
        writer.write(octets)
        writer.write_eof()
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert not answer.startswith(b"R\0\0\0\x08\0\0\0\0"), "nobody is let in without a password"
    connection = await log_in(country, "csdl-dan-cu")
    await connection.close()


async def test_names_are_answered_and_then_not(country: Country) -> None:
    server, name = country.address_of("dns-tslcd-2"), "ndxp.mo-phong.test"
    expected = bytes(map(int, country.address_of("ndxp-dan-cu")[0].split(".")))
    rcode, found, flags = await look_up(server, name)
    assert (rcode, found, flags & 0x8400) == (0, [expected], 0x8400)
    assert (await look_up(server, "NDXP.mo-phong.TEST"))[1] == [expected]
    assert (await look_up(server, name, type_=28))[:2] == (0, [])
    assert (await look_up(server, "nobody.mo-phong.test"))[:2] == (3, [])
    assert (await look_up(server, "example.com"))[:2] == (5, [])
    await move(country, 390)
    assert (await look_up(server, name))[:2] == (2, [])
    assert (await look_up(country.address_of("dns-tslcd-1"), name))[0] == 0
    await move(country, 440)
    assert (await look_up(server, name))[:2] == (0, [])


async def test_a_mail_server_greets_and_takes_nothing(country: Country) -> None:
    reader, writer = await asyncio.open_connection(*country.address_of("thu-cong-vu-1"))
    assert (await reader.readline()).startswith(b"220 thu-cong-vu-1.mo-phong.test")
    writer.write(b"EHLO test\r\nMAIL FROM:<a@b.test>\r\nQUIT\r\n")
    answer = await reader.read()
    assert answer.splitlines()[2].startswith(b"250 ")
    assert b"502 " in answer
    writer.close()


async def test_the_truth_is_logged_in_order_with_what_should_be_seen(country: Country) -> None:
    await move(country, 650)
    lines = truth(country)
    assert [line["script_s"] for line in lines] == sorted(line["script_s"] for line in lines)
    first = country.stage.script.cycle(0)
    assert {(f.what, f.where) for f in first} <= {(line["what"], line["where"]) for line in lines}
    for fault in first:
        mine = [line for line in lines if (line["what"], line["where"]) == (fault.what, fault.where)]
        assert [line["event"] for line in mine[:2]] == ["began", "ended"]
        begin, end = (datetime.fromisoformat(mine[0][key]) for key in ("from", "to"))
        assert (end - begin).total_seconds() == pytest.approx(fault.to_s - fault.from_s, abs=0.01)
    (outage,) = (line for line in lines if line["what"] == "gateway_outage" and line["event"] == "began")
    assert outage["expect"]["csdl-thue"] == {"state": "down", "reason": "connect_refused"}
    assert abs(datetime.fromisoformat(outage["at"]).timestamp() - (time.time() - 650 + 310)) < 5


async def test_notifications_are_received_and_written_down(country: Country) -> None:
    settings = (country.config / "settings.yaml").read_text()
    url = next(word for word in settings.split() if word.endswith("/noc"))
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"subject": "x"}) as response:
            assert response.status == 200
        async with session.post(url, data=b"not json") as response:
            assert response.status == 400
    assert [orjson.loads(line) for line in country.told.read_bytes().splitlines()] == [
        {"path": "/noc", "told": {"subject": "x"}}
    ]
