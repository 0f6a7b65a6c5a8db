"""PersistentVolumes: their phase, and what becomes of them when their claim is gone.

As pkg/controller/volume/persistentvolume and pvprotection. Invariant: a volume is deleted for its claim's absence only
after a fresh read shows that the claim is absent, and its object stays until its node has confirmed that the data is
gone. A volume with reclaim policy Retain loses its object only; the data stays.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Announcement, Decision, Delete, Reference, Update
from controlplane.controllers.runner import Controller, Watch, own_key
from controlplane.controllers.storage.claims import CLAIM_INDEX, claim_key
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from orch.api.persistentvolume import PersistentVolume, PersistentVolumeStatus
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.volume_binding import BOUND_BY_CONTROLLER, DELETION_FINALIZER, VOLUME_FINALIZER, is_for, is_managed
from orch.client.informer import Informers, Key
from orch.kit.clock import whole_seconds


def reconcile(volume: PersistentVolume, claim: PersistentVolumeClaim | None, now: datetime) -> Decision:
    """`claim`: whichever has the name that the volume's claimRef gives."""
    holder = claim if claim is not None and _is_holder(volume, claim) else None
    if holder is not None and holder.spec.volume_name not in (None, "", volume.metadata.name):
        return _give_back(volume)
    phase = _phase(volume, holder)
    if phase != volume.status.phase and not (phase == "Released" and volume.status.phase == "Failed"):
        status = PersistentVolumeStatus(phase=phase, last_phase_transition_time=whole_seconds(now))
        return Decision(status=replace(volume, status=status))
    if volume.metadata.deletion_timestamp is not None:
        return _let_go(volume, in_use=holder is not None)
    return _reclaim(volume, now) if phase == "Released" else NOTHING


def _is_holder(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return volume.spec.claim_ref is not None and is_for(volume.spec.claim_ref, claim)


def _phase(volume: PersistentVolume, holder: PersistentVolumeClaim | None) -> str:
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return "Available"
    if holder is None:
        return "Released"
    return "Bound" if holder.spec.volume_name == volume.metadata.name else "Available"


def _give_back(volume: PersistentVolume) -> Decision:
    """The claim took another one. What the controller reserved is free again; what a user reserved stays reserved."""
    annotations, reference = volume.metadata.annotations or {}, volume.spec.claim_ref
    if BOUND_BY_CONTROLLER in annotations or reference is None:
        left = {name: value for name, value in annotations.items() if name != BOUND_BY_CONTROLLER}
        meta, spec = replace(volume.metadata, annotations=left or None), replace(volume.spec, claim_ref=None)
    elif reference.uid:
        meta = volume.metadata
        spec = replace(volume.spec, claim_ref=replace(reference, uid=None, resource_version=None))
    else:
        return NOTHING
    return Decision((Update(PERSISTENTVOLUMES, replace(volume, metadata=meta, spec=spec)),))


def _let_go(volume: PersistentVolume, *, in_use: bool) -> Decision:
    """The finalizers that the control plane answers for; that of a volume whose data is to go, its node answers for."""
    kept = volume.spec.persistent_volume_reclaim_policy != "Delete"
    goes = {DELETION_FINALIZER} if kept else set()
    goes |= set() if in_use else {VOLUME_FINALIZER}
    finalizers = volume.metadata.finalizers or ()
    left = tuple(each for each in finalizers if each not in goes)
    if left == finalizers:
        return NOTHING
    meta = replace(volume.metadata, finalizers=left or None)
    return Decision((Update(PERSISTENTVOLUMES, replace(volume, metadata=meta)),))


def _reclaim(volume: PersistentVolume, now: datetime) -> Decision:
    policy, meta, reference = volume.spec.persistent_volume_reclaim_policy, volume.metadata, volume.spec.claim_ref
    if policy == "Delete" and is_managed(volume) and reference is not None:
        gone = Reference(PERSISTENTVOLUMECLAIMS, reference.namespace or "", reference.name or "", reference.uid or "")
        return Decision((Delete(PERSISTENTVOLUMES, "", meta.name, meta.uid, absent=(gone,)),))
    if policy not in ("Delete", "Recycle") or volume.status.phase == "Failed":
        return NOTHING
    verb, reason = ("delet", "VolumeFailedDelete") if policy == "Delete" else ("recycl", "VolumeFailedRecycle")
    why = f'error getting {verb}er volume plugin for volume "{meta.name}": no {verb}able volume plugin matched'
    status = PersistentVolumeStatus(phase="Failed", message=why, last_phase_transition_time=whole_seconds(now))
    return Decision(status=replace(volume, status=status), events=(Announcement(volume, "Warning", reason, why),))


def volume_controller(informers: Informers) -> Controller:
    volumes, claims = informers.of(PERSISTENTVOLUMES), informers.of(PERSISTENTVOLUMECLAIMS)
    held = volumes.add_index(CLAIM_INDEX, lambda volume: ["/".join(key) for key in claim_key(volume)])

    def decide(key: Key, now: datetime) -> Decision:
        volume = volumes.get(*key)
        if volume is None:
            return NOTHING
        claim = next((claims.get(*claim) for claim in claim_key(volume)), None)
        return reconcile(volume, claim, now)

    def keys_of_claim(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> Iterable[Key]:
        claim = new or old
        if claim is not None:
            yield from (("", v.metadata.name) for v in held.get(f"{claim.metadata.namespace}/{claim.metadata.name}"))

    watches = (Watch(volumes, own_key), Watch(claims, keys_of_claim))
    return Controller("persistentvolume", PERSISTENTVOLUMES, watches, decide)
