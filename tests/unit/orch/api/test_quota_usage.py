"""What objects count in quotas."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS, PERSISTENTVOLUMECLAIMS, PODS, RESOURCEQUOTAS, SERVICES
from orch.api.quota_usage import counts, in_scope, unspecified, usage
from tests.builders import NOW
from tests.unit.orch.api.objects import container, deployment, made, pod, service

GI = Decimal(1024**3)


def asking(name: str, requests: dict[str, Any], limits: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return container(name=name, resources={"requests": requests, "limits": limits or {}}, **fields)


def test_a_pod_counts_what_it_asks_for_at_its_largest() -> None:
    setup = asking("setup", {"cpu": 3}, {"cpu": 4})
    sidecar = asking("sidecar", {"cpu": "500m"}, restartPolicy="Always")
    app = asking("app", {"cpu": 1, "memory": "1Gi", "a.b/gpu": 2}, {"memory": "2Gi", "a.b/gpu": 2})
    counted = usage(PODS, pod(app, initContainers=[setup, sidecar], overhead={"cpu": "250m"}), NOW)
    assert counted == {
        "count/pods": 1, "pods": 1, "cpu": Decimal("3.25"), "requests.cpu": Decimal("3.25"),
        "limits.cpu": Decimal("4.25"), "memory": GI, "requests.memory": GI, "limits.memory": 2 * GI,
        "requests.a.b/gpu": 2,
    }  # fmt: skip


def test_huge_pages_count_under_both_names() -> None:
    pages = {"hugepages-2Mi": "4Mi"}
    counted = usage(PODS, pod(asking("app", pages | {"cpu": 1}, pages)), NOW)
    assert counted["hugepages-2Mi"] == counted["requests.hugepages-2Mi"] == 4 * 1024**2


def test_a_pod_that_is_over_is_an_object_only() -> None:
    busy = pod(asking("app", {"cpu": 1}))
    assert usage(PODS, replace(busy, status=replace(busy.status, phase="Failed")), NOW) == {"count/pods": 1}
    since = NOW - timedelta(seconds=31)
    going = replace(busy, metadata=replace(busy.metadata, deletion_timestamp=since, deletion_grace_period_seconds=30))
    assert usage(PODS, going, NOW) == {"count/pods": 1}
    assert "pods" in usage(PODS, going, NOW - timedelta(seconds=2))


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP"}, None, None),
        ({"type": "NodePort"}, 2, None),
        ({"type": "LoadBalancer"}, 2, 1),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, 0, 1),
    ],
)
def test_services(spec: dict[str, Any], ports: int | None, balancers: int | None) -> None:
    counted = usage(SERVICES, service({"name": "a", "port": 1}, {"name": "b", "port": 2}, **spec), NOW)
    assert (counted.get("services.nodeports"), counted.get("services.loadbalancers")) == (ports, balancers)
    assert (counted["services"], counted["count/services"]) == (1, 1)


def test_claims_count_for_their_class_too() -> None:
    spec = {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast"}
    counted = usage(PERSISTENTVOLUMECLAIMS, made(PERSISTENTVOLUMECLAIMS, {"spec": spec}), NOW)
    assert counted == {
        "count/persistentvolumeclaims": 1, "persistentvolumeclaims": 1, "requests.storage": GI,
        "fast.storageclass.storage.k8s.io/requests.storage": GI,
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": 1,
    }  # fmt: skip


def test_other_kinds_are_counted_by_name() -> None:
    assert usage(DEPLOYMENTS, deployment(), NOW) == {"count/deployments.apps": 1}
    assert set(usage(CONFIGMAPS, made(CONFIGMAPS, {}), NOW)) == {"count/configmaps", "configmaps"}


@pytest.mark.parametrize(
    ("kind", "resource", "expected"),
    [
        (PODS, "limits.memory", True),
        (PODS, "requests.a.b/gpu", True),
        (PODS, "requests.storage", False),
        (PODS, "count/jobs.batch", False),
        (SERVICES, "services.nodeports", True),
        (PERSISTENTVOLUMECLAIMS, "fast.storageclass.storage.k8s.io/requests.storage", True),
        (DEPLOYMENTS, "count/deployments.apps", True),
        (DEPLOYMENTS, "pods", False),
    ],
)
def test_which_kind_counts_where(kind: Any, resource: str, expected: bool) -> None:
    assert counts(kind, resource) is expected


def test_every_usage_is_of_a_resource_that_the_kind_counts() -> None:
    for kind, obj in ((PODS, pod(asking("a", {"cpu": 1, "a.b/c": 1}, {"cpu": 1, "a.b/c": 1}))), (SERVICES, service())):
        assert all(counts(kind, name) for name in usage(kind, obj, NOW))


def test_what_a_container_must_specify() -> None:
    both = pod(asking("a", {"cpu": 1}), container(name="b"), initContainers=[container(name="c")])
    assert unspecified(PODS, both, ("requests.cpu", "pods", "limits.memory")) == (
        "must specify limits.memory for: c,a,b; requests.cpu for: c,b"
    )
    assert unspecified(PODS, both, ("pods", "requests.ephemeral-storage")) == ""


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
        ({"scopeSelector": {"operator": "In", "values": ["high"]}}, True),
        ({"scopeSelector": {"operator": "NotIn", "values": ["high"]}}, False),
        ({"scopeSelector": {"operator": "DoesNotExist"}}, False),
        ({"scopeSelector": {"operator": "Exists"}}, True),
    ],
)
def test_scopes(spec: dict[str, Any], expected: bool) -> None:
    if "scopeSelector" in spec:
        spec = {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", **spec["scopeSelector"]}]}}
    busy = pod(asking("app", {"cpu": 1}), priorityClassName="high")
    busy = replace(busy, status=replace(busy.status, qos_class="Burstable"))
    assert in_scope(made(RESOURCEQUOTAS, {"spec": spec}), busy) is expected
    assert in_scope(made(RESOURCEQUOTAS, {"spec": spec}), service()) is (not spec)
