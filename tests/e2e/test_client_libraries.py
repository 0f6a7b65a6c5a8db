"""The other Python clients against a running cluster: kubernetes_asyncio and lightkube, as their users write."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import kubernetes_asyncio as aio
import pytest
from kubernetes import client, config, dynamic, stream, utils
from kubernetes_asyncio.stream import WsApiClient
from lightkube import Client, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import CascadeType, PatchType

from tests.e2e.cluster import Cluster
from tests.e2e.pods import deployment, pod

SAID = b"0123456789" * 5_000
SPEAKER = ("sh", "-c", "echo hi; sleep 1000")
PATCHES = {
    "application/merge-patch+json": {"data": {"b": "2"}},
    "application/strategic-merge-patch+json": {"data": {"c": "3"}},
    "application/json-patch+json": [{"op": "add", "path": "/data/d", "value": "4"}],
}


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def lightkube(cluster: Cluster) -> Iterator[Client]:
    with Client(config=KubeConfig.from_file(cluster.kubeconfig), field_manager="tester") as connection:
        yield connection


async def test_kubernetes_asyncio_runs_watches_and_enters_a_pod(cluster: Cluster) -> None:
    settings = aio.client.Configuration()
    await aio.config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    async with aio.client.ApiClient(settings) as connection, aio.watch.Watch() as watch:
        core = aio.client.CoreV1Api(connection)
        await core.create_namespaced_pod("default", pod("aio", *SPEAKER))
        seen = watch.stream(core.list_namespaced_pod, "default", field_selector="metadata.name=aio", timeout_seconds=30)
        assert "Running" in [event["object"].status.phase async for event in _until_running(seen)]
        assert await core.read_namespaced_pod_log("aio", "default") == "hi\n"
    async with WsApiClient(settings) as sockets:
        core = aio.client.CoreV1Api(sockets)
        said = await core.connect_get_namespaced_pod_exec(
            "aio", "default", command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True
        )
        assert sorted(said.splitlines()) == ["err", "out"]
    async with aio.client.ApiClient(settings) as connection:
        await aio.client.CoreV1Api(connection).delete_namespaced_pod("aio", "default", grace_period_seconds=0)


async def _until_running(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    async for event in events:
        yield event
        if event["object"].status.phase == "Running":
            return


async def test_kubernetes_asyncio_changes_by_every_kind_of_patch(cluster: Cluster) -> None:
    settings = aio.client.Configuration()
    await aio.config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    async with aio.client.ApiClient(settings) as connection:
        core = aio.client.CoreV1Api(connection)
        await core.create_namespaced_config_map("default", config_map("aio", a="1"))
        for content_type, patch in PATCHES.items():
            await core.patch_namespaced_config_map("aio", "default", patch, _content_type=content_type)
        applied = await core.patch_namespaced_config_map(
            "aio",
            "default",
            config_map("aio", e="5"),
            field_manager="aio",
            _content_type="application/apply-patch+yaml",
        )
        assert applied.data == {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
        await core.delete_namespaced_config_map("aio", "default")


def test_lightkube_changes_and_applies(lightkube: Client) -> None:
    made = ConfigMap(metadata=ObjectMeta(name="light", namespace="default"), data={"a": "1"})
    lightkube.create(made)
    for kind, content_type in zip((PatchType.MERGE, PatchType.STRATEGIC, PatchType.JSON), PATCHES, strict=True):
        lightkube.patch(ConfigMap, "light", PATCHES[content_type], patch_type=kind)
    assert lightkube.get(ConfigMap, "light").data == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert {"light"} <= {one.metadata.name for one in lightkube.list(ConfigMap, chunk_size=1) if one.metadata}
    lightkube.delete(ConfigMap, "light")
    lightkube.apply(made)
    other = ConfigMap(metadata=made.metadata, data={"a": "2"})
    with pytest.raises(ApiError, match=r'conflict with "tester": \.data\.a'):
        lightkube.apply(other, field_manager="other")
    assert lightkube.apply(other, field_manager="other", force=True).data == {"a": "2"}
    lightkube.delete(ConfigMap, "light")
    with pytest.raises(ApiError, match='configmaps "light" not found'):
        lightkube.get(ConfigMap, "light")


def test_lightkube_runs_a_pod_and_scales_a_deployment(lightkube: Client) -> None:
    lightkube.create(Pod.from_dict(pod("light", *SPEAKER)), namespace="default")
    lightkube.wait(Pod, "light", for_conditions=["Ready"])
    assert list(lightkube.log("light")) == ["hi\n"]
    event, watched = next(iter(lightkube.watch(Pod, fields={"metadata.name": "light"})))
    assert (event, watched.status and watched.status.phase) == ("ADDED", "Running")
    lightkube.create(Deployment.from_dict(deployment("light", 1, "sleep", "1000")), namespace="default")
    lightkube.patch(Deployment.Scale, "light", {"spec": {"replicas": 0}})
    scaled = lightkube.get(Deployment, "light")
    assert scaled.spec is not None
    assert scaled.spec.replicas == 0
    lightkube.delete(Deployment, "light", cascade=CascadeType.FOREGROUND)
    lightkube.delete(Pod, "light", grace_period=0)


def test_the_dynamic_client_and_create_from_dict(cluster: Cluster) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    with client.ApiClient(settings) as connection:
        utils.create_from_dict(connection, config_map("made", a="1"), namespace="default")
        maps = dynamic.DynamicClient(connection).resources.get(api_version="v1", kind="ConfigMap")
        maps.patch(config_map("made", b="2"), namespace="default", content_type="application/merge-patch+json")
        applied = maps.server_side_apply(config_map("made", c="3"), namespace="default", field_manager="tester")
        assert applied.data.to_dict() == {"a": "1", "b": "2", "c": "3"}
        maps.delete("made", "default")


@pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")  # by the client's own exception
def test_create_from_dict_shows_every_refusal_on_a_line_of_its_own(cluster: Cluster) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    with client.ApiClient(settings) as connection:
        thrice = {"apiVersion": "v1", "kind": "List", "items": [config_map("twice")] * 3}
        with pytest.raises(utils.FailToCreateError) as refused:
            utils.create_from_dict(connection, thrice)
        client.CoreV1Api(connection).delete_namespaced_config_map("twice", "default")
    first, second = str(refused.value).splitlines()
    assert first == second
    assert first.endswith('"reason":"AlreadyExists","details":{"name":"twice","kind":"configmaps"},"code":409}')


def test_the_streams_of_a_pod_carry_both_directions(cluster: Cluster) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    echo = pod("echo", "sh", "-c", "nc -ll -p 7 -e cat & while read x; do echo got $x; done", container={"stdin": True})
    cluster.apply(echo)
    cluster.wait_ready("echo")
    with client.ApiClient(settings) as connection:
        core = client.CoreV1Api(connection)
        attached = stream.stream(
            core.connect_get_namespaced_pod_attach, "echo", "default",
            stdin=True, stdout=True, stderr=True, _preload_content=False,
        )  # fmt: skip
        attached.write_stdin("hello\n")
        assert attached.readline_stdout(timeout=10) == "got hello"
        attached.close()
    with client.ApiClient(settings) as connection:
        core = client.CoreV1Api(connection)
        forward = stream.portforward(core.connect_get_namespaced_pod_portforward, "echo", "default", ports="7")
        socket = forward.socket(7)
        socket.setblocking(True)
        socket.sendall(SAID)
        with socket.makefile("rb") as file:
            assert file.read(len(SAID)) == SAID
        socket.close()
        assert forward.error(7) is None
    with client.ApiClient(settings) as connection:
        core = client.CoreV1Api(connection)
        missing = stream.stream(
            core.connect_get_namespaced_pod_exec, "echo", "default",
            command=["nonexistent"], stdout=True, stderr=True, _preload_content=False,
        )  # fmt: skip
        missing.run_forever(timeout=10)
        status = json.loads(missing.read_channel(stream.ws_client.ERROR_CHANNEL))
        assert "nonexistent" in status["details"]["causes"][0]["message"]
        missing.sock.shutdown()
        core.delete_namespaced_pod("echo", "default", grace_period_seconds=0)
