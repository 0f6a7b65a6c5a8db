"""What nodes and pods use, in kubectl's columns."""

from typing import Any

from tests.unit.orch.cli.fake_api import Cli

GROUP = "/apis/metrics.k8s.io/v1beta1"


def pod(name: str, cpu: str, memory: str) -> dict[str, Any]:
    container = {"name": "app", "usage": {"cpu": cpu, "memory": memory}}
    return {"metadata": {"name": name, "namespace": "default"}, "containers": [container, container]}


def test_pods_are_the_sum_of_their_containers_largest_first(cli: Cli) -> None:
    items = [pod("small", "1000000n", "1024Ki"), pod("large", "250m", "64Mi")]
    cli.api.put(f"{GROUP}/namespaces/default/pods", {"items": items})
    out = cli.run("top", "pods", "--sort-by", "cpu").out
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "CPU(cores)", "MEMORY(bytes)"],
        ["large", "500m", "128Mi"],
        ["small", "2m", "2Mi"],
    ]
    assert cli.run("top", "pods", "--containers", "--no-headers").out.splitlines()[0].split() == [
        "small", "app", "1m", "1Mi",
    ]  # fmt: skip


def test_nodes_show_their_share_of_what_is_allocatable(cli: Cli) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}
    cli.api.put("/api/v1/nodes", {"items": [node]})
    usage = {"metadata": {"name": "n1"}, "usage": {"cpu": "500000000n", "memory": "262144Ki"}}
    cli.api.put(f"{GROUP}/nodes", {"items": [usage]})
    assert cli.run("top", "node").out.splitlines()[1].split() == ["n1", "500m", "25%", "256Mi", "25%"]


def test_no_metrics_yet_is_said(cli: Cli) -> None:
    cli.api.put(f"{GROUP}/namespaces/default/pods", {"items": []})
    assert "No metrics yet" in cli.run("top", "pods").err
    assert "there are no metrics of pod 'gone'" in cli.run("top", "pod", "gone").err
