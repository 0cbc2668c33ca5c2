"""Channels, against real servers: an HTTP receiver and an SMTP server that answer as they are told."""

import asyncio
import hashlib
import hmac
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
import trustme
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from alerts import registry
from alerts.channels.smtp import SmtpOptions
from alerts.channels.smtp import send as send_mail
from alerts.channels.webhook import WebhookOptions
from alerts.channels.webhook import send as post
from alerts.registry import Message, PermanentSendError, SendError

MESSAGE = Message("SC-2026-0001-7", "Mức 1: Đường truyền Cao Bằng", "Sự cố: …\n", {"incident": "SC-2026-0001"})


class Receiver:
    """An HTTP receiver that keeps what it was sent."""

    def __init__(self) -> None:
        self.answer = 200
        self.delay_s = 0.0
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        await asyncio.sleep(self.delay_s)
        headers = {"Location": "http://127.0.0.1:9/"} if self.answer == 302 else {}
        return web.Response(status=self.answer, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


async def test_a_webhook_carries_the_facts_a_key_and_a_signature(receiver: Receiver) -> None:
    options = WebhookOptions.model_validate({"url": receiver.url, "secret": "s3cret", "headers": {"X-Team": "noc"}})
    await post(options, MESSAGE, 2.0)
    body, headers = receiver.bodies[0], receiver.headers[0]
    assert orjson.loads(body) == {"incident": "SC-2026-0001", "subject": MESSAGE.subject, "text": MESSAGE.text}
    assert headers["Idempotency-Key"] == MESSAGE.key
    assert headers["X-Team"] == "noc"
    assert headers["X-Thongsuot-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert "s3cret" not in repr(options)


@pytest.mark.parametrize(("status", "permanent"), [(500, False), (503, False), (429, False), (404, True), (302, True)])
async def test_an_answer_says_whether_to_try_again(receiver: Receiver, status: int, permanent: bool) -> None:
    receiver.answer = status
    with pytest.raises(SendError) as caught:
        await post(WebhookOptions.model_validate({"url": receiver.url}), MESSAGE, 2.0)
    assert isinstance(caught.value, PermanentSendError) is permanent
    assert str(status) in str(caught.value)


async def test_a_webhook_that_never_answers_is_tried_again_later(receiver: Receiver) -> None:
    receiver.delay_s = 5.0
    with pytest.raises(SendError) as caught:
        await post(WebhookOptions.model_validate({"url": receiver.url}), MESSAGE, 0.2)
    assert not isinstance(caught.value, PermanentSendError)


async def test_nobody_there_is_tried_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        options = WebhookOptions.model_validate({"url": f"http://127.0.0.1:{taken.getsockname()[1]}/"})
        with pytest.raises(SendError):
            await post(options, MESSAGE, 1.0)


class Mailbox:
    """Takes mail; refuses recipients by their local part."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, *___: Any) -> str:  # noqa: N802
        if address.startswith("unknown"):
            return "550 no such user"
        if address.startswith("busy"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 taken"


def _authenticate(*arguments: Any) -> AuthResult:
    data = arguments[4]
    return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mailbox(authority: trustme.CA) -> Iterator[tuple[Mailbox, int]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mailbox = Mailbox()
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=0, tls_context=context, authenticator=_authenticate, auth_require_tls=False
    )
    # Port 0 is the system's choice; the controller's own self-test needs to know it before it starts.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        controller.port = probe.getsockname()[1]
    controller.start()
    yield mailbox, controller.port
    controller.stop()


def options(port: int, **more: Any) -> SmtpOptions:
    return SmtpOptions.model_validate({"host": "127.0.0.1", "port": port, "to": ["noc@example.vn"], **more})


async def test_a_mail_arrives_with_its_vietnamese_intact(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    await send_mail(options(port), MESSAGE, 5.0)
    content = box.envelopes[0].content
    assert isinstance(content, bytes)
    assert b"Message-ID: <SC-2026-0001-7@thongsuot>" in content
    assert box.envelopes[0].rcpt_tos == ["noc@example.vn"]


async def test_a_mail_over_starttls_with_a_login(
    mailbox: tuple[Mailbox, int], authority: trustme.CA, tmp_path: Any
) -> None:
    box, port = mailbox
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    secure = {"tls": "starttls", "ca_file": str(tmp_path / "ca.pem"), "username": "u"}
    await send_mail(options(port, **secure, password="right"), MESSAGE, 5.0)
    assert len(box.envelopes) == 1
    with pytest.raises(PermanentSendError, match="refused the login"):
        await send_mail(options(port, **secure, password="wrong"), MESSAGE, 5.0)


async def test_an_untrusted_server_gets_no_mail(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    with pytest.raises(SendError):
        await send_mail(options(port, tls="starttls"), MESSAGE, 5.0)
    assert not box.envelopes


@pytest.mark.parametrize(("user", "permanent"), [("unknown", True), ("busy", False)])
async def test_a_refused_recipient(mailbox: tuple[Mailbox, int], user: str, permanent: bool) -> None:
    _, port = mailbox
    with pytest.raises(SendError) as caught:
        await send_mail(options(port, to=[f"{user}@example.vn"]), MESSAGE, 5.0)
    assert isinstance(caught.value, PermanentSendError) is permanent


async def test_one_of_two_refused_is_not_sent_twice_to_the_other(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    with pytest.raises(PermanentSendError, match="1 of 2"):
        await send_mail(options(port, to=["noc@example.vn", "unknown@example.vn"]), MESSAGE, 5.0)
    assert len(box.envelopes) == 1


async def test_a_mail_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SendError):
        await send_mail(options(silent.getsockname()[1]), MESSAGE, 0.3)


def test_channels_are_found_by_their_files() -> None:
    assert {"smtp", "webhook"} <= set(registry.channels())
    with pytest.raises(registry.UnknownChannelError, match="did you mean 'webhook'"):
        registry.find("webhok")
