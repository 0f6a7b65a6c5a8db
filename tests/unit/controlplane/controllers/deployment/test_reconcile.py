"""The steps a Deployment takes: first rollout, update, rollback, pause, scale, Recreate, clean-up, adoption."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Action, Create, Decision, Delete, Patch, Update
from controlplane.controllers.deployment.reconcile import reconcile, refused
from controlplane.controllers.deployment.revisions import (
    HASH_LABEL,
    REVISION,
    REVISION_HISTORY,
    fleet_of,
    new_set,
    new_set_name,
    template_hash,
)
from controlplane.controllers.deployment.scaling import replicas_annotations, size
from orch.api.deployment import Deployment
from orch.api.replicaset import ReplicaSet
from orch.errors import AlreadyExists, Conflict
from tests.builders import NOW, ago, deleting, deployment, meta, replica_set, template

V1, V2, V3 = "app:1", "app:2", "app:3"


def set_of(
    owner: Deployment, image: str, replicas: int, *, revision: int, available: int | None = None, **fields: Any
) -> ReplicaSet:
    """The set that the Deployment had made for an image."""
    at_image = replace(owner, spec=replace(owner.spec, template=template(owner.metadata.name, image=image)))
    made = new_set(at_image, fleet_of(at_image, ()), replicas)
    notes = replicas_annotations(owner) | {REVISION: str(revision)} | fields.pop("annotations", {})
    metadata = meta(
        made.metadata.name, labels=made.metadata.labels, owner_references=made.metadata.owner_references,
        annotations=notes, creation_timestamp=ago(1000 - revision),
    )  # fmt: skip
    ready = replicas if available is None else available
    status = replica_set(replicas=replicas, ready=ready).status
    return replace(made, metadata=metadata, status=replace(status, **fields))


def web(image: str = V2, *, revision: int = 0, **fields: Any) -> Deployment:
    notes = {"annotations": {REVISION: str(revision)}} if revision else {}
    return deployment(image=image, replicas=10, max_surge=3, max_unavailable=2, **(notes | fields))


def decide(owner: Deployment, *sets: ReplicaSet, old_pods: int = 0) -> Decision:
    return reconcile(owner, sets, old_pods, NOW)


def sizes(actions: tuple[Action, ...]) -> dict[str, int]:
    """Image -> new size, of the sets that are written."""
    written = [action.obj for action in actions if isinstance(action, Create | Update)]
    return {
        str(each.spec.template.spec.containers[0].image): size(each) for each in written if isinstance(each, ReplicaSet)
    }


def test_the_first_rollout_makes_one_set_of_full_size() -> None:
    owner = web()
    decision = decide(owner)
    (create,) = decision.actions
    assert isinstance(create, Create)
    made = create.obj
    assert isinstance(made, ReplicaSet)
    assert size(made) == 10
    assert made.metadata.name == new_set_name(owner)
    assert (made.metadata.annotations or {})[REVISION] == "1"
    label = {HASH_LABEL: template_hash(owner.spec.template, 0)}
    assert label.items() <= (made.metadata.labels or {}).items()
    assert label.items() <= (made.spec.selector.match_labels or {}).items()
    assert label.items() <= (made.spec.template.metadata.labels or {}).items()
    assert [event.message for event in decision.events] == [f"Scaled up replica set {made.metadata.name} from 0 to 10"]


def test_a_new_template_makes_a_set_within_the_surge() -> None:
    owner = web(V2, revision=1)
    decision = decide(owner, set_of(owner, V1, 10, revision=1))
    assert sizes(decision.actions) == {V2: 3}
    (create,) = decision.actions
    assert isinstance(create, Create)
    assert (create.obj.metadata.annotations or {})[REVISION] == "2"


@pytest.mark.parametrize(
    ("old", "new", "new_available", "expected"),
    [
        pytest.param(10, 3, 0, {V1: 8}, id="old shrinks by maxUnavailable"),
        pytest.param(8, 3, 0, {V2: 5}, id="new grows into the room"),
        pytest.param(8, 5, 3, {V1: 5}, id="old shrinks by what became available"),
        pytest.param(0, 10, 10, {}, id="complete"),
    ],
)
def test_rolling_steps(old: int, new: int, new_available: int, expected: dict[str, int]) -> None:
    owner = web(V2, revision=2)
    sets = set_of(owner, V1, old, revision=1), set_of(owner, V2, new, revision=2, available=new_available)
    assert sizes(decide(owner, *sets).actions) == expected


def test_a_rollout_run_to_its_end_keeps_its_bounds() -> None:
    """Every step is applied and every pod becomes available before the next decision."""
    owner = web(V2, revision=1)
    sets = [set_of(owner, V1, 10, revision=1)]
    for _ in range(40):
        decision = decide(owner, *sets)
        if not decision.actions:
            break
        owner, sets = applied(owner, sets, decision.actions)
        total = sum(map(size, sets))
        assert 8 <= total <= 13
    assert {str(each.spec.template.spec.containers[0].image): size(each) for each in sets} == {V1: 0, V2: 10}
    assert (owner.metadata.annotations or {})[REVISION] == "2"


def applied(
    owner: Deployment, sets: list[ReplicaSet], actions: tuple[Action, ...]
) -> tuple[Deployment, list[ReplicaSet]]:
    """What the API and the ReplicaSet controller make of the actions."""
    by_name = {each.metadata.name: each for each in sets}
    for action in actions:
        assert isinstance(action, Create | Update)
        obj = action.obj
        if isinstance(obj, Deployment):
            owner = obj
            continue
        assert isinstance(obj, ReplicaSet)
        known = by_name.get(obj.metadata.name)
        metadata = replace(known.metadata if known else meta(obj.metadata.name), annotations=obj.metadata.annotations,
                           labels=obj.metadata.labels, owner_references=obj.metadata.owner_references)  # fmt: skip
        status = replica_set(replicas=size(obj), ready=size(obj)).status
        by_name[obj.metadata.name] = replace(obj, metadata=metadata, status=status)
    return owner, list(by_name.values())


def test_going_back_gives_the_old_set_a_new_revision_and_a_history() -> None:
    owner = web(V1, revision=2)
    sets = set_of(owner, V1, 0, revision=1), set_of(owner, V2, 10, revision=2)
    (update,) = decide(owner, *sets).actions
    assert isinstance(update, Update)
    notes = update.obj.metadata.annotations or {}
    assert (notes[REVISION], notes[REVISION_HISTORY]) == ("3", "1")
    raised = replace(sets[0], metadata=update.obj.metadata)
    (annotate,) = decide(owner, raised, sets[1]).actions
    assert isinstance(annotate, Update)
    assert (annotate.obj.metadata.annotations or {})[REVISION] == "3"


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    paused = web(V2, revision=1, spec={"paused": True})
    old = set_of(paused, V1, 10, revision=1)
    assert decide(paused, old).actions == ()
    fewer = replace(paused, spec=replace(paused.spec, replicas=4))
    assert sizes(decide(fewer, old).actions) == {V1: 4}


def test_scaling_during_a_rollout_keeps_the_proportion() -> None:
    owner = web(V2, revision=2)
    sets = set_of(owner, V1, 8, revision=1), set_of(owner, V2, 5, revision=2, available=3)
    twice = replace(owner, spec=replace(owner.spec, replicas=20))
    assert sizes(decide(twice, *sets).actions) == {V1: 14, V2: 9}


def test_recreate_waits_for_the_old_pods_to_end() -> None:
    owner = web(V2, revision=1, strategy="Recreate")
    old = set_of(owner, V1, 10, revision=1)
    assert sizes(decide(owner, old, old_pods=10).actions) == {V1: 0}
    emptied = set_of(owner, V1, 0, revision=1)
    assert decide(owner, emptied, old_pods=3).actions == ()
    assert sizes(decide(owner, emptied, old_pods=0).actions) == {V2: 10}


def test_old_sets_beyond_the_history_limit_go_when_the_rollout_is_complete() -> None:
    owner = web(V3, revision=3, spec={"revision_history_limit": 1})
    sets = [set_of(owner, image, 0, revision=number) for number, image in enumerate((V1, V2), start=1)]
    sets.append(set_of(owner, V3, 10, revision=3))
    first = decide(owner, *sets)
    assert first.actions == ()
    assert isinstance(first.status, Deployment)
    (delete,) = decide(first.status, *sets).actions
    assert isinstance(delete, Delete)
    assert delete.name == sets[0].metadata.name
    unlimited = replace(first.status, spec=replace(owner.spec, revision_history_limit=10))
    assert decide(unlimited, *sets).actions == ()


def test_a_matching_orphan_is_adopted_and_nothing_else_done() -> None:
    owner = web(V2)
    orphan = replace(set_of(owner, V2, 10, revision=1), metadata=meta("orphan", labels={"app": "web"}))
    (adopt,) = decide(owner, orphan).actions
    assert isinstance(adopt, Patch)
    assert adopt.name == "orphan"


def test_a_deployment_being_deleted_takes_no_step() -> None:
    owner = web(V2, revision=1)
    assert decide(deleting(owner), set_of(owner, V1, 10, revision=1)).actions == ()


def test_a_taken_name_counts_as_a_collision_and_changes_the_next_name() -> None:
    owner = web()
    stranger = replica_set(new_set_name(owner), owner=deployment("other"))
    told = refused(owner, stranger, AlreadyExists("exists"))
    assert told is not None
    assert told.status.collision_count == 1
    assert new_set_name(told) != new_set_name(owner)
    assert refused(owner, set_of(owner, V2, 10, revision=1), AlreadyExists("exists")) is None
    assert refused(owner, stranger, Conflict("stale")) is None


def test_hashes_differ_by_template_and_are_safe_in_names() -> None:
    hashes = {template_hash(template(image=f"app:{number}"), 0) for number in range(50)}
    assert len(hashes) == 50
    assert all(len(each) == 10 and each.isalnum() and each == each.lower() for each in hashes)


def test_annotations_of_the_deployment_reach_the_set_but_not_its_bookkeeping() -> None:
    owner = web(V2, annotations={"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    (create,) = decide(owner).actions
    assert isinstance(create, Create)
    notes = create.obj.metadata.annotations or {}
    assert notes["team"] == "a"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in notes
