"""Which status codes are fine: codes and classes of them, such as `[2xx, 404]`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _statuses(value: Any) -> Any:
    """Accept one status or several, codes as numbers or text."""
    several = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return tuple(str(item).strip().lower() for item in several)


Status = Annotated[str, Field(pattern=r"^([1-5]xx|[1-5][0-9]{2})$", examples=["2xx", "404"])]
"""A status code, or a class of them."""

Statuses = Annotated[tuple[Status, ...], BeforeValidator(_statuses), Field(min_length=1)]
"""Several of them; one alone may be written without a list."""
