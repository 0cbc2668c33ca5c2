"""The examples in the pages of the sharing platforms' kinds are configuration that our loader takes."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from config.loader import load


@pytest.mark.parametrize(("kind", "least"), [("soap", 1), ("xroad", 6), ("wso2", 2)])
def test_every_example_is_valid(kind: str, least: int, tmp_path: Path) -> None:
    text = inspect.cleandoc(import_module(f"probes.kinds.{kind}").__doc__ or "")
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    checks = [one for block in blocks if "probe:" in block for one in yaml.safe_load(inspect.cleandoc(block))]
    assert len(checks) >= least
    for number, check in enumerate(checks):
        check["name"] = f"c{number}"
    target = {"id": "t", "type": "endpoint", "checks": checks}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"targets": [target]}, allow_unicode=True))
    inventory = load(tmp_path, environ={"XROAD_KEY": "a-key-of-the-server", "MI_PASSWORD": "a-password"})
    assert len(inventory.checks) == len(checks)


@pytest.mark.parametrize(
    "check",
    [
        {"probe": "soap", "operation": "a", "namespace": "b", "security": {"username": "u", "password": "hunter2"}},
        {"probe": "xroad", "mode": "diagnostics", "api_key": "hunter2"},
        {"probe": "wso2", "mode": "management", "basic_auth": {"username": "u", "password": "hunter2"}},
    ],
)
def test_a_secret_in_clear_is_refused(check: dict[str, object], tmp_path: Path) -> None:
    from config.errors import ConfigError

    target = {"id": "t", "type": "endpoint", "checks": [{**check, "url": "http://127.0.0.1/"}]}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"targets": [target]}))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, environ={})
    told = " ".join(str(problem) for problem in refused.value.problems)
    assert "holds a secret in clear" in told
    assert "hunter2" not in told
