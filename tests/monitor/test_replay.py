"""A replay prints what would have happened, as DESIGN section 6.6 says, in the order in which it is decided."""

from __future__ import annotations

import orjson

from alerts.model import RunNow
from monitor.replay import event_json, replay
from tests.alerts.scenes import at, endpoint, link, results, watch

START = "2026-10-01T00:0"


def lines(*args, **options) -> list[dict]:
    return [line for event in replay(*args, **options) if (line := event_json(event)) is not None]


def test_every_object_is_as_the_contract_says():
    rules = watch(endpoint("ndxp-dancu", criticality=2))
    found = lines(rules, results("ndxp-dancu/http", "udddduu"))
    assert found[2:] == [
        {
            "at": START + "0:10.000Z",
            "event": "transition",
            "subject": "ndxp-dancu/http",
            "from": "up",
            "to": "down",
            "detected_at": START + "0:30.030Z",
            "reason": "http_status",
        },
        {
            "at": START + "0:10.000Z",
            "event": "transition",
            "subject": "ndxp-dancu",
            "from": "up",
            "to": "down",
            "detected_at": START + "0:30.030Z",
            "reason": "http_status",
        },
        {
            "at": START + "0:30.030Z",
            "event": "incident_opened",
            "incident": "SC-2026-0001",
            "target": "ndxp-dancu",
            "severity": 2,
            "impact": [],
        },
        {
            "at": START + "0:30.030Z",
            "event": "notification",
            "incident": "SC-2026-0001",
            "kind": "opened",
            "receiver": "noc",
            "targets": ["ndxp-dancu"],
        },
        {
            "at": START + "0:50.000Z",
            "event": "transition",
            "subject": "ndxp-dancu/http",
            "from": "down",
            "to": "up",
            "detected_at": START + "1:00.030Z",
            "reason": "",
        },
        {
            "at": START + "0:50.000Z",
            "event": "transition",
            "subject": "ndxp-dancu",
            "from": "down",
            "to": "up",
            "detected_at": START + "1:00.030Z",
            "reason": "",
        },
        {"at": START + "1:00.030Z", "event": "incident_resolved", "incident": "SC-2026-0001"},
        {
            "at": START + "1:00.030Z",
            "event": "notification",
            "incident": "SC-2026-0001",
            "kind": "resolved",
            "receiver": "noc",
            "targets": ["ndxp-dancu"],
        },
    ]
    assert orjson.loads(orjson.dumps(found)) == found


def test_flapping_and_updates_are_printed_and_what_to_run_is_not():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    told = results("p/http", "udddd") + results("c/http", "udddd", 1)
    assert any(isinstance(event, RunNow) for event in replay(watch(endpoint("c", "p"), endpoint("p")), told[5:]))
    assert {
        "at": START + "0:31.030Z",
        "event": "incident_updated",
        "incident": "SC-2026-0001",
        "target": "p",
        "severity": 2,
        "impact": ["c"],
    } in lines(rules, told)
    words = [line["event"] for line in lines(watch(endpoint("a")), results("a/http", "ud" * 11 + "u" * 20))]
    assert words.count("flapping_started") == words.count("flapping_stopped") == 2


def test_results_are_taken_in_the_order_in_which_they_were_known():
    slow, quick = results("a/http", "u", 0, step_s=1)[0]._replace(duration_s=9.0), results("b/http", "u", 5)[0]
    found = lines(watch(endpoint("a"), endpoint("b")), [slow, quick])
    assert [line["subject"] for line in found] == ["b/http", "b", "a/http", "a"]


def test_silence_and_settle_end_at_their_own_times_between_results():
    rules = watch(endpoint("p"), endpoint("c", "p"), endpoint("x"))
    told = results("c/http", "udddddddddd") + results("p/http", "u") + results("x/http", "u", 500)
    found = lines(rules, told)
    silent = [line["detected_at"] for line in found if line.get("to") == "unknown"]
    assert silent == [START + "0:30.000Z"] * 2 + [START + "2:10.000Z"] * 2
    assert [line["at"] for line in found if line["event"] == "incident_opened"] == [START + "0:50.030Z"]


def test_silence_is_not_known_before_the_result_that_it_follows():
    told = [*results("a/http", "uuu"), results("a/http", "u", 30)[0]._replace(duration_s=40.0)]
    found = lines(watch(endpoint("a")), told, until=at(300))
    assert [line["to"] for line in found if line.get("subject") == "a/http"][-1] == "unknown"
    seen = [line["detected_at"] for line in found]
    assert seen == sorted(seen)


def test_the_clock_stops_at_the_last_result():
    assert len(lines(watch(endpoint("a")), results("a/http", "u"))) == 2


def test_the_clock_stops_where_it_is_told_to():
    told = results("a/http", "udddddd")
    assert len(lines(watch(endpoint("a")), told, until=at(30.029))) == 2
    assert len(lines(watch(endpoint("a")), told, until=at(30.03))) == 6
    assert lines(watch(endpoint("a")), told, until=at(90))[-1]["to"] == "unknown"


def test_check_then_target_then_what_it_is_part_of_then_incident_then_notification():
    rules = watch(endpoint("m1", type_="link"), endpoint("m2", type_="link"), link("l", "m1", "m2"))
    found = lines(rules, results("m1/http", "uddd") + results("m2/http", "uuuu"))
    last = found[-5:]
    assert [line.get("subject") or line["event"] for line in last] == [
        "m1/http",
        "m1",
        "l",
        "incident_opened",
        "notification",
    ]


def test_the_order_of_a_file_changes_nothing_where_results_are_known_at_the_same_time():
    told = results("a/http", "udu", step_s=1)
    told = [one._replace(duration_s=(2.0, 1.0, 0.0)[place]) for place, one in enumerate(told)]
    told += [one._replace(at_ms=one.at_ms + 60_000) for one in told]
    assert len({one.known_at_ms for one in told}) == 2
    rules = watch(endpoint("a"))
    assert lines(rules, told[::-1]) == lines(rules, told)


def test_results_of_checks_that_the_rules_do_not_have_are_passed_over():
    assert lines(watch(endpoint("a")), results("gone/http", "uddd")) == []
