"""The kind `grpc`: against a real grpcio server with its health service, and against peers that mean harm."""

import asyncio

import grpc as grpcio
import grpc.aio
import hpack
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import ValidationError

from probes import grpc_health
from probes.failures import TroubleError
from probes.kinds import grpc
from probes.kinds.grpc import PROBE, GrpcParams
from probes.model import Failure
from tests.probes.http_servers import context, serve
from tests.probes.test_http2 import BEGIN, DATA, END_HEADERS, END_STREAM, HEADERS, frame, script

pytest_plugins = ["tests.probes.http_fixtures"]

STATUS = health_pb2.HealthCheckResponse


@pytest.fixture
async def server(authority, tmp_path):
    """A server that speaks plainly, over TLS, and over TLS to those with a certificate."""
    certificate, key = (file.read_bytes() for file in authority.files(tmp_path))
    root = authority.file.read_bytes()
    service = grpc_health_servicer()
    running = grpcio.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(service, running)
    plain = running.add_insecure_port("127.0.0.1:0")
    safe = running.add_secure_port("127.0.0.1:0", grpcio.ssl_server_credentials([(key, certificate)]))
    mutual = running.add_secure_port(
        "127.0.0.1:0", grpcio.ssl_server_credentials([(key, certificate)], root, require_client_auth=True)
    )
    await running.start()
    yield {"plain": f"127.0.0.1:{plain}", "safe": f"127.0.0.1:{safe}", "mutual": f"127.0.0.1:{mutual}"}
    await running.stop(None)


def grpc_health_servicer():
    service = health.HealthServicer(experimental_non_blocking=True)
    service.set("", STATUS.SERVING)
    service.set("kho", STATUS.NOT_SERVING)
    service.set("danh-muc", STATUS.UNKNOWN)
    return service


async def check(address, timeout_s=5.0, **params):
    async with context(timeout_s) as ctx, asyncio.timeout(timeout_s):
        return await grpc.run(GrpcParams(address=address, **params), ctx)


async def test_a_server_that_serves_is_up_and_every_documented_sample_is_measured(server, authority):
    found = await check(server["safe"], tls=True, ca_file=authority.file)
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == set(PROBE.samples)
    assert found.samples["serving_status"] == 1
    assert {name: found.facts[name] for name in PROBE.facts}["serving"] == "SERVING"


async def test_plain_http_2_needs_no_tls(server):
    found = await check(server["plain"])
    assert found.failure is None
    assert "tls_s" not in found.samples


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("kho", "service 'kho' is NOT_SERVING"),
        ("danh-muc", "service 'danh-muc' is UNKNOWN"),
        ("x" * 300, "NOT_FOUND (grpc-status = 5)"),
    ],
)
async def test_what_does_not_serve_is_down_with_its_status(server, service, says):
    found = await check(server["plain"], service=service)
    assert found.failure is Failure.QUERY_FAILED
    assert says in found.message


async def test_a_server_without_the_health_service_says_so():
    running = grpcio.aio.server()
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    found = await check(f"127.0.0.1:{port}")
    await running.stop(None)
    assert found.failure is Failure.QUERY_FAILED
    assert "UNIMPLEMENTED" in found.message


async def test_a_call_without_the_right_is_auth_rejected():
    class Guard(grpcio.aio.ServerInterceptor):
        async def intercept_service(self, continuation, details):
            if ("authorization", "Bearer bi-mat") in [tuple(pair) for pair in details.invocation_metadata]:
                return await continuation(details)

            async def refuse(_request, call):
                await call.abort(grpcio.StatusCode.UNAUTHENTICATED, "bi-mat")

            return grpcio.unary_unary_rpc_method_handler(refuse)

    running = grpcio.aio.server(interceptors=[Guard()])
    health_pb2_grpc.add_HealthServicer_to_server(grpc_health_servicer(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    without = await check(f"127.0.0.1:{port}")
    within = await check(f"127.0.0.1:{port}", metadata={"authorization": "Bearer bi-mat"})
    await running.stop(None)
    assert without.failure is Failure.AUTH_REJECTED
    assert "bi-mat" not in without.message
    assert within.failure is None


async def test_our_certificate_is_shown(server, authority, tmp_path):
    own = authority.client(tmp_path)
    within = await check(server["mutual"], tls=True, ca_file=authority.file, client_cert_file=own)
    without = await check(server["mutual"], tls=True, ca_file=authority.file)
    assert within.failure is None
    assert without.failure in (Failure.TLS_HANDSHAKE, Failure.CONNECTION_RESET, Failure.CONNECTION_CLOSED)


async def test_a_certificate_that_does_not_verify_is_down(server):
    found = await check(server["safe"], tls=True)
    assert found.failure is Failure.TLS_UNTRUSTED
    assert "cert_expires_s" in found.samples


async def test_a_refused_connection_is_refused(unused_tcp_port):
    assert (await check(f"127.0.0.1:{unused_tcp_port}")).failure is Failure.CONNECT_REFUSED


def answered(*lines, message=b"", trailer=(("grpc-status", "0"),)):
    encoder = hpack.Encoder()
    head = [(":status", "200"), ("content-type", "application/grpc"), *lines]
    said = BEGIN + frame(HEADERS, encoder.encode(head), END_HEADERS, 1) + frame(DATA, message, stream=1)
    return said + frame(HEADERS, encoder.encode(list(trailer)), END_HEADERS | END_STREAM, 1)


FINE = b"\x00\x00\x00\x00\x02\x08\x01"
HARM = {
    "HTTP/1": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no message": answered(),
    "a message that is compressed": answered(message=b"\x01" + FINE[1:]),
    "two messages": answered(message=FINE * 2),
    "a message that is cut off": answered(message=b"\x00\x00\x00\x00\x02\x0a\x09"),
    "a number without end": answered(message=b"\x00\x00\x00\x00\x0c\x08" + b"\xff" * 11),
    "a message too large": answered(message=b"\x00\x00\x00\x20\x00" + bytes(8192)),
    "a status that is none": answered(message=FINE, trailer=(("grpc-status", "0x0"),)),
    "no status": answered(message=FINE, trailer=(("x", "0"),)),
    "another type": answered(("content-type", "text/html"), message=FINE),
}


@pytest.mark.parametrize("answer", HARM.values(), ids=HARM.keys())
async def test_what_is_not_grpc_is_a_failure_of_the_protocol(answer):
    async with serve(script(answer), reads=False) as hostile:
        found = await check(hostile.address)
    assert found.failure is Failure.PROTOCOL
    assert found.message.isprintable()


async def test_an_answer_by_hand_is_as_good_as_one_of_grpcio():
    async with serve(script(answered(message=FINE)), reads=False) as server:
        assert (await check(server.address)).failure is None


async def test_a_gateway_that_answers_instead_is_a_wrong_status():
    head = frame(HEADERS, hpack.Encoder().encode([(":status", "503")]), END_HEADERS | END_STREAM, 1)
    async with serve(script(BEGIN + head), reads=False) as gateway:
        found = await check(gateway.address)
    assert found.failure is Failure.HTTP_STATUS
    assert "503" in found.message


def test_the_messages_are_those_of_protocol_buffers():
    for name in ("", "kho", "x" * 300, "danh mục"):
        assert grpc_health.request(name)[5:] == health_pb2.HealthCheckRequest(service=name).SerializeToString()
    for number in grpc_health.STATUSES:
        message = STATUS(status=number).SerializeToString()
        assert grpc_health.answer(b"\0" + len(message).to_bytes(4, "big") + message) == number
    with pytest.raises(TroubleError):
        grpc_health.answer(b"")


@pytest.mark.parametrize("wrong", [{"address": "a"}, {"metadata": {"grpc-x": "1"}}, {"metadata": {"x": "a\nb"}}])
def test_what_is_wrong_is_refused(wrong):
    with pytest.raises(ValidationError):
        GrpcParams(**{"address": "a:1", **wrong})
