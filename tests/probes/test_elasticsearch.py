"""The kinds `elasticsearch` and `opensearch`, against listeners that answer as their references document."""

import base64
import json

import pytest

from alerts.model import State
from monitor.oneshot import WrongUseError, prepare, run_once
from monitor.runner import measure
from probes.model import Failure, Resources
from tests.probes.http_servers import Authority, endless, redirect, reply, reset, serve, then_wait
from tests.probes.search_servers import NOW_S, Cluster, aggregate, error, health
from tests.probes.tcp_servers import SLACK_S, refusing_port
from tests.probes.tcp_servers import measure as measure_facts

SECRET = "hunter2-rat-dai"


async def result_of(answer, timeout_s=5.0, kind="elasticsearch", **parameters):
    async with serve(answer) as server:
        result = await run_once(prepare(kind, server.url, parameters, timeout_s), "test")
    assert SECRET not in result.message
    assert result.duration_s < timeout_s + SLACK_S
    return result, server


@pytest.mark.parametrize(("kind", "master"), [("elasticsearch", "master_node"), ("opensearch", "cluster_manager_node")])
async def test_a_green_cluster_is_up_with_its_figures(kind, master):
    async with serve(Cluster(master)) as server:
        found = await measure_facts(kind, server.url, cluster="dancu")
    assert (found.failure, found.message) == (None, "")
    expected = {
        "nodes": 3,
        "data_nodes": 2,
        "shards": 9,
        "shards_unassigned": 0,
        "active_shards_ratio": 0.9,
        "pending_tasks": 2,
        "pending_task_s": 1.5,
        "disk_used_ratio": 0.75,
        "heap_used_ratio": 0.75,
        "documents": 77,
        "size_bytes": 5120,
        "role_changed": 0,
    }
    assert {name: found.samples[name] for name in expected} == expected
    assert {"resolve_s", "connect_s", "first_byte_s", "transfer_s"} <= set(found.samples)
    assert [found.facts[name] for name in ("role", "health", "version", "unseen")] == ["node-1", "green", "8.15.3", ""]


@pytest.mark.parametrize(
    ("status", "allow", "state", "message"),
    [
        ("yellow", False, State.DEGRADED, "the cluster is yellow: copies are missing (unassigned shards: 1)"),
        ("yellow", True, State.UP, ""),
        ("red", True, State.DOWN, "the cluster is red: data is missing (unassigned shards: 1)"),
    ],
)
async def test_yellow_degrades_and_red_is_down(status, allow, state, message):
    result, _ = await result_of(Cluster(**{"/_cluster/health": health(status)}), allow_yellow=allow)
    assert (result.state, result.message) == (state, message)


async def test_another_cluster_is_down():
    result, _ = await result_of(Cluster(), cluster="other")
    assert (result.failure, result.message) == (Failure.CONDITION, "this is the cluster dancu; expected is other")


async def test_a_new_leader_is_an_event():
    cluster, resources = Cluster(), Resources()
    async with serve(cluster) as server:
        job = prepare("elasticsearch", server.url, {"degraded_when": ["role_changed == 1"]}, 5.0)
        try:
            first = await measure(job, resources, "test")
            cluster.answers["/_cluster/state/master_node"] = {"master_node": "node-2"}
            second = await measure(job, resources, "test")
        finally:
            await resources.aclose()
    assert [first.state, second.state] == [State.UP, State.DEGRADED]


@pytest.mark.parametrize(
    ("answer", "failure", "age_s"),
    [
        (aggregate((NOW_S - 100) * 1000.0, "x"), None, 100),
        (aggregate((NOW_S - 901) * 1000.0, "x"), Failure.STALE, 901),
        (aggregate(None), Failure.STALE, None),
        ({}, Failure.STALE, None),
        (aggregate(1.0, timed_out=True), Failure.TIMEOUT, None),
        ({"timed_out": False, "_shards": {"failed": 2}}, Failure.QUERY_FAILED, None),
        (error(404, "index_not_found_exception", "no such index [citizens]"), Failure.QUERY_FAILED, None),
        (error(403, "security_exception", "unauthorized"), Failure.QUERY_FAILED, None),
        (error(503, "search_phase_execution_exception", "all shards failed"), Failure.HTTP_STATUS, None),
    ],
)
async def test_the_age_of_the_newest_document(answer, failure, age_s):
    rule = {"index": "citizens", "field": "@timestamp", "max_age": "15m"}
    result, server = await result_of(Cluster(**{"/citizens": answer}), timeout_s=2.0, freshness=rule)
    assert (result.failure, result.samples.get("freshness_s")) == (failure, age_s), result.message
    asked = next(request for request in server.requests if request.target.startswith("/citizens"))
    body = json.loads(asked.body)
    assert body["size"] == 0
    assert 0 < int(body["timeout"].removesuffix("ms")) <= 1900
    assert "allow_partial_search_results=false" in asked.target


@pytest.mark.parametrize(
    ("snapshots", "failure", "age_s"),
    [
        (None, None, 3600),
        ([{"state": "SUCCESS", "end_time_in_millis": (NOW_S - 7201) * 1000}], Failure.STALE, 7201),
        ([{"state": "FAILED", "end_time_in_millis": NOW_S * 1000}], Failure.STALE, None),
        (["nonsense", {"state": "SUCCESS", "end_time_in_millis": "x"}], Failure.STALE, None),
        ("nonsense", Failure.STALE, None),
    ],
)
async def test_the_age_of_the_newest_snapshot(snapshots, failure, age_s):
    answers = {} if snapshots is None else {"/_snapshot": {"snapshots": snapshots}}
    result, _ = await result_of(Cluster(**answers), snapshots={"repository": "nightly", "max_age": "2h"})
    assert (result.failure, result.samples.get("backup_age_s")) == (failure, age_s)


@pytest.mark.parametrize(
    ("field", "here", "there", "gap", "failure"),
    [
        (None, {"hits": {"total": {"value": 900}}}, {"hits": {"total": {"value": 1000}}}, 100, None),
        (None, {"hits": {"total": {"value": 899}}}, {"hits": {"total": {"value": 1000}}}, 101, Failure.STALE),
        ("id", aggregate(5), aggregate(7), 2, None),
        ("at", aggregate(5000, "x"), aggregate(206_000, "x"), 201, Failure.STALE),
        ("at", aggregate(None), aggregate(206_000, "x"), None, Failure.STALE),
    ],
)
async def test_two_clusters_in_step(field, here, there, gap, failure):
    async with serve(Cluster(**{"/citizens": there})) as other:
        rule = {"url": other.url, "index": "citizens", "max_gap": 100, "bearer_token": SECRET}
        rule |= {"field": field} if field else {}
        result, server = await result_of(Cluster(**{"/citizens": here}), in_step=rule)
    assert (result.failure, result.samples.get("gap")) == (failure, gap), result.message
    assert {request.header("Authorization") for request in other.requests} == {f"Bearer {SECRET}"}
    assert {request.header("Authorization") for request in server.requests} == {None}


async def test_the_other_cluster_s_trouble_names_it():
    rule = {"url": f"http://127.0.0.1:{refusing_port()}", "index": "citizens", "max_gap": 1}
    result, _ = await result_of(Cluster(), in_step=rule)
    assert result.failure is Failure.CONNECT_REFUSED
    assert result.message.startswith(f"the other one ({rule['url']}) cannot be asked: ")


async def test_what_the_login_may_not_see_is_absent_and_named():
    hidden = error(403, "security_exception", "action is unauthorized")
    async with serve(Cluster(**{"/_cluster/state/master_node": hidden, "/_cluster/stats": hidden})) as server:
        found = await measure_facts("elasticsearch", server.url)
    assert found.failure is None
    assert found.facts["unseen"] == "_cluster/state, _cluster/stats"
    assert "size_bytes" not in found.samples


@pytest.mark.parametrize(
    ("login", "header"),
    [
        (
            {"basic_auth": {"username": "u", "password": SECRET}},
            "Basic " + base64.b64encode(b"u:" + SECRET.encode()).decode(),
        ),
        ({"api_key": SECRET}, f"ApiKey {SECRET}"),
        ({"bearer_token": SECRET}, f"Bearer {SECRET}"),
    ],
)
async def test_logging_in(login, header):
    result, server = await result_of(Cluster(), details=False, **login)
    assert result.state is State.UP
    assert [request.header("Authorization") for request in server.requests] == [header]


@pytest.mark.parametrize(
    ("answer", "failure", "reason"),
    [
        (error(401, "security_exception", "unable to authenticate"), Failure.AUTH_REJECTED, "unable to authenticate"),
        (error(503, "master_not_discovered_exception", ""), Failure.HTTP_STATUS, "503: master_not_discovered"),
        (reply(502, b"<html>bad gateway"), Failure.HTTP_STATUS, "status 502: no reason given"),
        (reply(200, b"<html>hello"), Failure.PROTOCOL, "the answer is not JSON"),
        (reply(200, b"{}"), Failure.PROTOCOL, "no search cluster"),
        (reply(200, b"[1, 2]"), Failure.PROTOCOL, "no search cluster"),
        (reply(200, b'"green"'), Failure.PROTOCOL, "no search cluster"),
        (reply(200, b"[" * 500_000), Failure.PROTOCOL, "not JSON"),
        (reply(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000), Failure.PROTOCOL, "not JSON"),
        (reply(200, json.dumps(health(["x"])).encode()), Failure.PROTOCOL, "no search cluster"),
        (reply(200, b"", length=1 << 40), Failure.BODY_TOO_LARGE, ""),
        (endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), Failure.BODY_TOO_LARGE, ""),
        (redirect("http://169.254.169.254/"), Failure.HTTP_STATUS, "status 302"),
        (b"SSH-2.0-OpenSSH\r\n", Failure.PROTOCOL, ""),
        (reply(400, json.dumps({"error": "x\r\n" * 5000}).encode()), Failure.QUERY_FAILED, "x"),
        (reset, Failure.CONNECTION_RESET, ""),
        (then_wait(b"HTTP/1.1 200"), Failure.TIMEOUT, ""),
    ],
)
async def test_what_comes_instead_of_health(answer, failure, reason):
    result, _ = await result_of(answer, timeout_s=0.8, api_key=SECRET)
    assert (result.state, result.failure) == (State.DOWN, failure), result.message
    assert reason in result.message
    assert result.message.isprintable()
    assert len(result.message) <= 300


async def test_figures_that_are_none_are_absent():
    strange = health(number_of_nodes="x", active_shards=None, unassigned_shards=[1], number_of_pending_tasks=True)
    stats = {"indices": 5, "nodes": {"fs": {"total_in_bytes": 0, "available_in_bytes": 1}, "jvm": [], "versions": 8}}
    result, _ = await result_of(Cluster(**{"/_cluster/health": strange, "/_cluster/stats": stats}))
    assert result.state is State.UP
    assert not {"nodes", "shards", "shards_unassigned", "pending_tasks", "disk_used_ratio", "size_bytes"} & set(
        result.samples
    )


async def test_tls_is_verified_and_timed(tmp_path):
    authority = Authority(tmp_path)
    async with serve(Cluster(), authority.server()) as server:
        up = await run_once(prepare("elasticsearch", server.url, {"ca_file": str(authority.file)}, 5.0), "test")
        bad = await run_once(prepare("elasticsearch", server.url, {}, 5.0), "test")
    assert up.state is State.UP, up.message
    assert {"tls_s", "cert_expires_s"} <= set(up.samples)
    assert bad.failure is Failure.TLS_UNTRUSTED


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        (f"https://u:{SECRET}@es:9200", {}),
        ("es:9200", {}),
        ("https://es:9200", {"api_key": SECRET, "bearer_token": SECRET}),
        ("https://es:9200", {"api_key": SECRET + "\r\nX: y"}),
        ("https://es:9200", {"freshness": {"index": "a/../_all", "field": "t", "max_age": "1m"}}),
        ("https://es:9200", {"freshness": {"index": "a?x", "field": "t", "max_age": "1m"}}),
    ],
)
def test_wrong_use_is_explained_without_its_secret(url, parameters):
    with pytest.raises(WrongUseError) as told:
        prepare("elasticsearch", url, parameters)
    assert SECRET not in str(told.value)
