"""The kind `opensearch`: what differs from `elasticsearch`, whose tests run both."""

from alerts.model import State
from monitor.oneshot import prepare, run_once
from tests.probes.http_servers import serve
from tests.probes.search_servers import Cluster


async def test_the_leader_is_asked_for_as_opensearch_calls_it():
    async with serve(Cluster("cluster_manager_node")) as server:
        result = await run_once(prepare("opensearch", server.url, {}, 5.0), "test")
    assert result.state is State.UP
    targets = [request.target for request in server.requests]
    assert "/_cluster/state/cluster_manager_node?filter_path=cluster_manager_node" in targets
