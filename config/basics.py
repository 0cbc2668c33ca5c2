"""What every model of the configuration is made of: the base, identifiers and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def visible(value: str) -> str:
    """Return the value if all of it can be seen."""
    if not value.isprintable():
        message = f"{value!r} holds characters that cannot be seen"
        raise ValueError(message)
    return value


Id = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=120), AfterValidator(visible)]
"""An identifier: no white space and no slash (a slash parts a check's target from its name)."""


class Model(BaseModel):
    """Base of every configuration model: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a validator that lets a text pass if it can be parsed."""

    def check(value: str) -> str:
        parse(value)
        return value

    return check


def _one_name(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError("a name is text: write it in quotes")
    return {"vi": value} if isinstance(value, str) else value


class Name(Model):
    """A name in Vietnamese and, if there is one, in English."""

    vi: str = ""
    en: str = ""

    def in_language(self, language: str) -> str:
        """Return the name in that language, or in the other one where it is missing."""
        return (self.en or self.vi) if language == "en" else (self.vi or self.en)


Named = Annotated[Name, BeforeValidator(_one_name)]
"""A name: one string, or one per language."""
