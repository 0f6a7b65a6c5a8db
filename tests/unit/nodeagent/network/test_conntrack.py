from nodeagent.network.conntrack import Flow, stale_flows
from nodeagent.network.services.compile import Backend, Frontend

CLUSTER, NODE_PORT = Frontend("10.96.0.20", "udp", 53), Frontend("", "udp", 30053)
OLD, NEW = Backend("10.244.1.5", 53), Backend("10.244.1.6", 53)
OWN = frozenset({"192.168.77.1"})


def flow(address: str, port: int, answered_by: Backend) -> Flow:
    return Flow(Backend(address, port), answered_by, b"")


def test_flows_to_an_endpoint_that_is_gone_are_stale() -> None:
    old, new = flow("10.96.0.20", 53, OLD), flow("10.96.0.20", 53, NEW)
    assert stale_flows([old, new], [CLUSTER], {CLUSTER: frozenset({NEW})}, OWN) == [old]


def test_a_flow_from_before_there_was_an_endpoint_is_stale() -> None:
    untranslated = flow("192.168.77.1", 30053, Backend("192.168.77.1", 30053))
    assert stale_flows([untranslated], [NODE_PORT], {NODE_PORT: frozenset({NEW})}, OWN) == [untranslated]


def test_other_flows_are_none_of_our_business() -> None:
    others = [flow("192.0.2.1", 30053, OLD), flow("10.96.0.21", 53, OLD)]
    assert stale_flows(others, [CLUSTER, NODE_PORT], {}, OWN) == []
