"""The house itself: its stairs, one file per kind, and nothing that points outside."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alerts import registry as channel_registry
from monitor.oneshot import prepare
from probes import registry
from probes.model import Failure, Layer, Params
from probes.pages import pages

ROOT = Path(__file__).parents[2]
FLOORS = ("probes", "alerts", "config", "monitor", "dashboards")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".css", ".js", ".jinja", ".mako", ".html"}


def test_the_stairs_only_lead_down() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", registry.kinds())
def test_a_probe_kind_is_one_documented_file(kind: str) -> None:
    probe = registry.find(kind)
    module = sys.modules[probe.run.__module__]
    documentation = (sys.modules[f"probes.kinds.{kind}"].__doc__ or "").strip()
    assert len(documentation.splitlines()) >= 3, "the docstring is the user's documentation"
    assert issubclass(probe.params, Params)
    assert probe.params.model_config["frozen"]
    assert probe.params.model_config["extra"] == "forbid"
    assert probe.address in probe.params.model_fields
    assert probe.samples, f"{module.__name__} documents no samples"
    assert not probe.latency or probe.latency in probe.samples


def test_the_pages_of_the_kinds_are_those_of_their_modules() -> None:
    """`make pages` writes them."""
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "probes").glob("*.md")}
    assert written == pages()


@pytest.mark.parametrize("kind", registry.kinds())
def test_a_kind_s_page_begins_with_an_example_that_it_takes(kind: str) -> None:
    probe = registry.find(kind)
    documentation = inspect.cleandoc(sys.modules[f"probes.kinds.{kind}"].__doc__ or "")
    example = re.search(r"((?:^    .*\n)+)", documentation, re.MULTILINE)
    assert example is not None
    filled = re.sub(r"\$\{(env|file):[^}]*\}", "mat-khau-du-dai-01", example[1]).replace("…@", "u:p@")
    (check,) = yaml.safe_load(filled)
    assert check.pop("probe") == kind
    address = check.pop(probe.address)
    own = {name: value for name, value in check.items() if name != "interval"}
    prepare(kind, address, own)


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_kind_has_a_test_of_its_own(kind: str) -> None:
    assert list((ROOT / "tests" / "probes").glob(f"test_{kind}*.py"))


@pytest.mark.parametrize("kind", channel_registry.channels())
def test_a_channel_is_one_documented_file(kind: str) -> None:
    assert channel_registry.find(kind).kind == kind
    assert (sys.modules[f"alerts.channels.{kind}"].__doc__ or "").strip()


def test_every_failure_has_a_layer() -> None:
    assert {failure.layer for failure in Failure} == set(Layer)


def test_the_runner_is_the_only_broad_except() -> None:
    broad = re.compile(r"except\s*(Exception|BaseException)?\s*(as \w+)?:")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if broad.search(line)
        and not re.search(r"^\s+raise$", "\n".join(path.read_text().splitlines()[number : number + 6]), re.M)
    ]
    assert [place.split(":")[0] for place in found] == ["monitor/runner.py"]


def test_no_room_grows_into_two() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > 420} == {}


def test_nothing_shipped_points_outside() -> None:
    """No page, style or script may load anything from another host."""
    outside = re.compile(r"(?:src|href|url|import)\s*[=(]\s*[\"']?(?:https?:)?//(?!127\.|localhost|\[::1\])", re.I)
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "dashboards").rglob("*")
        if path.suffix in TEXT and outside.search(path.read_text())
    ]
    assert found == []
