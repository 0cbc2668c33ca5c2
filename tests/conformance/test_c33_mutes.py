"""C33: what happens while muted is announced when the mute ends, if it is still so; a resolve is never swallowed."""

from __future__ import annotations

import pytest

from tests.alerts.scenes import endpoint, group, kinds, link, opened, play, resolved, results, told, watch, window


@pytest.fixture(params=["maintenance", "silences"])
def muted(request):
    def rules(*targets, on=("a",), from_s=5, to_s=95):
        return watch(*targets, **{request.param: [window(from_s, to_s, *on)]})

    return rules


def test_down_and_up_again_while_muted_is_never_announced(muted):
    events = play(muted(endpoint("a")), results("a/http", "uddddduuuuuuuuu"))
    assert kinds(events) == []
    assert [cause for cause, _, _ in opened(events)] == ["a"], "the incident is recorded all the same"


def test_still_down_when_the_mute_ends_is_announced_then(muted):
    events = play(muted(endpoint("a")), results("a/http", "u" + "d" * 15))
    assert told(events) == [("opened", "noc", 95, ("a",))]


def test_up_in_the_millisecond_in_which_the_mute_ends_is_not(muted):
    events = play(muted(endpoint("a"), to_s=60.03), results("a/http", "u" + "d" * 4 + "u" * 5))
    assert resolved(events) == [("a", 60.03)]
    assert kinds(events) == []


def test_a_resolve_of_what_was_announced_is_never_swallowed(muted):
    events = play(muted(endpoint("a"), from_s=50), results("a/http", "u" + "d" * 5 + "u" * 5))
    assert [(kind, at_s) for kind, _, at_s, _ in told(events)] == [("opened", 30.03), ("resolved", 70.03)]


def test_the_mute_of_another_target_mutes_nothing(muted):
    assert kinds(play(muted(endpoint("a"), endpoint("b"), on=("b",)), results("a/http", "uddd"))) == [("opened", "a")]


def test_a_mute_that_ends_in_another_one_goes_on():
    rules = watch(endpoint("a"), maintenance=[window(5, 60, "a")], silences=[window(50, 95, "a")])
    assert [at_s for _, _, at_s, _ in told(play(rules, results("a/http", "u" + "d" * 15)))] == [95]


def test_unknown_when_the_mute_ends_is_announced_when_it_is_down_again(muted):
    events = play(muted(endpoint("a")), results("a/http", "uddddd......ddddd"))
    assert [at_s for _, _, at_s, _ in told(events)] == [140.03]


def test_planned_work_on_a_channel_announces_no_lost_redundancy(muted):
    rules = muted(endpoint("m1"), endpoint("m2"), link("l", "m1", "m2"), on=("m1",), to_s=1000)
    both = [results("m1/http", "u" + "d" * 14), results("m2/http", "u" * 15, 1)]
    assert kinds(play(rules, *both)) == []


def test_the_loss_of_the_other_channel_meanwhile_is_announced(muted):
    rules = muted(endpoint("m1"), endpoint("m2"), link("l", "m1", "m2"), on=("m1",), to_s=1000)
    events = play(rules, results("m1/http", "u" + "d" * 14), results("m2/http", "uuuuuddddd", 1))
    assert told(events) == [("opened", "noc", 71.03, ("l", "m1", "m2"))]


def test_worse_during_the_mute_is_said_when_it_ends(muted):
    rules = muted(endpoint("m1"), endpoint("m2"), link("l", "m1", "m2"), on=("l", "m1", "m2"), from_s=50)
    events = play(rules, results("m1/http", "u" + "d" * 14), results("m2/http", "uuuuu" + "d" * 9, 1))
    assert [(kind, at_s) for kind, _, at_s, _ in told(events)] == [("opened", 30.03), ("worsened", 95)]


def test_a_group_of_muted_members_alone_is_muted(muted):
    rules = muted(endpoint("m1"), endpoint("m2"), group("g", "m1", "m2", need=2), on=("m1",), to_s=1000)
    events = play(rules, results("m1/http", "u" + "d" * 14), results("m2/http", "u" * 15, 1))
    assert kinds(events) == []
