"""The API server over the real chain and the memory store, used by the Python `kubernetes` client as users have it."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS
from orch.api.meta import ObjectMeta
from orch.api.subresources import Scale
from orch.client.client import EventType, PatchType
from orch.client.http import connect
from orch.errors import AlreadyExists, Conflict
from tests.apiserver import RunningServer, memory_server

R = TypeVar("R")

pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")
"""The client reads the headers of errors by a deprecated name."""

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}
IN_DEFAULT = {"name": "web", "namespace": "default"}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD["spec"]},
    },
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


@pytest.fixture
async def core(running: RunningServer) -> AsyncIterator[kubernetes.client.CoreV1Api]:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(running.kubeconfig), client_configuration=configuration)
    with kubernetes.client.ApiClient(configuration) as client:
        yield kubernetes.client.CoreV1Api(client)


async def run(call: Callable[..., R], *arguments: Any, **options: Any) -> R:
    """A blocking call of the client in a thread; the server runs on this loop."""
    return await asyncio.to_thread(call, *arguments, **options)


async def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(ApiException) as caught:
        await run(call, *arguments, **options)
    assert caught.value.body is not None
    return caught.value.status, json.loads(caught.value.body)["reason"]


async def test_crud_of_a_pod(core: kubernetes.client.CoreV1Api) -> None:
    created = await run(core.create_namespaced_pod, "default", POD)
    assert (created.metadata.uid, created.status.phase, created.spec.restart_policy) != ("", None, None)
    assert await refused(core.create_namespaced_pod, "default", POD) == (409, "AlreadyExists")
    read = await run(core.read_namespaced_pod, "web", "default")
    assert read.metadata.resource_version == created.metadata.resource_version
    read.metadata.labels["tier"] = "front"
    replaced = await run(core.replace_namespaced_pod, "web", "default", read)
    assert replaced.metadata.labels == {"app": "web", "tier": "front"}
    assert await refused(core.replace_namespaced_pod, "web", "default", read) == (409, "Conflict")
    patched = await run(core.patch_namespaced_pod, "web", "default", {"metadata": {"labels": {"tier": None}}})
    assert patched.metadata.labels == {"app": "web"}
    listed = await run(core.list_pod_for_all_namespaces, label_selector="app in (web)")
    assert [pod.metadata.name for pod in listed.items] == ["web"]
    await run(core.delete_namespaced_pod, "web", "default", grace_period_seconds=0)
    assert await refused(core.read_namespaced_pod, "web", "default") == (404, "NotFound")


async def test_lists_are_paged_at_one_revision(core: kubernetes.client.CoreV1Api) -> None:
    for number in range(5):
        body = {"metadata": {"name": f"c{number}"}}
        await run(core.create_namespaced_config_map, "default", body)
    first = await run(core.list_namespaced_config_map, "default", limit=2)
    await run(core.delete_namespaced_config_map, "c4", "default")
    token, names = first.metadata._continue, [item.metadata.name for item in first.items]
    while token:
        page = await run(core.list_namespaced_config_map, "default", limit=2, _continue=token)
        token, names = page.metadata._continue, names + [item.metadata.name for item in page.items]
        assert page.metadata.resource_version == first.metadata.resource_version
    assert names == ["c0", "c1", "c2", "c3", "c4"]


async def test_watch_sees_every_change_in_order(core: kubernetes.client.CoreV1Api) -> None:
    events: list[tuple[str, str]] = []
    watching = threading.Event()
    start = (await run(core.list_namespaced_pod, "default")).metadata.resource_version

    def watch() -> None:
        watching.set()
        stream = kubernetes.watch.Watch()
        for event in stream.stream(core.list_namespaced_pod, "default", resource_version=start, timeout_seconds=20):
            events.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                stream.stop()

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(watch))
        await run(watching.wait)
        await run(core.create_namespaced_pod, "default", POD)
        await run(core.patch_namespaced_pod, "web", "default", {"metadata": {"labels": {"a": "b"}}})
        await run(core.delete_namespaced_pod, "web", "default", grace_period_seconds=0)
    assert (events[0], events[-1]) == (("ADDED", "web"), ("DELETED", "web"))
    assert ("MODIFIED", "web") in events


async def test_deployments_scale_and_status(running: RunningServer, core: kubernetes.client.CoreV1Api) -> None:
    apps = kubernetes.client.AppsV1Api(core.api_client)
    await run(apps.create_namespaced_deployment, "default", DEPLOYMENT)
    scale = await run(apps.read_namespaced_deployment_scale, "web", "default")
    assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")
    scale.spec.replicas = 5
    assert (await run(apps.replace_namespaced_deployment_scale, "web", "default", scale)).spec.replicas == 5
    patched = await run(apps.patch_namespaced_deployment_scale, "web", "default", {"spec": {"replicas": 1}})
    assert patched.spec.replicas == 1
    status = {"status": {"replicas": 1, "readyReplicas": 1}}
    await run(apps.patch_namespaced_deployment_status, "web", "default", status)
    read = await run(apps.read_namespaced_deployment, "web", "default")
    assert (read.spec.replicas, read.status.ready_replicas, read.metadata.generation) == (1, 1, 3)


async def test_errors_have_the_codes_of_kubernetes(core: kubernetes.client.CoreV1Api) -> None:
    assert await refused(core.create_namespaced_pod, "nowhere", POD) == (404, "NotFound")
    assert await refused(core.create_namespaced_pod, "default", POD | {"spec": {}}) == (422, "Invalid")
    assert await refused(core.create_namespaced_pod, "default", POD | {"spec": {"containers": 1}}) == (
        400,
        "BadRequest",
    )
    assert await refused(core.list_namespaced_pod, "default", label_selector="a in (") == (400, "BadRequest")
    assert await refused(core.list_namespaced_pod, "default", field_selector="no.such=x") == (400, "BadRequest")
    assert await refused(core.list_namespaced_pod, "default", _continue="nonsense") == (400, "BadRequest")
    unknown = POD | {"spec": POD["spec"] | {"unknown": 1}}
    assert await refused(core.create_namespaced_pod, "default", unknown, field_validation="Strict") == (
        400, "BadRequest",
    )  # fmt: skip


async def test_dry_run_stores_nothing(core: kubernetes.client.CoreV1Api) -> None:
    created = await run(core.create_namespaced_pod, "default", POD, dry_run="All")
    assert created.metadata.uid
    assert await refused(core.read_namespaced_pod, "web", "default") == (404, "NotFound")


async def test_delete_collection(core: kubernetes.client.CoreV1Api) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await run(core.create_namespaced_config_map, "default", {"metadata": {"name": name, "labels": {"l": label}}})
    await run(core.delete_collection_namespaced_config_map, "default", label_selector="l=x")
    left = await run(core.list_namespaced_config_map, "default")
    assert [item.metadata.name for item in left.items] == ["c"]


async def test_discovery_by_the_dynamic_client(core: kubernetes.client.CoreV1Api) -> None:
    dynamic = await run(kubernetes.dynamic.DynamicClient, core.api_client)
    resource = await run(dynamic.resources.get, api_version="apps/v1", kind="Deployment")
    created = await run(resource.create, body=DEPLOYMENT, namespace="default")
    assert created.metadata.name == "web"
    version = await run(kubernetes.client.VersionApi(core.api_client).get_code)
    assert (version.major, version.minor) == ("1", "34")


async def test_http_client_against_the_real_chain(running: RunningServer) -> None:
    config_map = ConfigMap(metadata=ObjectMeta(name="c", namespace="default"), data={"a": "1"})
    async with connect(running.access, user_agent="tests/1") as client:
        made = await client.create(CONFIGMAPS, config_map)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIGMAPS, config_map)
        async with client.watch(CONFIGMAPS, "default", resource_version=made.metadata.resource_version) as events:
            patched = await client.patch(
                CONFIGMAPS, "c", "default", [{"op": "add", "path": "/data/b", "value": "2"}], patch_type=PatchType.JSON
            )
            event = await anext(events)
        assert (event.type, event.obj, event.obj.data) == (EventType.MODIFIED, patched, {"a": "1", "b": "2"})
        with pytest.raises(Conflict):
            await client.update(CONFIGMAPS, made)
        page = await client.list(DEPLOYMENTS)
        assert page.items == ()
        await client.create(DEPLOYMENTS, DEPLOYMENTS.codec.from_plain(DEPLOYMENT | {"metadata": IN_DEFAULT}))
        scale = await client.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 4}}, subresource="scale")
        assert isinstance(scale, Scale)
        assert scale.spec.replicas == 4
        await client.delete(CONFIGMAPS, "c", "default")
