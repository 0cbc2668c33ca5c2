"""Routes: what is a change, what is remembered, and the hash that stands for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.model import Context, Resources
from probes.path_route import Change, Route, change_between, circle_in, hash_of, merged
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
