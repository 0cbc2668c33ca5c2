"""Plain scalars of YAML 1.1 (yaml.org/type): what `no`, `01`, `0x1F`, `20:30` and `1e3` mean.

Time stamps stay text: the models read them, in the configured time zone.
"""

from __future__ import annotations

import re
from typing import Any

_WORDS: dict[str, Any] = {"": None, "~": None}
for _meaning, _spellings in {
    None: ("null",),
    True: ("yes", "true", "on"),
    False: ("no", "false", "off"),
}.items():
    for _word in _spellings:
        for _spelling in (_word, _word.capitalize(), _word.upper()):
            _WORDS[_spelling] = _meaning
_WORD_FIRST = frozenset(word[0] for word in _WORDS if word)
_NUMBER_FIRST = frozenset("0123456789+-.")

_INT = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_DIGITS_MAX = 300
"""Longer "numbers" are text: nothing in a configuration is that large, and converting them takes quadratic time."""


def resolve(text: str) -> Any:
    """Return the value of a plain (unquoted) scalar: None, bool, int, float or the text itself.

    Beside YAML 1.1, `1e3` without a dot is a number, as in YAML 1.2 and JSON.
    """
    first = text[:1]
    if first in _NUMBER_FIRST and first:
        return _number(text)
    if first in _WORD_FIRST or first in ("", "~"):
        return _WORDS.get(text, text)
    return text


def _number(text: str) -> Any:
    if len(text) > _DIGITS_MAX:
        return text
    try:
        if _INT.match(text):
            return _int(text.replace("_", ""))
        if _FLOAT.match(text):
            return _float(text.replace("_", "").lower())
    except ValueError:  # `0b_` and the like: YAML's own expressions let them pass
        return text
    return text


def _int(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if ":" in digits:
        return sign * int(_sexagesimal(digits))
    if digits.startswith(("0b", "0x")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def _float(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    digits = text.lstrip("+-")
    if ":" in digits:
        return sign * _sexagesimal(digits)
    return sign * float(digits.removeprefix(".") if digits in (".inf", ".nan") else digits)


def _sexagesimal(digits: str) -> float:
    value = 0.0
    for part in digits.split(":"):
        value = value * 60 + float(part)
    return value
