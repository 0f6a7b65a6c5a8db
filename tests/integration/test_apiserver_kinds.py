"""The kinds of apps, batch, autoscaling and policy as kubectl and the Python client see them, over the memory store."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, spread
from tests.unit.controlplane.apiserver.fakes import FakeStreams

KUBECTLS = spread()

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}
ONCE = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "x"}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}

OBJECTS: dict[str, dict[str, Any]] = {
    "podtemplate": {"apiVersion": "v1", "kind": "PodTemplate", "template": TEMPLATE},
    "rc": {"apiVersion": "v1", "kind": "ReplicationController", "spec": {"replicas": 2, "template": TEMPLATE}},
    "sts": {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "spec": {"selector": SELECTOR, "serviceName": "x", "template": TEMPLATE},
    },
    "ds": {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "controllerrevision": {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"a": 1}, "revision": 1},
    "job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": ONCE}},
    "cronjob": {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "spec": {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": {"template": ONCE}}},
    },
    "hpa": {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "spec": {"maxReplicas": 3, "scaleTargetRef": TARGET},
    },
    "pdb": {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"minAvailable": 1, "selector": SELECTOR},
    },
}
ROWS = {
    "rc": ["x", "2", "0", "0"],
    "sts": ["x", "0/1"],
    "ds": ["x", "0", "0", "0", "0", "0", "<none>"],
    "controllerrevision": ["x", "<none>", "1"],
    "job": ["x", "Running", "0/1"],
    "cronjob": ["x", "*/5", "*", "*", "*", "*", "Europe/Berlin", "False", "0", "<none>"],
    "hpa": ["x", "Deployment/x", "cpu:", "<unknown>/80%", "1", "3", "0"],
    "pdb": ["x", "1", "N/A", "0"],
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path, FakeStreams()) as running:
        yield running


@pytest.fixture(params=KUBECTLS, ids=lambda kubectl: kubectl.name)
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


def manifest() -> str:
    named = [{**each, "metadata": {"name": "x"}} for each in OBJECTS.values()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": named})


async def test_every_kind_is_applied_shown_and_deleted(running: RunningServer, kubectl: Kubectl) -> None:
    applied = await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=manifest())
    assert applied.count("created") == len(OBJECTS)
    again = await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=manifest())
    merged_as_json = 1 if kubectl.version == (1, 20) else 0  # it does not know batch/v1 CronJobs and replaces lists
    assert again.count("unchanged") == len(OBJECTS) - merged_as_json
    for name, row in ROWS.items():
        shown = await kubectl.run(running.kubeconfig, "get", name, "x", "--no-headers")
        assert shown.split()[: len(row)] == row
    await kubectl.run(running.kubeconfig, "scale", "--replicas=4", "rc/x", "sts/x")
    everything = await kubectl.run(running.kubeconfig, "get", "all", "-o", "name")
    assert {line.partition("/")[0] for line in everything.split()} >= {
        "replicationcontroller", "daemonset.apps", "statefulset.apps", "job.batch", "cronjob.batch",
        "horizontalpodautoscaler.autoscaling",
    }  # fmt: skip
    deleted = await kubectl.run(running.kubeconfig, "delete", "-f", "-", stdin=manifest())
    assert deleted.count("deleted") == len(OBJECTS)


async def test_kubectl_makes_them_itself(running: RunningServer, kubectl: Kubectl) -> None:
    async def run(*arguments: str, check: bool = True) -> str:
        return (await kubectl.run(running.kubeconfig, *arguments, check=check)).strip()

    await run("create", "deployment", "x", "--image=app:1")
    await run("autoscale", "deployment", "x", "--min=2", "--max=4", "--cpu-percent=60")
    path = "{.spec.targetCPUUtilizationPercentage}"
    assert await run("get", "horizontalpodautoscalers.v1.autoscaling", "x", "-o", f"jsonpath={path}") == "60"
    path = "{.spec.metrics[*].resource.target.averageUtilization}"
    assert await run("get", "horizontalpodautoscalers.v2.autoscaling", "x", "-o", f"jsonpath={path}") == "60"
    await run(
        "patch", "horizontalpodautoscalers.v1.autoscaling", "x", "-p", '{"spec":{"targetCPUUtilizationPercentage":70}}'
    )
    assert await run("get", "hpa", "x", "-o", f"jsonpath={path}") == "70"
    await run("create", "job", "once", "--image=app:1", "--", "true")
    path = "{.spec.selector.matchLabels}"
    assert "batch.kubernetes.io/controller-uid" in await run("get", "job", "once", "-o", f"jsonpath={path}")
    await run(
        "create", "poddisruptionbudget", "b", "--selector=app=x", "--min-available=50%", check=kubectl.version > (1, 20)
    )
    refused = await run("patch", "job", "once", "-p", '{"spec":{"completions":5}}', check=False)
    assert "spec.completions: Invalid value: 5: field is immutable" in refused
    for field in ("job.spec.podFailurePolicy.rules", "sts.spec.volumeClaimTemplates", "cronjob.spec.timeZone"):
        assert field.rpartition(".")[2] in await run("explain", field)


def write_and_read_events(kubeconfig: str) -> list[tuple[str, str]]:
    """(note, regarding) of the events that events.k8s.io shows of one pod, one written in each form."""
    api = config.new_client_from_config(kubeconfig)
    new, old = client.EventsV1Api(api), client.CoreV1Api(api)
    now = datetime.now(UTC)
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name="new"), event_time=now, action="Act", reason="Because",
        note="in the new form",
        regarding=about, reporting_controller="example.com/c", reporting_instance="c-0", type="Normal",
    )  # fmt: skip
    new.create_namespaced_event("default", event)
    plain = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="old"), event_time=now, action="Act", reason="Because",
        message="in the old form", involved_object=about, reporting_component="example.com/c",
        reporting_instance="c-0", type="Normal",
    )  # fmt: skip
    old.create_namespaced_event("default", plain)
    listed = new.list_namespaced_event("default", field_selector="regarding.name=p")
    assert [each.message for each in old.list_namespaced_event("default").items] == [
        "in the new form",
        "in the old form",
    ]
    return [(each.note, each.regarding.name) for each in listed.items]


async def test_events_of_both_forms_are_the_same_objects(running: RunningServer) -> None:
    found = await asyncio.to_thread(write_and_read_events, str(running.kubeconfig))
    assert found == [("in the new form", "p"), ("in the old form", "p")]
