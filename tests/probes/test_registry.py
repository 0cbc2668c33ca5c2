"""Probe kinds are found by their files."""

import pytest

from probes.registry import UnknownKindError, find, kinds


def test_a_kind_is_found_by_its_file() -> None:
    assert "http" in kinds()
    assert find("http").kind == "http"


def test_an_unknown_kind_comes_with_a_suggestion() -> None:
    with pytest.raises(UnknownKindError, match="did you mean 'http'"):
        find("htpp")


@pytest.mark.parametrize("kind", ["../model", "__init__", "", "os"])
def test_nothing_but_a_kind_is_imported(kind: str) -> None:
    with pytest.raises(UnknownKindError):
        find(kind)
