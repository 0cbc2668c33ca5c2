"""Sends a notification as e-mail over SMTP (RFC 5321), with STARTTLS (RFC 3207) or implicit TLS (RFC 8314).

Answers 4yz are tried again later (RFC 5321, section 4.2.1), 5yz are permanent. The `Message-ID` is derived from
the notification, so that repeated tries can be told apart from new messages.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from pydantic import Field, SecretStr

from alerts.registry import Channel, ChannelOptions, Message, PermanentSendError, SendError


class SmtpOptions(ChannelOptions):
    """The server (`host`, `port`, `tls`: none | starttls | implicit), the sender and the addresses `to`."""

    host: str
    port: int = Field(25, ge=1, le=65535)
    tls: Literal["none", "starttls", "implicit"] = "none"
    ca_file: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    sender: str = "thongsuot@localhost"
    to: tuple[str, ...] = Field(min_length=1, max_length=100)


async def send(options: SmtpOptions, message: Message, timeout_s: float) -> None:
    """Send the message once, in a thread. Raises SendError or PermanentSendError."""
    await asyncio.to_thread(_send, options, message, timeout_s)


def _send(options: SmtpOptions, message: Message, timeout_s: float) -> None:
    try:
        with _connect(options, timeout_s) as server:
            if options.username is not None:
                password = options.password.get_secret_value() if options.password else ""
                server.login(options.username, password)
            refused = server.send_message(_mail(options, message))
    except smtplib.SMTPAuthenticationError as error:
        reason = f"the server refused the login ({error.smtp_code})"
        raise (PermanentSendError if error.smtp_code >= 500 else SendError)(reason) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        reason = f"all recipients were refused ({', '.join(map(str, codes))})"
        raise (PermanentSendError if all(code >= 500 for code in codes) else SendError)(reason) from None
    except smtplib.SMTPResponseException as error:
        reason = f"the server answered {error.smtp_code}"
        raise (PermanentSendError if error.smtp_code >= 500 else SendError)(reason) from None
    except (smtplib.SMTPException, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SendError(reason) from None
    if refused:
        # Some were accepted: trying again would send these a second copy.
        reason = f"{len(refused)} of {len(options.to)} recipients were refused"
        raise PermanentSendError(reason)


def _connect(options: SmtpOptions, timeout_s: float) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=options.ca_file)
    if options.tls == "implicit":
        return smtplib.SMTP_SSL(options.host, options.port, timeout=timeout_s, context=context)
    server = smtplib.SMTP(options.host, options.port, timeout=timeout_s)
    if options.tls == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _mail(options: SmtpOptions, message: Message) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = options.sender
    mail["To"] = ", ".join(options.to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.key}@thongsuot>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


CHANNEL = Channel(kind="smtp", options=SmtpOptions, send=send)
