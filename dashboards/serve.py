"""Starts the web process: where it may listen, how it runs, how it stops."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from zoneinfo import ZoneInfo

import structlog
import uvicorn

from dashboards.app import create_app
from dashboards.formats import LANGUAGES
from dashboards.store_reading import StoreReading
from monitor.logs import set_up_logs

WRONG_USE, COULD_NOT = 2, 3
STORES = ("sqlite:///", "postgresql://", "postgresql+asyncpg://", "postgres://")
BACKLOG = 512
STOP_GRACE_S = 5

log = structlog.get_logger()


class WrongUseError(Exception):
    """The command line asks for something that is not possible; the message says what and why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = _options(arguments)
    try:
        address = parse_listen(options.listen)
        store = store_url(options.store, os.environ)
        zone = _zone(options.timezone)
    except WrongUseError as error:
        return _fail(WRONG_USE, str(error))
    try:
        listener = socket.create_server(
            address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        return _fail(COULD_NOT, f"cannot listen on {options.listen}: {error.strerror or error}")
    set_up_logs()
    with listener:
        app = create_app(StoreReading(store), language=options.language, timezone=zone)
        _serve(app, listener)
    return 0


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    Raises WrongUseError for what is not an address, and for any address beyond loopback: there are no logins yet,
    so whoever reaches the pages may read them.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        message = f"{text!r} is not an address to listen on: write HOST:PORT, such as 127.0.0.1:8050"
        raise WrongUseError(message)
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        message = (
            f"refusing to listen on {text!r}: the pages have no logins yet, so they are served on loopback only "
            "(127.0.0.1 or [::1]); reach them from elsewhere through an SSH tunnel"
        )
        raise WrongUseError(message)
    return host, int(port)


def store_url(option: str | None, environ: Mapping[str, str]) -> str:
    """Return the store's address: the option, else THONGSUOT_STORE (which other users cannot read).

    Raises WrongUseError when there is neither, or when it cannot be one; the address itself is not repeated.
    """
    url = option or environ.get("THONGSUOT_STORE", "")
    if not url:
        raise WrongUseError("no store: give --store URL or set THONGSUOT_STORE")
    if not url.startswith(STORES):
        raise WrongUseError("the store's address is not one: write sqlite:///FILE or postgresql://USER@HOST/DATABASE")
    return url


def _fail(status: int, reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return status


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        message = f"{name!r} is not a time zone: write an IANA name, such as Asia/Ho_Chi_Minh"
        raise WrongUseError(message) from None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description="The web process of Thông Suốt.")
    parser.add_argument("--store", metavar="URL", help="the store; default: the environment's THONGSUOT_STORE")
    parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:8050", help="default: %(default)s")
    parser.add_argument("--language", choices=LANGUAGES, default="vi", help="of viewers who chose none")
    parser.add_argument("--timezone", metavar="ZONE", default="Asia/Ho_Chi_Minh", help="default: %(default)s")
    return parser.parse_args(arguments)


def _serve(app: object, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's and starlette's ASGI types differ in name only
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    # uvicorn stops on these signals and then raises them again; by then the stop is done, and clean.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    log.info("the web process listens", url=url)
    uvicorn.Server(config).run(sockets=[listener])
    log.info("the web process has stopped")
