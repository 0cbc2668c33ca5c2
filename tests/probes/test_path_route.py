"""Routes: what is a change, what is remembered, and the hash that stands for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.model import Context, Resources
from probes.path_route import (
    Change,
    Route,
    Told,
    change_between,
    circle_in,
    hash_of,
    merged,
    read_told,
    told,
    told_change,
)
from probes.run_memory import RunMemory, last_run

hops = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), max_size=8)


def route(text: str, *, is_whole: bool = True) -> Route:
    """A route of one letter a hop, `*` for a silent one."""
    return Route(tuple(tuple(sorted(hop.split("|"))) if hop != "*" else () for hop in text.split()), is_whole)


def test_silence_is_no_change_and_is_filled_in():
    before, after = route("a b c d"), route("a * c d")
    assert change_between(before, after) is None
    assert merged(before, after) == before
    assert hash_of([merged(before, after)]) == hash_of([before])


def test_a_path_that_ends_early_is_no_change():
    before, after = route("a b c d"), route("a b", is_whole=False)
    assert change_between(before, after) is None
    assert merged(before, after) == before
    assert merged(after, before) == before


def test_another_router_is_a_change_and_what_was_behind_it_is_forgotten():
    before, after = route("a b c d"), route("* x * d")
    assert change_between(before, after) == Change(2, ("b",), ("x",))
    assert merged(before, after) == route("a x * d")


def test_longer_and_shorter_routes_are_changes():
    assert change_between(route("a b d"), route("a b c d")) == Change(3, ("d",), ("c",))
    assert change_between(route("a * d"), route("a * * d")) == Change(3, ("d",), ())
    assert change_between(route("a b d"), route("a b * *", is_whole=False)) == Change(3, ("d",), ())
    assert change_between(route("a * * d"), route("a * d")) == Change(3, (), ("d",))
    assert change_between(route("a b b b", is_whole=False), route("a b")) == Change(2, ("b",), ("b",))


def test_a_hop_that_balances_packet_by_packet_is_one_hop():
    before, after = route("a b|c d"), route("a c|e d")
    assert change_between(before, after) is None
    assert merged(before, after) == route("a b|c|e d")


def test_circles_are_seen_at_the_end_only():
    assert circle_in(route("a b c b c", is_whole=False)) == ("b", "c")
    assert circle_in(route("a b c d")) == ()
    assert circle_in(route("a b *", is_whole=False)) == ()


@given(hops, hops, st.booleans(), st.booleans())
def test_merging_never_invents_and_is_stable(old, new, old_whole, new_whole):
    # A whole route has a last hop, the destination.
    before = Route(tuple((hop,) if hop else () for hop in old), old_whole and bool(old) and old[-1] != "")
    after = Route(tuple((hop,) if hop else () for hop in new), new_whole and bool(new) and new[-1] != "")
    both = merged(before, after)
    assert {host for hosts in both.hops for host in hosts} <= {*old, *new}
    assert all(set(hosts) >= set(seen) for hosts, seen in zip(both.hops, after.hops, strict=False))
    assert 0 <= hash_of([both]) < 2**48
    if before == after:
        assert change_between(before, after) is None
        assert both == before
    if change_between(before, after) is None:
        assert merged(both, after) == both


def test_memory_is_bounded_and_forgets_who_ran_longest_ago():
    memory: RunMemory[int] = RunMemory(2)
    for check in ("a", "b", "a", "c"):
        memory.keep(check, len(check))
    assert [memory.recall(check) for check in ("a", "b", "c")] == [1, None, 1]


async def test_all_kinds_of_a_process_share_one_memory_and_no_value():
    ctx = Context(1.0, 1.0, Resources(), check="a/b")
    last_run(ctx, "path", "10.0.0.1").keep(1)
    last_run(ctx, "mtu", "10.0.0.1").keep(2)
    other = Context(1.0, 1.0, ctx.resources, check="a/c")
    assert [last_run(ctx, kind, "10.0.0.1").recall() for kind in ("path", "mtu", "bgp")] == [1, 2, None]
    assert last_run(ctx, "path", "10.0.0.2").recall() is None
    assert last_run(other, "path", "10.0.0.1").recall() is None


# -- what a message tells --------------------------------------------------------------------------------------------

_hosts = st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "fe80::1", "2001:db8::7"]), max_size=2, unique=True)
_routes = st.lists(_hosts.map(tuple), min_size=1, max_size=12).map(lambda hops: Route(tuple(hops), is_whole=True))


@given(st.lists(_routes, min_size=1, max_size=4, unique_by=lambda route: route.text))
def test_what_is_told_of_routes_is_read_again(routes):
    assert read_told(told(routes)) == Told(tuple(route.hops for route in routes))


@given(_routes, _routes)
def test_what_is_told_of_a_change_is_read_again(before, after):
    text = told_change(Change(1, ("10.0.0.1",), ("10.0.0.2",)), before, after)
    assert read_told(text) == Told((after.hops,), before.hops)


@given(st.lists(_routes, min_size=1, max_size=4), st.integers(0, 400))
def test_a_line_that_was_cut_never_gives_half_an_address(routes, length):
    line = told(routes)
    cut = line if len(line) <= length else line[:length] + "…"
    found = read_told(cut)
    named = {host for route in routes for hosts in route.hops for host in hosts}
    assert found is None or {host for route in found.routes for hosts in route for host in hosts} <= named


def test_where_a_path_ended_is_read_from_the_failure():
    line = "no answer from 10.0.4.2; the last hop that answers is 2, 10.0.2.2 (route: 10.0.1.2 10.0.2.2)"
    assert read_told(line) == Told(((("10.0.1.2",), ("10.0.2.2",)),))
    assert read_told(f"{line}; the route changed at hop 1: 10.0.9.9 → 10.0.1.2 (was 10.0.9.9; is 10.0.1.2)") == Told(
        ((("10.0.1.2",),),), (("10.0.9.9",),)
    )


def test_another_line_tells_of_no_route():
    for line in ("", "no answer in time", "the route is <b>", "hops > 8 (hops = 9)", "the route is …"):
        assert read_told(line) is None
