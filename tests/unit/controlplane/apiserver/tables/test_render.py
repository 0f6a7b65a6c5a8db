"""Every kind's row: one value per column, and the values that users look for."""

import json
from typing import Any

import pytest

from controlplane.apiserver.tables.render import GENERIC, PRINTERS, table_body
from controlplane.registry.interface import Stored
from orch.api.kind import Kind
from orch.api.kinds import ALL_KINDS, builtin_kinds
from orch.errors import BadRequest
from tests.builders import NOW

CREATED = {"creationTimestamp": "2026-01-01T11:00:00Z"}
CONTAINERS = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}}


def kind_named(name: str) -> Kind[Any]:
    return next(kind for kind in ALL_KINDS if kind.kind == name)


def row(name: str, **plain: Any) -> list[Any]:
    kind = kind_named(name)
    plain["metadata"] = {"name": "x", **CREATED, **plain.get("metadata", {})}
    return list(PRINTERS[kind.group, kind.plural].cells(kind.codec.from_plain(plain), NOW))


@pytest.mark.parametrize(("resource", "printer"), PRINTERS.items(), ids=lambda value: str(value)[:30])
def test_one_cell_per_column(resource: tuple[str, str], printer: Any) -> None:
    kind = next(kind for kind in builtin_kinds().stored() if (kind.group, kind.plural) == resource)
    assert len(printer.cells(kind.codec.from_plain({"metadata": {"name": "x"}}), NOW)) == len(printer.columns)


def test_every_kind_of_ours_has_its_own_columns() -> None:
    assert {(kind.stored.group, kind.plural) for kind in ALL_KINDS} == set(PRINTERS)


def test_deployment_and_replica_set() -> None:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": CONTAINERS}
    status = {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}
    wide = ["a,b", "i:1,j:2", "app=x"]
    assert row("Deployment", spec=spec, status=status) == ["x", "2/3", 1, 2, "60m", *wide]
    status = {"replicas": 3, "readyReplicas": 2}
    assert row("ReplicaSet", spec=spec, status=status) == ["x", 3, 3, 2, "60m", *wide]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        pytest.param(
            {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}, {"port": 81}]},
            {},
            ["NodePort", "10.96.0.9", "<none>", "80:30080/TCP,81/TCP"],
            id="node port",
        ),
        pytest.param(
            {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{"port": 53, "protocol": "UDP"}]},
            {},
            ["LoadBalancer", "10.96.0.9", "<pending>", "53/UDP"],
            id="load balancer without address",
        ),
        pytest.param(
            {"type": "LoadBalancer", "externalIPs": ["1.2.3.4"]},
            {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}},
            ["LoadBalancer", "<none>", "lb.example,1.2.3.4", "<none>"],
            id="load balancer",
        ),
        pytest.param(
            {"type": "ExternalName", "externalName": "a.example"},
            {},
            ["ExternalName", "<none>", "a.example", "<none>"],
            id="external name",
        ),
    ],
)
def test_service(spec: dict[str, Any], status: dict[str, Any], expected: list[str]) -> None:
    assert row("Service", spec=spec, status=status)[1:5] == expected


def test_endpoints_name_three_and_count_the_rest() -> None:
    addresses = [{"ip": f"10.0.0.{n}"} for n in range(1, 6)]
    subsets = [{"addresses": addresses, "ports": [{"port": 80}]}]
    assert row("Endpoints", subsets=subsets)[1] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert row("Endpoints")[1] == "<none>"
    slices = {"endpoints": [{"addresses": [a["ip"]]} for a in addresses], "ports": [{"port": 80}, {"name": "any"}]}
    assert row("EndpointSlice", addressType="IPv4", **slices)[1:4] == [
        "IPv4", "80,*", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...",
    ]  # fmt: skip
    assert row("EndpointSlice", addressType="IPv4")[2:4] == ["<unset>", "<unset>"]


def test_node() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6", "containerRuntimeVersion": "c"},
    }
    labels = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": "", "kubernetes.io/role": "spare"}
    cells = row("Node", metadata={"labels": labels}, spec={"unschedulable": True}, status=status)
    assert cells == [
        "x", "Ready,SchedulingDisabled", "edge,spare,worker", "60m", "v1", "10.1.0.1", "<none>", "Debian", "6", "c",
    ]  # fmt: skip
    assert row("Node")[1:3] == ["Unknown", "<none>"]
    assert row("Node", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})[1] == "NotReady"


def test_event() -> None:
    fields = {"type": "Warning", "reason": "Failed", "message": "no\n", "source": {"component": "agent", "host": "n1"}}
    about = {"kind": "Pod", "name": "web", "fieldPath": "spec"}
    times = {"firstTimestamp": "2026-01-01T11:50:00Z", "lastTimestamp": "2026-01-01T11:59:30Z", "count": 4}
    assert row("Event", involvedObject=about, **fields, **times) == [
        "30s", "Warning", "Failed", "pod/web", "spec", "agent, n1", "no", "10m", 4, "x",
    ]  # fmt: skip
    series = {"count": 7, "lastObservedTime": "2026-01-01T11:59:50.000000Z"}
    cells = row("Event", involvedObject=about, eventTime="2026-01-01T11:59:00.000000Z", series=series)
    assert (cells[0], cells[7], cells[8]) == ("10s", "60s", 7)


def test_small_kinds() -> None:
    assert row("Namespace", status={"phase": "Active"}) == ["x", "Active", "60m"]
    assert row("ConfigMap", data={"a": "1"}, binaryData={"b": "MQ=="}) == ["x", 2, "60m"]
    assert row("Secret", type="Opaque", data={"a": "MQ=="}) == ["x", "Opaque", 1, "60m"]
    assert row("ServiceAccount", secrets=[{"name": "s"}]) == ["x", 1, "60m"]
    assert row("Lease", spec={"holderIdentity": "me"}) == ["x", "me", "60m"]


def test_table_of_a_kind_without_columns() -> None:
    kind = kind_named("Namespace")
    unknown: Kind[Any] = Kind("example.org", "v1", "Thing", "things", kind.codec)
    obj = kind.codec.from_plain({"metadata": {"name": "x", **CREATED}})
    table = json.loads(table_body(unknown, [Stored(obj, 7, b"{}")], {"resourceVersion": "7"}, "v1", "None", NOW))
    assert [column["name"] for column in table["columnDefinitions"]] == [column.name for column in GENERIC.columns]
    assert table["rows"] == [{"cells": ["x", "60m"]}]


def test_unknown_include_object() -> None:
    with pytest.raises(BadRequest, match="includeObject"):
        table_body(kind_named("Namespace"), (), {}, "v1", "Some", NOW)


def test_kinds_that_keep_pods() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, **CONTAINERS}
    keeper = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    shown = ["a,b", "i:1,j:2"]
    assert row("StatefulSet", spec=keeper, status={"readyReplicas": 2}) == ["x", "2/3", "60m", *shown]
    controller = {**keeper, "selector": {"app": "x"}}
    assert row("ReplicationController", spec=controller, status={"replicas": 3}) == [
        "x",
        3,
        3,
        0,
        "60m",
        *shown,
        "app=x",
    ]
    status = {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1, "numberAvailable": 1}
    daemon = {key: value for key, value in keeper.items() if key != "replicas"}
    assert row("DaemonSet", spec=daemon, status=status) == ["x", 3, 2, 1, 0, 1, "<none>", "60m", *shown, "app=x"]
    assert row("PodTemplate", template=template) == ["x", *shown, "app=x"]
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    assert row("ControllerRevision", revision=2, metadata={"ownerReferences": [owner]}) == [
        "x", "daemonset.apps/d", 2, "60m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"completions": 3}, {"succeeded": 1}, ["Running", "1/3", ""]),
        ({"parallelism": 2}, {}, ["Running", "0/1 of 2", ""]),
        (
            {"completions": 1},
            {"succeeded": 1, "startTime": "2026-01-01T11:00:00Z", "completionTime": "2026-01-01T11:00:09Z"}
            | {"conditions": [{"type": "Complete", "status": "True"}]},
            ["Complete", "1/1", "9s"],
        ),
        ({}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ["Suspended", "0/1", ""]),
    ],
)
def test_jobs(spec: dict[str, Any], status: dict[str, Any], expected: list[Any]) -> None:
    assert row("Job", spec=spec, status=status)[1:4] == expected


def test_cron_jobs() -> None:
    spec = {"schedule": "@daily", "suspend": False, "jobTemplate": {"spec": {"template": CONTAINERS}}}
    cells = row("CronJob", spec=spec, status={"lastScheduleTime": "2026-01-01T11:30:00Z", "active": [{}]})
    assert cells == ["x", "@daily", "<none>", "False", 1, "30m", "60m", "a,b", "i:1,j:2", "<none>"]


def test_autoscalers_and_budgets() -> None:
    metrics = [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        {"type": "External", "external": {"metric": {}, "target": {"type": "AverageValue", "averageValue": "5"}}},
        {"type": "Object", "object": {"metric": {}, "target": {"type": "Value", "value": "9"}}},
    ]
    current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}]
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": metrics}
    assert row("HorizontalPodAutoscaler", spec=spec, status={"currentMetrics": current, "currentReplicas": 2}) == [
        "x", "Deployment/web", "cpu: 40%/80%, <unknown>/5 (avg) + 1 more...", "<unset>", 5, 2, "60m",
    ]  # fmt: skip
    assert row("PodDisruptionBudget", spec={"minAvailable": "50%"}) == ["x", "50%", "N/A", 0, "60m"]


def test_another_form_has_the_columns_of_the_stored_kind() -> None:
    form = next(kind for kind in ALL_KINDS if kind.api_version == "events.k8s.io/v1")
    event = form.codec.from_plain(
        {"metadata": {"name": "x"}, "note": "hello", "regarding": {"kind": "Pod", "name": "p"}}
    )
    stored = Stored(event, 1, form.codec.encode(event))
    table = json.loads(table_body(form, (stored,), {}, "v1", "Object", NOW))
    assert {"pod/p", "hello"} <= set(table["rows"][0]["cells"])
    assert table["rows"][0]["object"]["note"] == "hello"
