"""What is decided about a volume."""

from typing import Any

from msgspec.structs import replace

from controlplane.controllers.actions import Decision, Delete, Reference, Update
from controlplane.controllers.storage.volumes import reconcile
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from orch.api.persistentvolume import CSIPersistentVolumeSource, PersistentVolume
from orch.api.volume_binding import (
    BOUND_BY_CONTROLLER,
    DELETION_FINALIZER,
    PROVISIONER,
    VOLUME_FINALIZER,
    reference_to,
)
from tests.builders import NOW
from tests.storage import bound_claim, claim, volume

CLAIM = bound_claim()
OWN = {"local": None, "csi": CSIPersistentVolumeSource(driver=PROVISIONER, volume_handle="pv")}


def held(**fields: Any) -> PersistentVolume:
    spec = {"claim_ref": reference_to(CLAIM)} | fields.pop("spec", {})
    return volume(spec=spec, **fields)


def phase(decision: Decision) -> str | None:
    assert isinstance(decision.status, PersistentVolume)
    return decision.status.status.phase


def finalizers(decision: Decision) -> tuple[str, ...]:
    (action,) = decision.actions
    assert isinstance(action, Update)
    return action.obj.metadata.finalizers or ()


def test_phases_follow_the_claim() -> None:
    assert phase(reconcile(volume(phase="Pending"), None, NOW)) == "Available"
    assert phase(reconcile(held(), CLAIM, NOW)) == "Bound"
    assert phase(reconcile(held(phase="Bound"), None, NOW)) == "Released"
    assert phase(reconcile(held(phase="Bound"), bound_claim(uid="younger"), NOW)) == "Released"
    assert reconcile(held(phase="Bound"), CLAIM, NOW) == Decision()


def test_transition_times_are_whole_seconds() -> None:
    uneven = NOW.replace(microsecond=123_456)
    for changed in (volume(phase="Pending"), held(phase="Released", policy="Delete")):
        told = reconcile(changed, None, uneven).status
        assert isinstance(told, PersistentVolume)
        assert told.status.last_phase_transition_time == NOW.replace(microsecond=0)


def test_a_released_volume_is_deleted_only_while_the_claim_is_absent() -> None:
    released = held(phase="Released", policy="Delete", spec=OWN)
    (action,) = reconcile(released, None, NOW).actions
    gone = Reference(PERSISTENTVOLUMECLAIMS, "default", "data", "data-uid")
    assert action == Delete(PERSISTENTVOLUMES, "", "pv", "pv-uid", absent=(gone,))


def test_a_retained_volume_stays_and_a_foreign_one_cannot_be_deleted() -> None:
    assert reconcile(held(phase="Released"), None, NOW) == Decision()
    failed = reconcile(held(phase="Released", policy="Delete"), None, NOW)
    assert phase(failed) == "Failed"
    assert [event.reason for event in failed.events] == ["VolumeFailedDelete"]
    assert reconcile(held(phase="Failed", policy="Delete"), None, NOW) == Decision()


def test_what_the_controller_reserved_is_free_when_the_claim_took_another() -> None:
    elsewhere = claim(volume="other")
    (by_us,) = reconcile(held(annotations={BOUND_BY_CONTROLLER: "yes"}), elsewhere, NOW).actions
    (by_user,) = reconcile(held(), elsewhere, NOW).actions
    assert isinstance(by_us, Update)
    assert isinstance(by_user, Update)
    assert by_us.obj.spec.claim_ref is None
    assert (by_user.obj.spec.claim_ref.name, by_user.obj.spec.claim_ref.uid) == ("data", None)


def test_a_deleted_volume_goes_when_unused_and_when_its_node_has_removed_the_data() -> None:
    both = (VOLUME_FINALIZER, DELETION_FINALIZER)
    doomed = held(policy="Delete", spec=OWN, deletion_timestamp=NOW, finalizers=both, phase="Bound")
    assert reconcile(doomed, CLAIM, NOW) == Decision()
    released = replace(doomed, status=replace(doomed.status, phase="Released"))
    assert finalizers(reconcile(released, None, NOW)) == (DELETION_FINALIZER,)


def test_the_data_of_a_retained_volume_is_nobodys_to_remove() -> None:
    both = (VOLUME_FINALIZER, DELETION_FINALIZER)
    doomed = held(policy="Retain", spec=OWN, deletion_timestamp=NOW, finalizers=both, phase="Released")
    assert finalizers(reconcile(doomed, None, NOW)) == ()
