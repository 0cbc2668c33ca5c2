"""The outcome of one result."""

from alerts.model import State
from alerts.outcome import judge
from probes.conditions import compile_condition
from probes.model import Context, Failure, Measurement, Params, Probe


async def _never(_: Params, __: Context) -> Measurement:
    raise AssertionError("nothing is probed here")


PROBE = Probe("http", Params, "url", _never, {"status": "code"}, {"body": "string"})
NOT_200 = (compile_condition("status != 200", PROBE),)
NO_BODY = (compile_condition("body == ''", PROBE),)
SLOW = (compile_condition("duration > duration('800ms')", PROBE),)


def test_without_failure_and_conditions_it_is_up() -> None:
    assert judge(Measurement({"status": 200}), 0.1, NOT_200, SLOW) == (State.UP, None, "")


def test_the_failure_is_the_probes_and_the_wording_the_operators() -> None:
    measurement = Measurement({"status": 503}, Failure.HTTP_STATUS, "status not in [2xx] (status = 503)")
    assert judge(measurement, 0.1, NOT_200, ()) == (
        State.DOWN,
        Failure.HTTP_STATUS,
        "status != 200 (status = 503)",
    )


def test_a_down_when_that_holds_is_the_failure_condition() -> None:
    outcome = judge(Measurement({"status": 204}), 0.1, NOT_200, ())
    assert outcome == (State.DOWN, Failure.CONDITION, "status != 200 (status = 204)")


def test_a_condition_on_what_a_failed_probe_never_saw_adds_nothing() -> None:
    measurement = Measurement({}, Failure.CONNECT_REFUSED, "connection refused")
    assert judge(measurement, 0.1, NOT_200 + NO_BODY, ()) == (
        State.DOWN,
        Failure.CONNECT_REFUSED,
        "connection refused",
    )


def test_slow_is_degraded_and_down_comes_first() -> None:
    assert judge(Measurement({"status": 200}), 0.9, NOT_200, SLOW)[0] is State.DEGRADED
    assert judge(Measurement({"status": 500}), 0.9, NOT_200, SLOW)[0] is State.DOWN


def test_what_could_not_be_measured_is_unknown_never_down() -> None:
    for failure in (Failure.PERMISSION, Failure.INTERNAL, Failure.AGENT_LOST):
        assert judge(Measurement(failure=failure, message="no"), 0.1, NOT_200, ())[0] is State.UNKNOWN


def test_a_lesser_failure_is_degraded_and_a_down_when_still_comes_first() -> None:
    lesser = Measurement({"status": 200}, Failure.CONDITION, "another route", is_degraded=True)
    assert judge(lesser, 0.1, NOT_200, ()) == (State.DEGRADED, Failure.CONDITION, "another route")
    worse = Measurement({"status": 500}, Failure.CONDITION, "another route", is_degraded=True)
    assert judge(worse, 0.1, NOT_200, ())[0] is State.DOWN
    unknown = Measurement({}, Failure.PERMISSION, "not allowed", is_degraded=True)
    assert judge(unknown, 0.1, (), ())[0] is State.UNKNOWN


def test_what_is_up_may_bring_news() -> None:
    assert judge(Measurement({"status": 200}, message="another route"), 0.1, (), ()) == (
        State.UP,
        None,
        "another route",
    )


def test_a_failure_that_only_degrades() -> None:
    stopped = Measurement({"status": 200}, Failure.STALE, "replication is stopped", is_degraded=True)
    assert judge(stopped, 0.1, NOT_200, SLOW) == (State.DEGRADED, Failure.STALE, "replication is stopped")
    worse = Measurement({"status": 503}, Failure.STALE, "replication is stopped", is_degraded=True)
    assert judge(worse, 0.1, NOT_200, ()) == (State.DOWN, Failure.CONDITION, "status != 200 (status = 503)")
    unseen = Measurement({}, Failure.INTERNAL, "no driver", is_degraded=True)
    assert judge(unseen, 0.1, (), ())[0] is State.UNKNOWN
