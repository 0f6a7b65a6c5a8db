"""Registries that hang, stall or send broken layers, as an agent's pods meet them: a pull ends, says why, leaves
nothing and holds up no other pod's; it is tried again, and succeeds when the registry is well."""

import os
from collections.abc import Iterator

import pytest

from nodeagent.images import registry as registry_module
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from tests.agent_lab import NODE_IP, AgentLab, agent_lab
from tests.images import busybox_layer, layer
from tests.registry_server import ALTERS, GOOD, HANGS, STALLS, Registry, registry_in

SILENCE_S = 6.0
AT_ONCE_S = 5.0
"""What a pod beside a hanging pull may take: less than the pull does to end."""
SICK_PORT, WELL_PORT = 5001, 5002
PULLS = 6
"""More than are downloaded from one registry at once."""
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"


@pytest.fixture(scope="module")
def machine() -> Iterator[AgentLab]:
    hosts = [f"{NODE_IP}:{port}" for port in (SICK_PORT, WELL_PORT)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry_module, "SILENCE_MAX_S", SILENCE_S)
        with agent_lab("images", options=[f"--insecure-registry={host}" for host in hosts]) as made:
            yield made


@pytest.fixture
def sick(machine: AgentLab) -> Iterator[Registry]:
    with registry_in(machine.netns, NODE_IP, SICK_PORT) as made:
        yield made


@pytest.fixture
def well(machine: AgentLab) -> Iterator[Registry]:
    with registry_in(machine.netns, NODE_IP, WELL_PORT) as made:
        yield made


def serve(registry: Registry, name: str, *, cut: bool = False) -> str:
    """An image with a layer of its own."""
    return registry.serve_image(name, [busybox_layer(), layer({name: os.urandom(200_000)})], cut=cut)


def a_pod(name: str, image: str, script: str = FOREVER) -> Pod:
    app = Container(name="app", image=image, command=("/bin/sh", "-c", script))
    spec = PodSpec(node_name="node-1", containers=(app,), termination_grace_period_seconds=2)
    return Pod(metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"), spec=spec)


def waits_for(machine: AgentLab, uid: str) -> tuple[str, str]:
    """(reason, message) of the container that does not run."""
    for container in machine.status(uid).get("containerStatuses", ()):
        waiting = container["state"].get("waiting", {})
        return waiting.get("reason", ""), waiting.get("message", "")
    return "", ""


def failures(machine: AgentLab, uid: str) -> list[str]:
    """What was told of failed pulls."""
    mine = (event for event in machine.wanted.events if event["involvedObject"]["uid"] == uid)
    return [event["message"] for event in mine if event["reason"] == "Failed" and "pull" in event["message"]]


def end(machine: AgentLab, *pods: Pod) -> None:
    for pod in pods:
        machine.delete(pod)
    machine.until(lambda: all(machine.wanted.is_stopped(pod.metadata.uid) for pod in pods), "the pods to be stopped")
    machine.assert_clean()
    assert os.listdir(machine.state_dir / "images/incoming") == []


@pytest.mark.parametrize("manner", [HANGS, STALLS])
def test_a_registry_that_does_not_answer(machine: AgentLab, sick: Registry, well: Registry, manner: str) -> None:
    waiting = [a_pod(f"{manner}-{number}", serve(sick, f"{manner}-{number}")) for number in range(PULLS)]
    sick.manner = manner
    for pod in waiting:
        machine.run(pod)
    machine.until(lambda: len(sick.asked) > 0, "the registry to be asked")
    beside = [a_pod(f"present-{manner}", "busybox:1"), a_pod(f"pulled-{manner}", serve(well, f"app-{manner}"))]
    for pod in beside:
        uid = machine.run(pod)
        machine.until(lambda: machine.runs(uid), "a pod beside it to run", AT_ONCE_S)  # noqa: B023
    assert [failures(machine, pod.metadata.uid) for pod in waiting] == [[]] * PULLS, "their pulls still hang"
    first = waiting[0].metadata.uid
    machine.until(lambda: len(failures(machine, first)) >= 2, "a second failure")
    assert "timed out" in failures(machine, first)[0]
    assert waits_for(machine, first)[0] in ("ErrImagePull", "ImagePullBackOff")
    sick.manner = GOOD
    machine.until(lambda: all(machine.runs(pod.metadata.uid) for pod in waiting), "the pods to run")
    end(machine, *waiting, *beside)


@pytest.mark.parametrize(("broken", "reason"), [("altered", "digest mismatch"), ("cut", "layer")])
def test_a_broken_layer(machine: AgentLab, sick: Registry, broken: str, reason: str) -> None:
    name = f"broken-{broken}"
    layers_before = sorted(os.listdir(machine.state_dir / "images/layers"))
    pod = a_pod(broken, serve(sick, name, cut=broken == "cut"))
    sick.manner = ALTERS if broken == "altered" else GOOD
    uid = machine.run(pod)
    machine.until(lambda: len(failures(machine, uid)) > 0, "a failure")
    machine.until(lambda: waits_for(machine, uid)[0] in ("ErrImagePull", "ImagePullBackOff"), "its reason")
    assert reason in failures(machine, uid)[0]
    assert sorted(os.listdir(machine.state_dir / "images/layers")) == layers_before
    sick.manner = GOOD
    serve(sick, name)
    machine.until(lambda: machine.runs(uid), "the pod to run")
    end(machine, pod)
