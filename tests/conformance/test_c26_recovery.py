"""C26: a parent recovers with 50 children still settling: no storm; a child that stays down opens its own."""

from __future__ import annotations

from tests.alerts.scenes import endpoint, kinds, opened, play, resolved, results, told, watch

CHILDREN = [f"c{number}" for number in range(50)]
RULES = watch(endpoint("p"), *(endpoint(child, "p") for child in CHILDREN))


def scene(*slow: str, back: str = "uuuuu"):
    runs = [results("p/http", "uuddddd" + "uuuuuuuuuu")]
    for number, child in enumerate(CHILDREN):
        tail = back if child not in slow else "dddddddd"
        runs.append(results(f"{child}/http", "uudddddd" + tail, number * 0.1))
    return play(RULES, *runs, until_s=140)


def test_children_that_come_back_within_settle_open_nothing():
    events = scene()
    assert [cause for cause, _, _ in opened(events)] == ["p"]
    assert kinds(events) == [("opened", "p"), ("resolved", "p")]


def test_the_parent_s_incident_names_all_that_it_hurt():
    assert sorted(told(scene())[-1][3]) == sorted(["p", *CHILDREN])


def test_a_child_that_stays_down_opens_its_own_after_settle():
    events = scene("c7", "c31")
    assert resolved(events) == [("p", 80.03)]
    assert opened(events)[1:] == [("c31", 100.03, ()), ("c7", 100.03, ())]


def test_a_parent_that_fails_again_within_settle_takes_them_back():
    runs = [results("p/http", "uuddddd" + "uu" + "ddddd", step_s=5)]
    runs += [results(f"{child}/http", "uu" + "d" * 20) for child in CHILDREN[:5]]
    events = play(RULES, *runs, until_s=200)
    assert [cause for cause, _, _ in opened(events)] == ["p", "p"]
