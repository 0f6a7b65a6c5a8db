"""What is decided about a claim."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Create, Decision, Update
from controlplane.controllers.storage.claims import GROWTH_PENDING, View, reconcile
from orch.api.meta import LabelSelector
from orch.api.persistentvolume import CSIPersistentVolumeSource, PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.shared import ObjectReference, TypedLocalObjectReference
from orch.api.volume_binding import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIM_FINALIZER,
    DELETION_FINALIZER,
    PROVISIONER,
    SELECTED_NODE,
    node_of,
    reference_to,
)
from tests.builders import NOW, node
from tests.storage import bound_claim, claim, pod_with, storage_class, volume

SELECTED = {SELECTED_NODE: "node-1"}
LOCAL = storage_class()
IMMEDIATE = storage_class(volume_binding_mode="Immediate")
ROOMY = node("roomy", **{"ephemeral-storage": "100Gi"})
TIGHT = node("tight", **{"ephemeral-storage": "10Gi"})


def decide(wanted: PersistentVolumeClaim, **view: Any) -> Decision:
    return reconcile(wanted, View(**view), NOW)


def event(decision: Decision) -> tuple[str, str, str]:
    (told,) = decision.events
    return told.type, told.reason, told.message


def written(decision: Decision) -> Any:
    (action,) = decision.actions
    assert isinstance(action, Create | Update)
    return action.obj


def managed(made: PersistentVolume) -> PersistentVolume:
    source = CSIPersistentVolumeSource(driver=PROVISIONER, volume_handle=made.metadata.name)
    return replace(made, spec=replace(made.spec, local=None, csi=source))


def held_by(made: PersistentVolume, holder: PersistentVolumeClaim, **changes: Any) -> PersistentVolume:
    reference = replace(reference_to(holder), **changes)
    return replace(made, spec=replace(made.spec, claim_ref=reference))


def test_a_claim_waits_for_the_first_pod_and_then_for_its_node() -> None:
    assert event(decide(claim(), storage_class=LOCAL)) == (
        "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding",
    )  # fmt: skip
    waiting = decide(claim(), storage_class=LOCAL, pods=(pod_with("data", name="web"),))
    assert event(waiting) == ("Normal", "WaitForPodScheduled", "waiting for pod web to be scheduled")


def test_a_volume_is_made_on_the_node_that_the_scheduler_chose() -> None:
    decision = decide(claim(annotations=SELECTED), storage_class=LOCAL, nodes=(node("node-1"),))
    made = written(decision)
    assert (made.metadata.name, node_of(made)) == ("pvc-data-uid", "node-1")
    assert made.spec.csi == CSIPersistentVolumeSource(driver=PROVISIONER, volume_handle="pvc-data-uid")
    assert (made.spec.capacity, made.spec.persistent_volume_reclaim_policy) == ({"storage": "1Gi"}, "Delete")
    assert made.spec.claim_ref.uid == "data-uid"
    assert DELETION_FINALIZER in made.metadata.finalizers
    assert event(decision)[1:] == ("ProvisioningSucceeded", "Successfully provisioned volume pvc-data-uid")


def test_a_chosen_node_that_is_gone_is_chosen_anew() -> None:
    assert SELECTED_NODE not in (
        written(decide(claim(annotations=SELECTED), storage_class=LOCAL)).metadata.annotations or {}
    )


def test_an_immediate_claim_goes_where_most_is_free() -> None:
    promised = volume(size="95Gi", host="roomy")
    assert node_of(written(decide(claim(), storage_class=IMMEDIATE, nodes=(TIGHT, ROOMY)))) == "roomy"
    full = decide(claim(), storage_class=IMMEDIATE, nodes=(TIGHT, ROOMY), volumes=(promised,))
    assert node_of(written(full)) == "tight"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (claim(modes=("ReadWriteMany",)), "accessModes may be ReadWriteOnce or ReadWriteOncePod"),
        (claim(spec={"selector": LabelSelector(match_labels={"a": "b"})}), "selector is not supported"),
        (claim(spec={"data_source": TypedLocalObjectReference(kind="VolumeSnapshot", name="s")}), "cannot fill"),
    ],
    ids=["many nodes", "selector", "data source"],
)
def test_what_a_local_volume_cannot_be_is_not_provisioned(wanted: PersistentVolumeClaim, text: str) -> None:
    decision = decide(wanted, storage_class=IMMEDIATE, nodes=(ROOMY,))
    assert decision.actions == ()
    kind, reason, message = event(decision)
    assert (kind, reason) == ("Warning", "ProvisioningFailed")
    assert text in message


def test_why_a_claim_has_no_volume() -> None:
    assert event(decide(claim(storage_class=""))) == (
        "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set",
    )  # fmt: skip
    missing = ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "local" not found')
    assert event(decide(claim())) == missing
    foreign = storage_class(provisioner="example.com/nfs", volume_binding_mode="Immediate")
    assert event(decide(claim(), storage_class=foreign))[1] == "ExternalProvisioning"


def test_the_smallest_volume_that_fits_is_reserved_and_then_named() -> None:
    wanted = claim(storage_class="")
    volumes = (
        volume("small", size="512Mi", storage_class=""),
        volume("large", size="9Gi", storage_class=""),
        volume("right", size="2Gi", storage_class=""),
        volume("other", size="1Gi", storage_class="fast"),
        volume("many", size="1Gi", storage_class="", modes=("ReadOnlyMany",)),
    )
    reserved = written(decide(wanted, free=volumes))
    assert reserved.metadata.name == "right"
    assert reserved.spec.claim_ref.uid == "data-uid"
    assert BOUND_BY_CONTROLLER in reserved.metadata.annotations
    named = written(decide(wanted, free=(reserved,)))
    assert named.spec.volume_name == "right"
    bound = decide(named, volume=reserved).status
    assert isinstance(bound, PersistentVolumeClaim)
    assert (bound.status.phase, bound.status.capacity) == ("Bound", {"storage": "2Gi"})
    assert bound.status.access_modes == ("ReadWriteOnce",)


def test_a_volume_reserved_by_name_is_taken_before_any_other() -> None:
    reference = ObjectReference(namespace="default", name="data")
    reserved = volume("mine", size="5Gi", spec={"claim_ref": reference})
    decision = decide(claim(), storage_class=LOCAL, free=(volume("smaller"), reserved))
    assert written(decision).metadata.name == "mine"
    assert BOUND_BY_CONTROLLER not in (written(decision).metadata.annotations or {})


def test_a_selector_chooses_by_labels() -> None:
    wanted = claim(storage_class="", spec={"selector": LabelSelector(match_labels={"tier": "fast"})})
    volumes = (volume("plain", storage_class=""), volume("fast", storage_class="", labels={"tier": "fast"}))
    assert written(decide(wanted, free=volumes)).metadata.name == "fast"


def test_a_claim_that_names_its_volume_gets_it_or_says_why_not() -> None:
    wanted = claim(volume="pv")
    assert event(decide(wanted))[1:] == ("FailedBinding", 'volume "pv" not found')
    small = decide(wanted, volume=volume(size="1Mi"))
    assert event(small)[1:] == ("VolumeMismatch", 'Cannot bind to requested volume "pv": requested PV is too small')
    taken = decide(wanted, volume=held_by(volume(), claim("other")))
    assert event(taken)[1:] == ("FailedBinding", 'volume "pv" already bound to a different claim.')
    reserved = written(decide(wanted, volume=volume()))
    assert reserved.spec.claim_ref.uid == "data-uid"
    assert BIND_COMPLETED in written(decide(wanted, volume=reserved)).metadata.annotations


def test_a_claim_whose_volume_is_gone_is_lost() -> None:
    lost = decide(bound_claim())
    assert isinstance(lost.status, PersistentVolumeClaim)
    assert (lost.status.status.phase, event(lost)[1]) == ("Lost", "ClaimLost")
    assert event(decide(bound_claim(), volume=held_by(volume(), claim(), uid="older")))[1] == "ClaimMisbound"


def test_a_claim_grows_with_its_volume() -> None:
    grown = bound_claim(size="3Gi")
    decision = decide(grown, volume=managed(held_by(volume(), grown)), storage_class=LOCAL)
    assert written(decision).spec.capacity == {"storage": "3Gi"}
    assert isinstance(decision.status, PersistentVolumeClaim)
    (condition,) = decision.status.status.conditions or ()
    assert (condition.type, condition.status) == (GROWTH_PENDING, "True")
    assert decision.status.status.capacity == {"storage": "1Gi"}
    assert decide(bound_claim(), volume=managed(held_by(volume(), grown)), storage_class=LOCAL) == Decision()


def test_a_deleted_claim_stays_while_a_pod_on_a_node_uses_it() -> None:
    doomed = bound_claim(deletion_timestamp=NOW)
    assert decide(doomed, pods=(pod_with("data", node="node-1"),)) == Decision()
    freed = written(decide(doomed, pods=(pod_with("data"),)))
    assert CLAIM_FINALIZER not in (freed.metadata.finalizers or ())
