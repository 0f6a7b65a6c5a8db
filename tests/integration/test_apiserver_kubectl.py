"""kubectl against the real chain over the memory store: the oldest version we promise, the newest, one between."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.apiserver.streams import ExecRequest, LogRequest
from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, newest, spread
from tests.unit.controlplane.apiserver.fakes import FakeStreams

KUBECTLS = spread()

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  colour: {colour}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {{tier: front}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      containers:
      - name: app
        image: app:{image}
        ports: [{{containerPort: 80}}]
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80}}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  nodeName: node-1
  containers: [{name: app, image: "app:1"}]
"""


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
async def running(tmp_path: Path, streams: FakeStreams) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path, streams) as running:
        yield running


@pytest.fixture(params=KUBECTLS, ids=lambda kubectl: kubectl.name)
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


async def create_config_maps(running: RunningServer, kubectl: Kubectl, *names: str) -> None:
    """From one manifest: one call for all."""
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n}, "data": {"a": "1"}} for n in names]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    await kubectl.run(running.kubeconfig, "create", "-f", "-", stdin=manifest)


async def test_apply_is_created_then_unchanged_then_configured(running: RunningServer, kubectl: Kubectl) -> None:
    async def apply(**values: str) -> list[str]:
        manifest = MANIFEST.format(**values)
        out = await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=manifest)
        return [line.split()[-1] for line in out.splitlines()]

    assert await apply(colour="red", image="1") == ["created"] * 3
    assert await apply(colour="red", image="1") == ["unchanged"] * 3
    assert await apply(colour="blue", image="2") == ["configured", "configured", "unchanged"]
    out = await kubectl.run(running.kubeconfig, "get", "deploy,cm", "-o", "json")
    deployment = next(item for item in json.loads(out)["items"] if item["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2"


async def test_tables_by_name_selector_and_namespace(running: RunningServer, kubectl: Kubectl) -> None:
    manifest = MANIFEST.format(colour="red", image="1")
    await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=manifest)
    out = await kubectl.run(running.kubeconfig, "get", "deploy", "-l", "tier=front", "-o", "wide")
    header, line = (row.split() for row in out.splitlines())
    assert header == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert (line[0], line[1], line[5:]) == ("web", "0/2", ["app", "app:1", "app=web"])
    out = await kubectl.run(running.kubeconfig, "get", "svc", "-A", "--no-headers")
    assert [row.split()[:3] for row in out.splitlines()] == [
        ["default", "kubernetes", "ClusterIP"],
        ["default", "web", "NodePort"],
        ["kube-system", "kube-dns", "ClusterIP"],
    ]
    out = await kubectl.run(running.kubeconfig, "get", "ns", "--sort-by=.metadata.name", "--no-headers")
    assert out.split()[:2] == ["default", "Active"]
    out = await kubectl.run(running.kubeconfig, "get", "pods", "nothing", check=False)
    assert out == 'Error from server (NotFound): pods "nothing" not found\n'


async def test_everyday_changes(running: RunningServer, kubectl: Kubectl) -> None:
    async def run(*arguments: str, stdin: str = "") -> str:
        return (await kubectl.run(running.kubeconfig, *arguments, stdin=stdin)).strip()

    manifest = MANIFEST.format(colour="red", image="1")
    await run("create", "-f", "-", stdin=manifest)
    await run("label", "deploy", "web", "tier=back", "--overwrite")
    await run("annotate", "deploy", "web", "note=hello")
    await run("scale", "deploy", "web", "--replicas=5")
    await run("patch", "deploy", "web", "--type=json", "-p", '[{"op":"add","path":"/spec/paused","value":true}]')
    await run(
        "patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"b","image":"b"}]}}}}'
    )
    await run("set", "image", "deploy/web", "app=app:9")
    fields = "{.metadata.labels.tier} {.metadata.annotations.note} {.spec.replicas} {.spec.paused}"
    images = "{.spec.template.spec.containers[*].image}"
    out = await run("get", "deploy", "web", "-o", f"jsonpath={fields} {images}")
    assert out == "back hello 5 true b app:9"
    assert "deleted" in await run("delete", "deploy", "web")
    assert await run("get", "deploy", "-o", "name") == ""


async def test_watch_prints_rows_as_they_come(running: RunningServer, kubectl: Kubectl) -> None:
    process = await asyncio.create_subprocess_exec(
        kubectl.path,
        *("--kubeconfig", str(running.kubeconfig), "get", "cm", "-w", "--no-headers"),
        stdout=asyncio.subprocess.PIPE,
        env={"HOME": str(running.directory)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            await create_config_maps(running, kubectl, "one")
            assert (await process.stdout.readline()).split()[:2] == [b"one", b"1"]
            await create_config_maps(running, kubectl, "two")
            assert (await process.stdout.readline()).split()[:2] == [b"two", b"1"]
    finally:
        process.terminate()
        await process.wait()


async def test_delete_waits_until_the_object_is_gone(running: RunningServer, kubectl: Kubectl) -> None:
    await create_config_maps(running, kubectl, "one")
    assert 'configmap "one" deleted' in await kubectl.run(running.kubeconfig, "delete", "cm", "one")
    await create_config_maps(running, kubectl, "a", "b")
    await kubectl.run(running.kubeconfig, "delete", "cm", "--all")
    assert await kubectl.run(running.kubeconfig, "get", "cm", "-o", "name") == ""


async def test_unknown_fields_are_refused_before_anything_is_made(running: RunningServer, kubectl: Kubectl) -> None:
    out = await kubectl.run(
        running.kubeconfig, "create", "-f", "-", stdin=POD.replace("nodeName", "nodeNome"), check=False
    )
    assert "nodeNome" in out
    assert await kubectl.run(running.kubeconfig, "get", "pods", "-o", "name") == ""


async def test_explain(running: RunningServer, kubectl: Kubectl) -> None:
    out = await kubectl.run(running.kubeconfig, "explain", "deployment.spec.template.spec.containers.resources")
    for words in ("limits", "requests", "What is set aside of each resource"):
        assert words in out


async def test_logs_and_exec(running: RunningServer, kubectl: Kubectl, streams: FakeStreams) -> None:
    streams.log_chunks = [b"one\n", b"two\n"]
    await kubectl.run(running.kubeconfig, "create", "-f", "-", stdin=POD)
    assert await kubectl.run(running.kubeconfig, "logs", "web", "--tail=2", "--timestamps") == "one\ntwo\n"
    _, log = streams.log_requests[0]
    assert isinstance(log, LogRequest)
    assert (log.container, log.tail_lines, log.timestamps) == ("app", 2, True)
    assert await kubectl.run(running.kubeconfig, "exec", "-i", "web", "--", "cat", "-n", stdin="hello") == "hello"
    request = streams.execs[0].request
    assert isinstance(request, ExecRequest)
    assert (request.command, request.container) == (("cat", "-n"), "app")


async def test_exit_codes_of_exec(running: RunningServer, kubectl: Kubectl, streams: FakeStreams) -> None:
    await kubectl.run(running.kubeconfig, "create", "-f", "-", stdin=POD)
    streams.exit_code = 7
    out = await kubectl.run(running.kubeconfig, "exec", "web", "--", "false", check=False)
    assert "command terminated with exit code 7" in out


async def test_api_resources_and_version(running: RunningServer, kubectl: Kubectl) -> None:
    out = await kubectl.run(running.kubeconfig, "api-resources", "--no-headers", "-o", "name")
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(out.split())
    version = json.loads(await kubectl.run(running.kubeconfig, "version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == "v1.34.2+orch"


async def test_the_newest_kubectl_resizes_a_pod(running: RunningServer) -> None:
    def pod(cpu: str) -> str:
        container = {"name": "app", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
        meta = {"name": "web"}
        return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})

    kubectl, config = newest(), running.kubeconfig
    await kubectl.run(config, "apply", "-f", "-", stdin=pod("1"))
    await kubectl.run(config, "patch", "pod", "web", "--subresource", "resize", "-p", pod("2"))
    shown = "{.spec.containers[0].resources.requests.cpu} {.metadata.generation}"
    assert await kubectl.run(config, "get", "pod", "web", "-o", f"jsonpath={shown}") == "2 2"
