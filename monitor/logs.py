"""Logs: one line per event on standard error, coloured on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

_deferred: list[Callable[[], None]] = []


def defer_logs() -> None:
    """Set logs up once there is something to log: one run of a probe nearly always has nothing."""
    _set_up_library_logs()
    _deferred.append(set_up_logs)


def log_error(event: str, **values: Any) -> None:
    """Log one of our own events, also where logs have been deferred."""
    import structlog  # noqa: PLC0415 - takes a tenth of a probe's cold start to import

    while _deferred:
        _deferred.pop()()
    structlog.get_logger().error(event, **values)


def set_up_logs(level: int = logging.INFO) -> None:
    """Send our own events from that level on, and the warnings of libraries, to standard error."""
    import structlog  # noqa: PLC0415 - as above

    # Plain tracebacks: pretty ones print local variables, and some of these are secrets.
    renderers: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _set_up_library_logs()


def _set_up_library_logs() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
