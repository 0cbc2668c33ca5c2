"""Whatever the targets, their relations and their results: what must always hold of the core."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.core import Core
from alerts.model import (
    Confirm,
    Event,
    Flapping,
    IncidentChange,
    IncidentEvent,
    Notification,
    Result,
    Route,
    Rules,
    State,
    TargetRule,
    Transition,
    Window,
)
from alerts.situation import FINE
from monitor.replay import event_json, run
from tests.alerts.scenes import STEP_S, at, endpoint, play, results, watch

QUICK = settings(max_examples=60, deadline=None)
LETTERS = st.text("uuuudddgx.", min_size=1, max_size=30)
CONFIRMS = st.sampled_from([Confirm(1, 1), Confirm(2, 2), Confirm(3, 3), Confirm(2, 4)])


@st.composite
def worlds(draw) -> Rules:
    """A handful of targets that contain each other without cycles and depend on each other as they like."""
    count = draw(st.integers(2, 6))
    ids = [f"t{number}" for number in range(count)]
    targets = []
    for number, id_ in enumerate(ids):
        members = tuple(draw(st.lists(st.sampled_from(ids[:number]), unique=True, max_size=3))) if number > 1 else ()
        has_checks = not members or draw(st.booleans())
        entries = st.lists(st.sampled_from(ids), min_size=1, max_size=2, unique=True).map(tuple)
        targets.append(
            TargetRule(
                id_,
                draw(st.sampled_from(["link", "group"])) if members else "endpoint",
                draw(st.integers(1, 4)),
                checks=(f"{id_}/http",) if has_checks else (),
                members=members,
                need=draw(st.integers(1, len(members))) if members else 0,
                depends_on=tuple(draw(st.lists(entries, max_size=2))),
                settle_s=draw(st.sampled_from([5, 20, 60])),
            )
        )
    return watch(
        *targets,
        down=draw(CONFIRMS),
        up=draw(st.integers(1, 3)),
        routes=(Route(("noc",)), Route(("boss",), severity_max=2)),
    )


@st.composite
def stories(draw) -> tuple[Rules, list[Result]]:
    rules = draw(worlds())
    told = []
    for number, check in enumerate(rules.checks):
        told += results(check, draw(LETTERS), draw(st.floats(0, 9)) if number else 0)
    return rules, sorted(told, key=known_at)


def known_at(result: Result) -> int:
    return result.known_at_ms


def last(told: list[Result]) -> int:
    return max((result.known_at_ms for result in told), default=at(0))


def tail(rules: Rules, letter: str, told: list[Result], count: int = 80) -> list[Result]:
    start_s = (last(told) - at(0)) / 1000 + STEP_S
    return [one for n, check in enumerate(rules.checks) for one in results(check, letter * count, start_s + n)]


def lines(events: Iterable[Event]) -> list[object]:
    return [event_json(event) or event for event in events]


@QUICK
@given(stories())
def test_a_replay_gives_the_same_twice(story):
    rules, told = story
    shuffled = sorted(told, key=known_at, reverse=True)  # what was known in the same millisecond keeps its order
    assert lines(run(Core(rules), told)) == lines(run(Core(rules), shuffled))


@QUICK
@given(stories(), st.floats(0, 1))
def test_a_run_in_two_halves_is_the_whole_run(story, share):
    rules, told = story
    split_ms = at(0) + round((last(told) - at(0)) * share)
    early = [result for result in told if result.known_at_ms <= split_ms]
    first = Core(rules)
    events = list(run(first, early, split_ms))
    second = Core(rules, copy.deepcopy(first.memory))
    events += second.advance(split_ms)
    events += run(second, told[len(early) :], last(told))
    whole = Core(rules)
    assert lines(events) == lines(run(whole, told, last(told)))
    assert second.memory == whole.memory


@QUICK
@given(stories(), st.lists(st.floats(0, 320), max_size=20))
def test_asking_for_the_time_in_between_changes_nothing(story, ticks):
    rules, told = story
    core, events = Core(rules), []
    moments = sorted(at(tick) for tick in ticks)
    for result in told:
        while moments and moments[0] < result.known_at_ms:
            events += core.advance(moments.pop(0))
        events += core.feed(result)
    events += core.advance(last(told))
    assert lines(events) == lines(run(Core(rules), told))


@QUICK
@given(st.lists(LETTERS, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_independent_targets_do_not_touch_each_other(stories_, random):
    rules = watch(*(endpoint(f"t{number}") for number in range(len(stories_))))
    runs = [results(f"t{number}/http", letters) for number, letters in enumerate(stories_)]
    alone = {f"t{number}": of_target(play(rules, told, until_s=900), f"t{number}") for number, told in enumerate(runs)}
    mixed = [result for told in runs for result in told]
    random.shuffle(mixed)
    together = play(rules, mixed, until_s=900)
    for target, events in alone.items():
        assert of_target(together, target) == events


def of_target(events: Iterable[Event], target: str) -> list[tuple]:
    """What happened to one target, without the numbers of incidents."""
    found = []
    for event in events:
        match event:
            case Transition() if event.subject.partition("/")[0] == target:
                found.append((event.subject, event.after, event.at_ms, event.detected_at_ms, event.reason))
            case Flapping() if event.subject.partition("/")[0] == target:
                found.append((event.subject, event.flapping, event.at_ms))
            case IncidentEvent() if event.incident.target == target:
                found.append((event.change, event.at_ms))
            case Notification() if event.targets[0] == target:
                found.append((event.kind, event.receiver, event.at_ms))
    return found


@QUICK
@given(stories())
def test_transitions_follow_each_other(story):
    rules, told = story
    state: dict[tuple, State] = {}
    dated: dict[tuple, int] = {}
    detected_ms = 0
    for event in run(Core(rules), told):
        if isinstance(event, Transition):
            key = (event.kind, event.subject)
            assert event.before is state.get(key, State.UNKNOWN)
            assert event.after is not event.before
            assert dated.get(key, 0) <= event.at_ms <= event.detected_at_ms
            assert event.detected_at_ms >= detected_ms
            state[key], dated[key], detected_ms = event.after, event.at_ms, event.detected_at_ms


@QUICK
@given(stories())
def test_incidents_and_notifications_have_a_beginning_and_an_end(story):
    rules, told = story
    state: dict[str, IncidentChange] = {}
    announced: dict[str, set[str]] = {}
    for event in run(Core(rules), told + tail(rules, "u", told)):
        if isinstance(event, IncidentEvent):
            before = state.get(event.incident.id)
            assert (before is None) is (event.change is IncidentChange.OPENED)
            assert before is not IncidentChange.RESOLVED
            state[event.incident.id] = event.change
        if isinstance(event, Notification):
            receivers = announced.setdefault(event.incident, set())
            assert (event.receiver in receivers) is (event.kind != "opened")
            (receivers.discard if event.kind == "resolved" else receivers.add)(event.receiver)
    assert set(state.values()) <= {IncidentChange.RESOLVED}
    assert not any(announced.values())


@QUICK
@given(stories(), st.booleans())
def test_lasting_trouble_is_never_missed(story, restart):
    """Not by waiting for each other, not in a tangle of dependencies, not after a restart that forgot the waits."""
    rules, told = story
    core = Core(rules)
    list(run(core, told))
    if restart:
        core.memory.waiting.clear()
        core = Core(rules, copy.deepcopy(core.memory))
    down = tail(rules, "d", told)
    list(run(core, down))
    assert_everything_is_placed(core)
    list(run(core, tail(rules, "u", down)))
    assert core.memory.incidents == {}
    assert core.memory.waiting == {}


@QUICK
@given(stories(), st.sets(st.integers(0, 5)))
def test_lasting_trouble_of_some_is_never_missed(story, broken):
    rules, told = story
    core = Core(rules)
    list(run(core, told))
    some = [one for one in tail(rules, "d", told) if int(one.check[1]) in broken]
    rest = [one for one in tail(rules, "u", told) if int(one.check[1]) not in broken]
    list(run(core, some + rest))
    assert_everything_is_placed(core)


def assert_everything_is_placed(core: Core) -> None:
    placed = {incident.target for incident in core.memory.incidents.values()}
    for incident in core.memory.incidents.values():
        placed.update(incident.impact)
    for target in core.memory.targets:
        trouble = core._situation.trouble(target) != FINE
        assert not trouble or target in placed, target


@QUICK
@given(stories(), worlds())
def test_a_reload_keeps_what_it_can_and_drops_the_rest(story, other):
    rules, told = story
    core = Core(rules)
    list(run(core, told))
    before = dict(core.memory.checks)
    events = core.replace_rules(other)
    assert core.memory.checks.keys() == other.checks.keys()
    assert core.memory.targets.keys() == other.targets.keys()
    for check in before.keys() & other.checks.keys():
        assert core.memory.checks[check] == before[check]
    assert all(incident.target in other.targets for incident in core.memory.incidents.values())
    gone = {event.incident.target for event in events if isinstance(event, IncidentEvent)} - other.targets.keys()
    assert all(target in rules.targets for target in gone)
    list(run(core, tail(other, "d", told)))
    assert_everything_is_placed(core)
    list(run(core, tail(other, "u", tail(other, "d", told))))
    assert core.memory.incidents == {}


@QUICK
@given(stories(), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300), st.integers(1, 200)), max_size=3))
def test_mutes_change_what_is_said_and_nothing_else(story, mutes):
    rules, told = story
    silences = tuple(
        Window(frozenset({f"t{number}"}), at(from_s), at(from_s + length_s)) for number, from_s, length_s in mutes
    )
    muted = Rules(rules.checks, rules.targets, silences=silences, routes=rules.routes)
    ends = told + tail(rules, "u", told)
    loud, quiet = list(run(Core(rules), ends)), list(run(Core(muted), ends))
    assert [e for e in loud if isinstance(e, Transition)] == [e for e in quiet if isinstance(e, Transition)]
    assert of_incidents(loud) == of_incidents(quiet)
    said = {(n.incident, n.kind, n.receiver) for n in quiet if isinstance(n, Notification)}
    assert said <= {(n.incident, n.kind, n.receiver) for n in loud if isinstance(n, Notification)} | {
        (n.incident, "opened", n.receiver) for n in loud if isinstance(n, Notification)
    }


def of_incidents(events: Iterable[Event]) -> list[tuple]:
    return [
        (event.incident.id, event.incident.target, event.change, event.at_ms)
        for event in events
        if isinstance(event, IncidentEvent) and event.change is not IncidentChange.UPDATED
    ]
