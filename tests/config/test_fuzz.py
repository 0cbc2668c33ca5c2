"""Whatever the files hold, the loader gives an inventory or a ConfigError with printable one-line problems."""

import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.calendars import ServiceHours
from config.errors import ConfigError, Problem, Problems
from config.explain import field_names
from config.loader import load
from config.model import CheckOptions, RouteRule, Settings, Site
from config.rules import rules_of
from config.sections import SECTIONS
from config.written import ReceiverFile, TargetFile, TemplateFile, WindowFile
from config.yaml_reader import Budget, UnreadableError, read_yaml
from probes import registry as kinds

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
STARTER = (SAMPLES / "starter" / "thongsuot.yaml").read_bytes()
PROVINCE = b"".join(path.read_bytes() for path in sorted((SAMPLES / "province").glob("*.yaml")))
EXTRA = ("any", "down", "up", "vi", "en", "<<", "availability", "bandwidth", "url", "host", "severity_max")
WRITTEN = (TargetFile, TemplateFile, WindowFile, ReceiverFile, Site, ServiceHours, RouteRule)
SECRET = "a-secret-that-nobody-sees"

KEYS = sorted(
    {*SECTIONS, *EXTRA}
    | {key for model in (*WRITTEN, CheckOptions, Settings) for key in field_names(model)}
    | {key for kind in ("http", "icmp", "tcp", "dns") for key in field_names(kinds.find(kind).params)}
)
WORDS = [
    *("icmp", "http", "tcp", "dns", "link", "endpoint", "group", "webhook", "smtp", "any", "all", "2-of-n", "3 of 5"),
    *("provinces.csv", "{p.code}", "${env:SECRET}", "${file:x}", "10s", "127.0.0.1", "http://127.0.0.1/", "gw", "UTC"),
    *("2026-10-01T00:00", "status != 200", "mon-fri", "08:00-17:00", "*a", "&a", "<<", "{", "- ", ": "),
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=12),
    st.dates().map(date.isoformat),
    st.datetimes().map(datetime.isoformat),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=6),
    ),
    max_leaves=25,
)
items = st.lists(st.one_of(values, st.dictionaries(st.sampled_from(KEYS), values, max_size=8)), max_size=4)
files = st.dictionaries(st.sampled_from(SECTIONS), st.one_of(items, values), max_size=5)

quietly = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check(*contents: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for number, content in enumerate(contents):
            (directory / f"{number}.yaml").write_bytes(content)
        problems: tuple[Problem, ...] = ()
        try:
            inventory = load(directory, environ={"SECRET": SECRET})
        except ConfigError as error:
            problems = error.problems
        else:
            rules_of(inventory)
            assert SECRET not in repr(inventory)
            return
        assert problems
        for problem in problems:
            line = str(problem)
            assert line.isprintable(), line
            assert SECRET not in line
            assert line.startswith((f"{problem.file}:", str(directory)))


@quietly
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea\x00")
@example(b"a: \x00")
@example(b"? [a]\n: b")
@example(b"0b_: 0b_")
@example(b"x: " + b"9" * 5000)
@example(b"&a : *a")
@example(b"- " * 70000)
@example(b"*a")
@example(b"[" * 100000)
def test_arbitrary_bytes(content: bytes) -> None:
    check(content)


@quietly
@given(st.text(alphabet=st.sampled_from("ab:{}[]-&*!|>'\"#%@`,?\n \t~<=0.5$"), max_size=80))
def test_arbitrary_yaml_punctuation(text: str) -> None:
    check(text.encode())


@quietly
@given(files, files)
def test_arbitrary_structures(first: Any, second: Any) -> None:
    check(*(yaml.safe_dump(each, allow_unicode=True).encode("utf-8", "surrogatepass") for each in (first, second)))


@quietly
@given(
    st.sampled_from([STARTER, PROVINCE]),
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 30), st.one_of(st.binary(max_size=6), st.sampled_from(WORDS))),
        min_size=1,
        max_size=4,
    ),
)
def test_a_good_file_with_a_few_bytes_changed(content: bytes, edits: list[tuple[int, int, Any]]) -> None:
    for at, length, instead in edits:
        start = at % len(content) if content else 0
        new = instead.encode() if isinstance(instead, str) else instead
        content = content[:start] + new + content[start + length :]
    check(content)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789_+-.:eExXoObBaAfFinNyYtTrRuUsSlL~<=", max_size=12))
@example("1_000")
@example("190:20:30")
@example("-.inf")
@example("0o14")
def test_plain_scalars_mean_what_yaml_says(text: str) -> None:
    """Compared with PyYAML's own; two differences are meant: time stamps stay text, 1e3 is a number."""
    problems = Problems()
    try:
        mine = read_yaml(f"k: {text}".encode(), "x", problems, Budget())
    except UnreadableError:
        mine = None
    try:
        theirs = yaml.safe_load(f"k: {text}")
    except (yaml.YAMLError, ValueError):
        return
    if not isinstance(theirs, dict) or set(theirs) != {"k"} or isinstance(theirs["k"], date):
        return
    mine, theirs = mine["k"], theirs["k"]
    if isinstance(mine, float) and isinstance(theirs, str):
        assert float(theirs.replace("_", "")) == mine
    else:
        assert repr(mine) == repr(theirs)
