"""The samples and the starter are valid as they stand, and say what they seem to say."""

from pathlib import Path

import pytest

from config.loader import load
from config.model import Inventory
from config.rules import rules_of

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
ENVIRON = dict.fromkeys(("WEBHOOK_SECRET", "SMTP_PASSWORD", "STORE_PASSWORD", "DATABASE_PASSWORD"), "s3cret")


def sample(name: str) -> Inventory:
    return load(SAMPLES / name, environ=ENVIRON)


@pytest.mark.parametrize("name", ["one-machine", "province", "starter"])
def test_a_sample_is_valid_as_it_stands(name: str) -> None:
    inventory = sample(name)
    assert inventory.checks
    assert rules_of(inventory).targets.keys() == inventory.targets.keys()


def test_the_provinces_have_two_channels_each_and_one_is_enough() -> None:
    inventory = sample("province")
    links = [target for target in inventory.targets.values() if target.type == "link" and target.members]
    assert len(links) == 33
    for link in links:
        assert (link.policy, link.need) == ("any", 1)
        assert link.members == (f"{link.id}-a", f"{link.id}-b")
    assert len(inventory.targets) == 33 * 4 + 3
    assert len(inventory.checks) == 33 * 3 + 2
    assert len(inventory.sites) == 34


def test_a_row_fills_names_numbers_and_references() -> None:
    inventory = sample("province")
    channel = inventory.targets["link-04-a"]
    assert channel.name.vi == "Kênh a Cao Bằng"
    assert channel.depends_on == ("core-hn",)
    assert channel.labels == {"plane": "1"}
    assert inventory.sites["site-04"].lat == pytest.approx(22.6657)
    assert inventory.sites["site-04"].province == "04"
    assert (channel.checks[0].confirm.down.needed, channel.checks[0].confirm.down.window) == (3, 5)


def test_no_sample_shows_its_secrets() -> None:
    for name in ("one-machine", "province"):
        inventory = sample(name)
        assert "s3cret" not in repr(inventory)
        assert "s3cret" not in str(list(inventory.checks.values()))
        assert "s3cret" not in str(list(inventory.receivers.values()))
