"""Every sentence in both languages, and none of the other language on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alerts.model import NO_RESULTS, REDUNDANCY_LOST, State
from alerts.wording import reason_in_words
from dashboards.formats import Formats
from dashboards.overview import Filter, overview_data
from dashboards.target import target_data
from dashboards.wording import WORDS, group, say
from probes.model import Failure
from tests.dashboards import sample

ASSETS = Path(__file__).parents[2] / "dashboards" / "assets"
REASONS = [*Failure, REDUNDANCY_LOST, NO_RESULTS]
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
FOREIGN_TO_NO_ONE = {
    "tls",
    "http",
    "soap",
    "byte",
    "javascript",
    "ms",
    "s",
    "thông",
    "suốt",
    "web",
    "english",
    "tiếng",
    "việt",
}
"""Words that stand in both languages; "English" and "Tiếng Việt" are what the switch to them says."""


def words_in(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", re.sub(r"\{\w+\}", "", text).casefold()))


def test_no_key_misses_a_language():
    assert [key for key, (vi, en) in WORDS.items() if not vi.strip() or not en.strip()] == []


def test_both_languages_fill_in_the_same_values():
    assert [
        key for key, (vi, en) in WORDS.items() if set(re.findall(r"\{\w+\}", vi)) != set(re.findall(r"\{\w+\}", en))
    ] == []


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_one_line_in_both_languages(reason):
    vi, en = reason_in_words(reason, "vi"), reason_in_words(reason, "en")
    assert vi != en != str(reason) != vi
    assert "\n" not in vi + en
    assert max(len(vi), len(en)) <= 60


def test_no_two_reasons_read_the_same():
    for language in ("vi", "en"):
        assert len({reason_in_words(reason, language) for reason in REASONS}) == len(REASONS)


def test_a_reason_of_a_newer_monitor_is_shown_as_it_is():
    assert reason_in_words("quantum_decay", "vi") == "quantum_decay"


def test_a_key_that_nobody_wrote_is_an_error():
    with pytest.raises(KeyError):
        say("wall.unheard_of", "vi")


def test_vietnamese_wording_has_no_english_words():
    english = set().union(*(words_in(en) for vi, en in WORDS.values())) - FOREIGN_TO_NO_ONE
    vietnamese = {key: words_in(vi) & english for key, (vi, _) in WORDS.items()}
    assert {key: found for key, found in vietnamese.items() if found} == {}


def test_what_the_browser_is_asked_to_say_is_written():
    keys = {
        "header.js": {"live"},
        "overview.js": {"wall", "live"},
        "target.js": {"target", "live"},
        "live.js": {"live"},
    }
    for name, prefixes in keys.items():
        used = set(re.findall(r"\bwords\.(\w+)", (ASSETS / name).read_text(encoding="utf-8")))
        known = {key for prefix in prefixes for key in group(prefix, "vi")}
        assert used - known == set(), name


def texts(value: object, skip: frozenset[str]) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in skip for text in texts(item, skip)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item, skip)]
    return [value] if isinstance(value, str) else []


def test_vietnamese_data_speaks_vietnamese():
    formats = Formats("vi", ZONE)
    theirs = frozenset({"id", "message", "state", "before", "after", "type", "target", "probe", "address", "layout"})
    page = target_data(sample.target_page(), formats, "dark")
    for check in page["checks"]:
        check["latency"] = [trace["name"] for trace in check["latency"]["data"]]
        check["phases"] = [trace["name"] for trace in (check["phases"] or {"data": []})["data"]]
    said = texts(overview_data(sample.overview(), Filter(), formats), theirs) + texts(page, theirs)
    english = {en for vi, en in WORDS.values() if en != vi}
    assert {text for text in said if text in english} == set()
    assert say("state.down", "vi") in said


def test_english_data_has_no_vietnamese_wording():
    formats = Formats("en", ZONE)
    data = json.dumps(overview_data(sample.overview(), Filter(), formats), ensure_ascii=False)
    assert not [vi for vi, en in WORDS.values() if vi != en and len(vi) > 6 and f'"{vi}"' in data]
    assert say(f"state.{State.DOWN}", "en") in data
