"""What each node must hold, computed from events."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controlplane.nodeplane.node_set import EVERY_NODE, Delivery, NodeSets
from orch.api.configmap import ConfigMap
from orch.api.kind import Kind
from orch.api.kinds import (
    CONFIGMAPS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RUNTIMECLASSES,
    SECRETS,
    SERVICES,
)
from orch.api.node import NodeAddress, NodeCondition
from orch.api.pod.container import ConfigMapEnvSource, EnvFromSource
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition, PodStatus
from orch.api.runtimeclass import RuntimeClass
from orch.api.secret import Secret
from orch.api.service import Service
from orch.api.shared import LocalObjectReference
from tests.builders import meta, node, pod
from tests.storage import bound_claim, on_node, pod_with, volume


def a_pod(name: str, on: str, *config_maps: str, secret: str = "", **fields: Any) -> Pod:
    made = pod(name, node=on, **fields)
    sources = tuple(EnvFromSource(config_map_ref=ConfigMapEnvSource(name=cm)) for cm in config_maps)
    containers = tuple(replace(c, env_from=sources or None) for c in made.spec.containers)
    secrets = (LocalObjectReference(name=secret),) if secret else None
    return replace(made, spec=replace(made.spec, containers=containers, image_pull_secrets=secrets))


def newer(obj: Any) -> Any:
    return replace(obj, metadata=replace(obj.metadata, resource_version=str(int(obj.metadata.resource_version) + 1)))


def told(deliveries: list[Delivery]) -> list[str]:
    """`node kind uid`, with a minus for what is no longer needed."""
    return [f"{d.node or '*'} {'-' if not d.item.data else ''}{d.item.kind} {d.item.uid}" for d in deliveries]


SETTINGS = ConfigMap(metadata=meta("settings"), data={"a": "1"})


def test_a_pod_goes_to_its_node_and_takes_what_it_names_along() -> None:
    sets = NodeSets()
    assert told(sets.change(CONFIGMAPS, None, SETTINGS)) == []
    assert told(sets.change(PODS, None, a_pod("a", "n1", "settings"))) == [
        "n1 ConfigMap settings-uid",
        "n1 Pod a-uid",
    ]
    assert sets.snapshot("n2") == []


def test_a_pod_that_is_bound_nowhere_goes_nowhere() -> None:
    sets = NodeSets()
    waiting = a_pod("a", "")
    assert sets.change(PODS, None, waiting) == []
    assert told(sets.change(PODS, waiting, a_pod("a", "n1"))) == ["n1 Pod a-uid"]


def test_an_object_that_comes_later_or_changes_goes_to_the_nodes_that_need_it() -> None:
    sets = NodeSets()
    sets.change(PODS, None, a_pod("a", "n1", secret="keys"))
    sets.change(PODS, None, a_pod("b", "n2", secret="keys"))
    sets.change(PODS, None, a_pod("c", "n3"))
    keys = Secret(metadata=meta("keys"))
    assert told(sets.change(SECRETS, None, keys)) == ["n1 Secret keys-uid", "n2 Secret keys-uid"]
    assert told(sets.change(SECRETS, keys, None)) == ["n1 -Secret keys-uid", "n2 -Secret keys-uid"]


def test_an_object_goes_with_the_last_pod_that_names_it() -> None:
    sets = NodeSets()
    sets.change(CONFIGMAPS, None, SETTINGS)
    one, two = a_pod("a", "n1", "settings"), a_pod("b", "n1", "settings")
    sets.change(PODS, None, one)
    assert told(sets.change(PODS, None, two)) == ["n1 Pod b-uid"]
    assert told(sets.change(PODS, one, None)) == ["n1 -Pod a-uid"]
    assert told(sets.change(PODS, two, None)) == ["n1 -Pod b-uid", "n1 -ConfigMap settings-uid"]


def test_a_pod_that_names_something_else_now() -> None:
    sets = NodeSets()
    other = ConfigMap(metadata=meta("other"))
    sets.change(CONFIGMAPS, None, SETTINGS)
    sets.change(CONFIGMAPS, None, other)
    before, after = a_pod("a", "n1", "settings"), newer(a_pod("a", "n1", "other"))
    sets.change(PODS, None, before)
    assert told(sets.change(PODS, before, after)) == [
        "n1 ConfigMap other-uid",
        "n1 Pod a-uid",
        "n1 -ConfigMap settings-uid",
    ]


def test_the_agents_own_status_is_no_news_to_it() -> None:
    sets = NodeSets()
    before = a_pod("a", "n1")
    sets.change(PODS, None, before)
    reported = replace(newer(before), status=PodStatus(phase="Running", conditions=(PodCondition(type="Ready"),)))
    assert sets.change(PODS, before, reported) == []
    gate = PodCondition(type="example.com/gate", status="True")
    gated = replace(newer(reported), status=replace(reported.status, conditions=(gate,)))
    assert told(sets.change(PODS, reported, gated)) == ["n1 Pod a-uid"]


def test_a_deletion_is_news() -> None:
    sets = NodeSets()
    before = a_pod("a", "n1")
    sets.change(PODS, None, before)
    deleted = replace(before, metadata=replace(before.metadata, deletion_grace_period_seconds=30))
    assert told(sets.change(PODS, before, deleted)) == ["n1 Pod a-uid"]


def test_services_go_to_every_node() -> None:
    sets = NodeSets()
    service = Service(metadata=meta("web"))
    (delivery,) = sets.change(SERVICES, None, service)
    assert delivery.node == EVERY_NODE
    assert sets.snapshot("n1") == sets.snapshot("n9") == [delivery.item]
    assert told(sets.change(SERVICES, service, None)) == ["* -Service web-uid"]
    assert sets.snapshot("n1") == []


def test_of_a_node_others_hear_only_what_routes_need() -> None:
    sets = NodeSets()
    before = node("n1")
    sets.change(NODES, None, before)
    conditions = (NodeCondition(type="Ready", status="Unknown"),)
    silent = replace(newer(before), status=replace(before.status, conditions=conditions))
    assert sets.change(NODES, before, silent) == []
    moved = replace(newer(silent), status=replace(silent.status, addresses=(NodeAddress(address="10.0.0.9"),)))
    assert told(sets.change(NODES, silent, moved)) == ["* Node n1-uid"]
    assert NODES.codec.decode(sets.snapshot("x")[0].data).status.conditions is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["pod", "config"]), st.integers(0, 3), st.booleans(), st.integers(0, 7)), max_size=40
)


@given(STEPS)
def test_deltas_lead_to_what_a_snapshot_says(steps: list[tuple[str, int, bool, int]]) -> None:
    """A node that applied every delivery holds exactly its snapshot, whatever came and went in between."""
    sets = NodeSets()
    now: dict[tuple[str, int], Any] = {}
    held: dict[str, dict[tuple[str, str], int]] = {"n0": {}, "n1": {}}
    for revision, (what, number, present, names) in enumerate(steps, start=1):
        kind: Kind[Any] = PODS if what == "pod" else CONFIGMAPS
        old = now.get((what, number))
        new = _object(what, number, names, revision, old) if present else None
        if old is None and new is None:
            continue
        now[what, number] = new
        for delivery in sets.change(kind, old, new):
            key = (delivery.item.kind, delivery.item.uid)
            if delivery.item.data:
                held[delivery.node][key] = delivery.item.revision
            else:
                held[delivery.node].pop(key, None)
    for name, holds in held.items():
        wanted = {(item.kind, item.uid): item.revision for item in sets.snapshot(name)}
        assert holds == wanted


def _object(what: str, number: int, names: int, revision: int, old: Any) -> Any:
    if what == "config":
        return ConfigMap(metadata=meta(f"c{number}", resource_version=str(revision)), data={"r": str(revision)})
    config_maps = [f"c{index}" for index in range(3) if names >> index & 1]
    labels = {"revision": str(revision)}
    return a_pod(f"p{number}", f"n{number % 2}", *config_maps, labels=labels, resource_version=str(revision))


def test_a_claim_goes_with_the_pods_that_name_it() -> None:
    sets = NodeSets()
    assert sets.change(PERSISTENTVOLUMECLAIMS, None, bound_claim()) == []
    user = pod_with("data", node="n1")
    assert told(sets.change(PODS, None, user)) == ["n1 PersistentVolumeClaim data-uid", "n1 Pod pod-uid"]
    assert told(sets.change(PODS, user, None)) == ["n1 -Pod pod-uid", "n1 -PersistentVolumeClaim data-uid"]


def test_a_volume_goes_to_its_node_whether_or_not_it_is_used_and_to_all_when_it_is_anywhere() -> None:
    sets = NodeSets()
    here, anywhere = volume("here", host="n1"), volume("anywhere")
    assert told(sets.change(PERSISTENTVOLUMES, None, here)) == ["n1 PersistentVolume here-uid"]
    assert told(sets.change(PERSISTENTVOLUMES, None, anywhere)) == ["* PersistentVolume anywhere-uid"]
    assert [item.uid for item in sets.snapshot("n1")] == ["anywhere-uid", "here-uid"]
    assert [item.uid for item in sets.snapshot("n2")] == ["anywhere-uid"]
    moved = replace(anywhere, spec=replace(anywhere.spec, node_affinity=on_node("n2")))
    assert told(sets.change(PERSISTENTVOLUMES, anywhere, moved)) == [
        "* -PersistentVolume anywhere-uid",
        "n2 PersistentVolume anywhere-uid",
    ]
    assert told(sets.change(PERSISTENTVOLUMES, here, None)) == ["n1 -PersistentVolume here-uid"]
    assert [item.uid for item in sets.snapshot("n1")] == []


def test_every_node_knows_the_runtime_classes() -> None:
    sets = NodeSets()
    gvisor = RuntimeClass(metadata=meta("gvisor"), handler="runsc")
    assert told(sets.change(RUNTIMECLASSES, None, gvisor)) == ["* RuntimeClass gvisor-uid"]
    assert told(sets.change(RUNTIMECLASSES, gvisor, None)) == ["* -RuntimeClass gvisor-uid"]
