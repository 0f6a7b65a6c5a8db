"""Static pods: which files are pods, what they become, and how an agent runs them without a control plane."""

import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.static_pods import StaticPods, static_pod
from orch.api.pod.spec import Pod
from orch.errors import BadRequest
from tests.node_session import running
from tests.unit.nodeagent.machine import a_pod
from tests.unit.nodeagent.test_agent import Alone
from tests.unit.nodeagent.test_link import settle


def manifest(image: str = "app:1", **spec: Any) -> str:
    containers = [{"name": "app", "image": image}]
    meta = {"name": "web", "labels": {"a": "b"}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}})


def read(folder: Path) -> tuple[Pod, ...]:
    static = StaticPods(folder, "node-1")
    static.read()
    return static.pods()


def test_a_file_becomes_a_pod_of_this_node(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text(manifest(priorityClassName="system-node-critical"))
    (pod,) = read(tmp_path)
    assert (pod.metadata.name, pod.metadata.namespace) == ("web-node-1", "default")
    assert pod.metadata.annotations == {
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.hash": pod.metadata.uid,
    }
    assert (pod.spec.node_name, pod.spec.priority, pod.status.qos_class) == ("node-1", 2_000_001_000, "BestEffort")
    assert pod.spec.restart_policy == "Always"
    assert [(t.operator, t.effect) for t in pod.spec.tolerations or ()] == [("Exists", "NoExecute")]


def test_the_uid_is_the_contents(tmp_path: Path) -> None:
    first, again = (static_pod(manifest().encode(), "web.json", "n") for _ in range(2))
    changed = static_pod(manifest("app:2").encode(), "web.json", "n")
    elsewhere = static_pod(manifest().encode(), "web.json", "m")
    assert first.metadata.uid == again.metadata.uid
    assert len({pod.metadata.uid for pod in (first, changed, elsewhere)}) == 3


def test_yaml_is_read_and_dot_files_and_folders_are_not(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: app, image: a}]\n"
    (tmp_path / "web.yaml").write_text(text)
    (tmp_path / ".web.yaml.swp").write_text(text)
    (tmp_path / "more").mkdir()
    assert [pod.metadata.name for pod in read(tmp_path)] == ["web-node-1"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "neither YAML nor JSON"),
        ("[]", "no v1 Pod"),
        ('{"apiVersion": "v1", "kind": "Service"}', "no v1 Pod"),
        ('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {}}', "spec.containers"),
        (manifest(volumes=[{"name": "v", "secret": {"secretName": "s"}}]), "may not reference other objects: Secret s"),
        (manifest(serviceAccountName="admin"), "may not reference other objects: ServiceAccount admin"),
        (manifest(restartPolicy=3), "restartPolicy"),
    ],
)
def test_a_file_that_is_no_pod_is_refused(content: str, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        static_pod(content.encode(), "web.json", "n")


def test_a_file_that_turns_bad_leaves_the_pod_that_it_was(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    path.write_text(manifest())
    static = StaticPods(tmp_path, "n")
    static.read()
    path.write_text("{")
    static.read()
    assert len(static.pods()) == 1
    path.unlink()
    static.read()
    assert static.pods() == ()


def test_a_node_without_a_folder_has_none() -> None:
    static = StaticPods(None, "n")
    static.read()
    with static.changes() as changes:
        assert changes is None
    assert static.pods() == ()


async def test_an_agent_runs_what_lies_in_the_folder_without_a_server(tmp_path: Path) -> None:
    """1. a file is a pod, beside the pods of an earlier session 2. a changed file is a new pod, once the old one has
    ended 3. a file that is gone ends its pod."""
    folder = tmp_path / "static"
    alone = Alone(tmp_path, a_pod(), static_folder=folder)
    runtime = alone.machine.runtime
    async with running(alone.agent.run()):
        await settle(folder.is_dir)
        (folder / "web.json").write_text(manifest())
        await settle(lambda: len(uids(runtime)) == 2)
        (first,) = uids(runtime) - {"web-uid"}
        (folder / "web.json").write_text(manifest("app:2"))
        await settle(lambda: len(uids(runtime)) == 2 and first not in uids(runtime))
        (folder / "web.json").unlink()
        await settle(lambda: uids(runtime) == {"web-uid"})


async def test_a_restarted_agent_adopts_a_static_pod(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "web.json").write_text(manifest())
    alone = Alone(tmp_path, static_folder=tmp_path / "static")
    runtime = alone.machine.runtime
    async with running(alone.agent.run()):
        await settle(lambda: bool(uids(runtime)))
    (uid,) = uids(runtime)
    again = Alone(tmp_path, static_folder=tmp_path / "static", machine=alone.machine)
    created = len([call for call in runtime.calls if call[0] == "create_container"])
    async with running(again.agent.run()):
        await settle(lambda: again.machine.told.status.phase == "Running")
    assert uids(runtime) == {uid}
    assert len([call for call in runtime.calls if call[0] == "create_container"]) == created


def uids(runtime: Any) -> set[str]:
    """Of pods that run something."""
    configs = {c.pod_uid for sandbox in list(runtime._sandboxes) for c in runtime.configs(sandbox)}
    return {uid for uid in configs if runtime.running(uid)}
