"""Notification channels: what one is, and how they are found by their files in `alerts/channels/`."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

_CHANNELS = Path(__file__).parent / "channels"


class ChannelOptions(BaseModel):
    """Base of every channel's options: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent, in every form that a channel may want.

    Attributes:
        key: the same for every try of the same notification, so that a receiver can drop a repeated one.
        subject: one line.
        text: plain text.
        data: the same facts for machines.

    """

    key: str
    subject: str
    text: str
    data: Mapping[str, Any]


class SendError(Exception):
    """The message was not accepted now; a later try may succeed."""


class PermanentSendError(SendError):
    """The message will never be accepted as the receiver is configured (an unknown address, a refused token)."""


O = TypeVar("O", bound=ChannelOptions)  # noqa: E741 - the options of one channel


@dataclass(frozen=True, slots=True)
class Channel(Generic[O]):
    """One notification channel.

    Attributes:
        kind: its name in the configuration; the module's name.
        options: the model of a receiver's options.
        send: sends once, within `timeout_s` seconds. Raises SendError or PermanentSendError.

    """

    kind: str
    options: type[O]
    send: Callable[[O, Message, float], Awaitable[None]]


class UnknownChannelError(LookupError):
    """There is no channel of that name."""


@cache
def channels() -> tuple[str, ...]:
    """Return the names of all channels, sorted, without importing any of them."""
    return tuple(sorted(path.stem for path in _CHANNELS.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(kind: str) -> Channel[Any]:
    """Return the channel of that kind.

    Raises UnknownChannelError with a suggestion when there is none.
    """
    if kind not in channels():
        near = difflib.get_close_matches(kind, channels(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(channels())}"
        message = f"there is no channel {kind!r}{hint}"
        raise UnknownChannelError(message)
    channel = import_module(f"alerts.channels.{kind}").CHANNEL
    if not isinstance(channel, Channel) or channel.kind != kind:
        message = f"alerts/channels/{kind}.py must define CHANNEL = Channel(kind={kind!r}, …)"
        raise TypeError(message)
    return channel
