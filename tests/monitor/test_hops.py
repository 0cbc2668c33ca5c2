"""Hops of a path: figures of the last run, addresses of a message that names the same route, the change marked."""

from __future__ import annotations

from alerts.model import Result, State
from monitor.queries.hops import path_of
from probes.model import Failure

WAS, IS = "10.0.1.2 10.0.2.2 10.0.6.2", "10.0.1.2 10.0.3.2 10.0.6.2"


def run(at_s: int, message: str, failure: Failure | None = None, **samples: float) -> Result:
    """Return a run over three hops."""
    hops = {f"hop_{ttl}_rtt_s": ttl / 100 for ttl in (1, 2, 3)} | {f"hop_{ttl}_loss_ratio": 0.0 for ttl in (1, 2, 3)}
    known = {"last_hop": 3, "hops": 3, "routes": 1, "route_hash": 7, "route_changed": 0, **hops, **samples}
    return Result("link/path", "a", at_s * 1000, 0.1, State.DOWN if failure else State.UP, failure, message, known)


def test_figures_are_of_the_last_run_and_addresses_of_its_message():
    path = path_of([run(1, f"the route is {WAS}"), run(2, f"the route is {IS}", hop_2_rtt_s=0.5, hop_2_loss_ratio=0.4)])
    assert path is not None
    assert (path.at_ms, path.routes, path.is_whole, path.changed_ms) == (2000, 1, True, 0)
    assert [hop.hosts for hop in path.hops] == [(("10.0.1.2",),), (("10.0.3.2",),), (("10.0.6.2",),)]
    assert [(hop.rtt_s, hop.loss_ratio) for hop in path.hops] == [(0.01, 0.0), (0.5, 0.4), (0.03, 0.0)]


def test_a_run_whose_message_is_a_conditions_has_the_addresses_of_the_same_route():
    before, after = run(1, f"the route is {WAS}"), run(2, "hops > 2 (hops = 3)")
    known, unknown = path_of([before, after]), path_of([before, run(2, "hops > 2 (hops = 3)", route_hash=8)])
    assert known is not None
    assert unknown is not None
    assert [hop.hosts for hop in known.hops] == [(("10.0.1.2",),), (("10.0.2.2",),), (("10.0.6.2",),)]
    assert [hop.hosts for hop in unknown.hops] == [(), (), ()], "another route: nobody knows its addresses"


def test_a_change_marks_the_hops_that_are_others():
    changed = run(2, f"the route changed at hop 2: x → y (was {WAS}; is {IS})", route_changed=1)
    path = path_of([run(1, f"the route is {WAS}", route_hash=6), changed, run(3, f"the route is {IS}")])
    assert path is not None
    assert path.changed_ms == 2000
    assert [hop.before for hop in path.hops] == [(), ("10.0.2.2",), ()]


def test_a_path_that_ends_early_shows_where():
    line = "no answer from 10.0.6.2; the last hop that answers is 2, 10.0.2.2 (route: 10.0.1.2 10.0.2.2)"
    failed = run(2, line, Failure.PACKET_LOSS, last_hop=2)
    del failed.samples["hops"]
    path = path_of([run(1, f"the route is {WAS}"), failed])
    assert path is not None
    assert not path.is_whole
    assert [hop.hosts for hop in path.hops] == [(("10.0.1.2",),), (("10.0.2.2",),)]


def test_flows_that_differ_have_a_route_each():
    path = path_of([run(1, f"the routes are {WAS}; {IS}", routes=2)])
    assert path is not None
    assert path.routes == 2
    assert path.hops[1].hosts == (("10.0.2.2",), ("10.0.3.2",))


def test_nothing_traced_is_no_path():
    assert path_of([]) is None
    assert path_of([Result("link/path", "a", 0, 0.1, State.UNKNOWN, Failure.PERMISSION, "not allowed", {})]) is None
