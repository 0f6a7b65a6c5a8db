"""Names, addresses and ports that follow from what a cluster is."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import spec as specs
from deploy.local.spec import ClusterError, ClusterSpec

LOCAL = ClusterSpec(name="local", node_count=3, subnet="172.30.4.0/24", cpus=0.5, memory_bytes=2**30)
INTERFACE_NAME_MAX = 15


@pytest.fixture(autouse=True)
def state_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(specs, "STATE_ROOT", tmp_path)
    return tmp_path


def test_nodes_and_ports() -> None:
    assert [node.name for node in LOCAL.nodes] == ["node-1", "node-2", "node-3"]
    assert LOCAL.gateway == "172.30.4.1"
    assert LOCAL.nodes[0].address == "172.30.4.11"
    assert (LOCAL.ports.api, LOCAL.ports.join, LOCAL.ports.registry_push) == (6443, 6445, 6449)
    assert LOCAL.ports.join == LOCAL.ports.node + 1, "agents join on the port after the sessions'"


@pytest.mark.parametrize("name", ["a", "local", "a-cluster-with-a-very-long-name"])
def test_interface_names_fit(name: str) -> None:
    cluster = replace(LOCAL, name=name, node_count=specs.NODES_MAX)
    assert all(len(node.link) <= INTERFACE_NAME_MAX for node in cluster.nodes)


def test_what_is_saved_loads_again() -> None:
    specs.save(LOCAL)
    assert specs.load("local") == LOCAL
    assert specs.names() == ["local"]
    assert specs.load("other") is None


def test_a_broken_file_says_what_to_do(state_root: Path) -> None:
    specs.save(LOCAL)
    (state_root / "local" / "cluster.json").write_text("{")
    with pytest.raises(ClusterError, match="orch cluster down --name local"):
        specs.load("local")


def test_without_root_nothing_is_said_of_removing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ClusterError, match="needs root") as failure:
        specs.load("local")
    assert "down" not in str(failure.value)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a" * 33, "../x"])
def test_names_that_are_no_good(name: str) -> None:
    with pytest.raises(ClusterError):
        specs.check_name(name)
