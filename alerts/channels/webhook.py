"""Posts a notification as JSON to a URL.

The body is the notification's facts with `subject` and `text`. Every try of the same notification carries the
same `Idempotency-Key`. With a `secret`, `X-Thongsuot-Signature: sha256=<hex>` holds the HMAC-SHA-256 (RFC 2104)
of the body, so that the receiver can tell who sent it.

2xx is accepted. 408, 425, 429 and 5xx, and any trouble on the way, are tried again later. Every other answer is
permanent: the receiver is misconfigured, and repeating would not help.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import aiohttp
import orjson
from pydantic import AnyHttpUrl, SecretStr

from alerts.registry import Channel, ChannelOptions, Message, PermanentSendError, SendError

_TRY_AGAIN = {408, 425, 429}


class WebhookOptions(ChannelOptions):
    """Where to post: `url`, extra `headers`, and the `secret` that signs the body."""

    url: AnyHttpUrl
    headers: Mapping[str, str] = {}
    secret: SecretStr | None = None


async def send(options: WebhookOptions, message: Message, timeout_s: float) -> None:
    """Post the message once. Raises SendError, or PermanentSendError where a repetition is of no use."""
    body = orjson.dumps({**message.data, "subject": message.subject, "text": message.text})
    headers = {**options.headers, "Content-Type": "application/json", "Idempotency-Key": message.key}
    if options.secret is not None:
        digest = hmac.new(options.secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        headers["X-Thongsuot-Signature"] = f"sha256={digest}"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(str(options.url), data=body, headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise SendError(reason) from None
    if 200 <= status < 300:
        return
    reason = f"the receiver answered {status}"
    raise (SendError if status in _TRY_AGAIN or status >= 500 else PermanentSendError)(reason)


CHANNEL = Channel(kind="webhook", options=WebhookOptions, send=send)
