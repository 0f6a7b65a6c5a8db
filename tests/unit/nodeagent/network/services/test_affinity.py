import json

from nodeagent.network.services.affinity import Remembered, forget, parse_affinity
from nodeagent.network.services.compile import Backend, Frontend

OLD, NEW = Backend("10.244.1.5", 8080), Backend("10.244.1.6", 8080)
CLUSTER, NODE_PORT = Frontend("10.96.0.20", "tcp", 80), Frontend("", "tcp", 30080)


def entry(address: str, port: int, backend: Backend) -> Remembered:
    return Remembered("192.0.2.1", address, "tcp", port, backend)


def test_entries_are_read_from_what_nft_lists() -> None:
    key = {"elem": {"val": {"concat": ["192.0.2.1", "10.96.0.20", "tcp", 80]}, "timeout": 100, "expires": 99}}
    listed = {"nftables": [{"metainfo": {}}, {"map": {"elem": [[key, {"concat": ["10.244.1.5", 8080]}]]}}]}
    assert parse_affinity(json.dumps(listed)) == [entry("10.96.0.20", 80, OLD)]
    assert parse_affinity('{"nftables": [{"map": {"name": "affinity"}}]}') == []


def test_only_clients_of_a_backend_that_is_gone_are_forgotten() -> None:
    remembered = [
        entry("10.96.0.20", 80, OLD),
        entry("10.96.0.20", 80, NEW),
        entry("192.168.77.1", 30080, OLD),
        entry("10.96.0.99", 80, OLD),
    ]
    backends = {CLUSTER: frozenset({NEW}), NODE_PORT: frozenset({NEW})}
    assert forget(remembered, [CLUSTER, NODE_PORT], backends) == (
        "delete element ip orch affinity "
        "{ 192.0.2.1 . 10.96.0.20 . tcp . 80, 192.0.2.1 . 192.168.77.1 . tcp . 30080 }\n"
    )


def test_a_deleted_services_clients_are_forgotten() -> None:
    assert "10.96.0.20" in forget([entry("10.96.0.20", 80, OLD)], [CLUSTER], {})
    assert forget([entry("10.96.0.20", 80, OLD)], [CLUSTER], {CLUSTER: frozenset({OLD})}) == ""
