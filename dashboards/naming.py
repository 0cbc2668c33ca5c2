"""Names on a crowded wall: finding them by typing, ordering them, and saying once what they share.

A tile has room for the part of a name that tells it from its neighbours. Under "UBND tỉnh Cao Bằng", the target
"Cao Bằng, kênh A về Hà Nội" is "Kênh A về Hà Nội"; a beginning that many share becomes a heading above them. The
name in full is never further away than the pointer, and is what a screen reader says.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

SHARED_BY = 4
"""How many names must share a beginning before it is worth a heading."""

ABBREVIATIONS = {
    "Ủy ban nhân dân": "UBND",
    "Uỷ ban nhân dân": "UBND",
    "UBND tỉnh": "UBND",
    "Cơ sở dữ liệu": "CSDL",
    "thành phố": "TP",
    "Thành phố": "TP",
    "People's Committee of": "PC",
    "Ministry of": "Min.",
}
"""What every Vietnamese official writes short; in English what stands before so many names that it hides them."""

_PUNCTUATION = " ,;:–—-·("
_SHORTEST = 8
_WORDS_MAX = 8
_DIGITS = re.compile(r"([0-9]+)")


@lru_cache(maxsize=32_768)
def folded(text: str) -> str:
    """Return text without case and Vietnamese marks, so that `cao bang` finds `Cao Bằng`."""
    plain = text.casefold().replace("đ", "d")
    return "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))


def sort_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts `kênh 2` before `kênh 10`."""
    parts = _DIGITS.split(folded(text))
    # int() of thousands of digits is slow, and a name is not ours: 18 digits are more than a number needs.
    return tuple((0, int(part[:18]), "") if "0" <= part[0] <= "9" else (1, 0, part) for part in parts if part)


def abbreviated(text: str) -> str:
    """Return the text with the usual abbreviations: a province's committee is plainly the province's."""
    for full, short in ABBREVIATIONS.items():
        text = text.replace(full, short)
    return text


def without_owner(name: str, owner: str) -> str:
    """Return a target's name without the end of its owner's name, where it begins or ends with that.

    At least two words of the owner must match, or all of it, or a comma follows: "An" alone is in too many names.
    """
    words = owner.split()
    for begin in range(len(words)):
        part = " ".join(words[begin:])
        surely = not begin or len(words) - begin > 1
        rest = _cut(name, part if surely else f"{part},")
        if rest:
            return rest[0].upper() + rest[1:]
    return name


def _cut(name: str, part: str) -> str:
    if name.startswith(part) and name[len(part) : len(part) + 1] in (" ", ","):
        return name[len(part) :].lstrip(_PUNCTUATION)
    if name.endswith(f" {part}"):
        return name[: -len(part)].rstrip(_PUNCTUATION)
    return ""


def shared_beginnings(names: Sequence[str]) -> list[str]:
    """Return for each name the beginning that it shares with enough others, or "".

    The best beginning is taken first, then the best among the rest. Being shared by many counts twice, so that
    `… cấp I` wins over `… cấp I Quảng`, which a few share.
    """
    found = [""] * len(names)
    left = {i: words for i, name in enumerate(names) if len(words := name.split()) > 1}
    while True:
        counts = Counter(tuple(words[:n]) for words in left.values() for n in range(1, min(len(words), _WORDS_MAX)))
        worth = {
            words: count * count * len(" ".join(words))
            for words, count in counts.items()
            if count >= SHARED_BY and len(" ".join(words)) >= _SHORTEST
        }
        if not worth:
            return found
        best = max(worth, key=lambda words: (worth[words], words))
        for i in [i for i, words in left.items() if tuple(words[: len(best)]) == best and len(words) > len(best)]:
            found[i] = " ".join(best)
            del left[i]


Group = tuple[str, tuple[tuple[str, str], ...]]
"""A shared beginning, and under it each target's id with the part of its name that tells it apart."""


@lru_cache(maxsize=1024)
def grouped(named: tuple[tuple[str, str], ...], owner: str) -> tuple[Group, ...]:
    """Return one owner's targets, given as (id, name), under their shared beginnings; those without one come last.

    The order depends on names alone, so that a tile keeps its place whatever happens to its target. Names change
    with the configuration only, so the answer is kept.
    """
    names = [abbreviated(without_owner(name, owner)) for _, name in named]
    groups: dict[str, list[tuple[str, str]]] = {}
    for (identifier, _), name, beginning in zip(named, names, shared_beginnings(names), strict=True):
        groups.setdefault(beginning, []).append((identifier, name[len(beginning) :].strip()))
    return tuple(
        (label, tuple(sorted(members, key=lambda member: (sort_key(member[1]), member[0]))))
        for label, members in sorted(groups.items(), key=lambda group: (group[0] == "", sort_key(group[0])))
    )
