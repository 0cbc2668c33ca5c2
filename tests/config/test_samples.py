"""The samples and the starter are valid as they stand, for the loader and for the schema's readers."""

from pathlib import Path

import pytest

from config.loader import load
from config.rules import rules_of

SAMPLES = Path(__file__).parents[2] / "config" / "samples"


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir() if any(path.glob("*.yaml"))))
def test_a_sample_is_valid_as_it_stands(sample: str) -> None:
    inventory = load(SAMPLES / sample, environ={"WEBHOOK_SECRET": "s3cret", "SMTP_PASSWORD": "s3cret"})
    rules = rules_of(inventory)
    assert inventory.checks
    assert rules.targets.keys() == inventory.targets.keys()
