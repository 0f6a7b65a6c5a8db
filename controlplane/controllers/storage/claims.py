"""PersistentVolumeClaims: each gets one volume that fits, keeps it, and is kept while a pod uses it.

As pkg/controller/volume/persistentvolume and pvcprotection. Binding is two writes, the volume first, by
compare-and-swap: of two claims that want one volume the second finds it taken. A crash between them is taken up again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Action, Announcement, Create, Decision, Update
from controlplane.controllers.runner import Controller, Watch, own_key
from controlplane.controllers.storage.provision import hostname, local_volume, refusal, roomiest
from orch.api import quantity
from orch.api.kinds import NODES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, STORAGECLASSES
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import (
    BOUND,
    STORAGE,
    PersistentVolumeClaim,
    PersistentVolumeClaimCondition,
    PersistentVolumeClaimStatus,
)
from orch.api.pod.spec import Pod
from orch.api.storageclass import WAITS_FOR_FIRST, StorageClass
from orch.api.volume_binding import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIM_FINALIZER,
    NO_PROVISIONER,
    PROVISIONER,
    SELECTED_NODE,
    capacity,
    claim_names,
    class_of,
    class_of_volume,
    find_match,
    is_for,
    is_managed,
    mismatch,
    reference_to,
    requested,
    waits_for_first_consumer,
)
from orch.client.informer import Informers, Key
from orch.kit.clock import whole_seconds

USER_INDEX, CLAIM_INDEX, CLASS_INDEX = "claims", "claim", "storage-class"
GROWTH_PENDING = "FileSystemResizePending"
RECHECK_S = 15.0
"""How often a claim without a volume is looked at again, as the PV controller's resync."""


@dataclass(frozen=True, slots=True)
class View:
    """What a decision about a claim looks at."""

    storage_class: StorageClass | None = None
    volume: PersistentVolume | None = None
    """The one that the claim names."""
    free: tuple[PersistentVolume, ...] = ()
    """Volumes reserved for the claim, and those of its class that nobody has."""
    volumes: tuple[PersistentVolume, ...] = ()
    """All."""
    pods: tuple[Pod, ...] = ()
    """Those that name the claim."""
    nodes: tuple[Node, ...] = ()


def reconcile(claim: PersistentVolumeClaim, view: View, now: datetime) -> Decision:
    if claim.metadata.deletion_timestamp is not None:
        return _given_up(claim, view.pods)
    if claim.spec.volume_name:
        return _with_volume(claim, view, now)
    waits = _waits_for_pod(claim, view.storage_class)
    match = find_match(claim, view.free, reserved_only=waits)
    return _take(claim, match) if match is not None else _without_volume(claim, view, waits)


def _given_up(claim: PersistentVolumeClaim, pods: tuple[Pod, ...]) -> Decision:
    """Pods that have a node count, also finished ones: their node may still have the volume mounted."""
    finalizers = claim.metadata.finalizers or ()
    if CLAIM_FINALIZER not in finalizers or any(pod.spec.node_name for pod in pods):
        return NOTHING
    left = tuple(each for each in finalizers if each != CLAIM_FINALIZER)
    return Decision((Update(PERSISTENTVOLUMECLAIMS, _with_metadata(claim, finalizers=left or None)),))


def _take(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Decision:
    """One step: the volume is reserved for this very claim, or, when it is, the claim names it."""
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return Decision((_reserve(claim, volume),))
    by_us = {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}
    named = _with_metadata(claim, annotations=(claim.metadata.annotations or {}) | by_us)
    named = replace(named, spec=replace(claim.spec, volume_name=volume.metadata.name))
    return Decision((Update(PERSISTENTVOLUMECLAIMS, named),))


def _reserve(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Action:
    meta = volume.metadata
    if volume.spec.claim_ref is None:  # nobody but this controller chose the claim: it may give it back, too
        meta = replace(meta, annotations=(meta.annotations or {}) | {BOUND_BY_CONTROLLER: "yes"})
    return Update(
        PERSISTENTVOLUMES, replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=reference_to(claim)))
    )


def _with_volume(claim: PersistentVolumeClaim, view: View, now: datetime) -> Decision:
    volume, name = view.volume, claim.spec.volume_name
    reference = volume.spec.claim_ref if volume is not None else None
    if volume is None or (reference is not None and not is_for(reference, claim)):
        return _lost(claim, volume) if claim.status.phase == BOUND else _waits_for(claim, volume)
    if reference is None or not reference.uid:
        if problem := mismatch(claim, volume):
            return _told(claim, "Warning", "VolumeMismatch", f'Cannot bind to requested volume "{name}": {problem}')
        return Decision((_reserve(claim, volume),))
    if BIND_COMPLETED not in (claim.metadata.annotations or {}):
        annotations = (claim.metadata.annotations or {}) | {BIND_COMPLETED: "yes"}
        return Decision((Update(PERSISTENTVOLUMECLAIMS, _with_metadata(claim, annotations=annotations)),))
    if claim.status.phase != BOUND:
        held = {STORAGE: capacity(volume)}
        status = PersistentVolumeClaimStatus(phase=BOUND, access_modes=volume.spec.access_modes, capacity=held)
        return Decision(status=replace(claim, status=status))
    return _grown(claim, volume, view.storage_class, now)


def _waits_for(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> Decision:
    name = claim.spec.volume_name
    if volume is None:
        return _told(claim, "Warning", "FailedBinding", f'volume "{name}" not found')
    return _told(claim, "Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.')


def _lost(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> Decision:
    reason, why = "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    if volume is not None:
        reason, why = "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"
    status = PersistentVolumeClaimStatus(phase="Lost")
    return Decision(status=replace(claim, status=status), events=(Announcement(claim, "Warning", reason, why),))


def _grown(
    claim: PersistentVolumeClaim, volume: PersistentVolume, storage_class: StorageClass | None, now: datetime
) -> Decision:
    """The volume's object says the size first; the node grows the volume and then the claim's status says so."""
    if quantity.parse(requested(claim)) <= quantity.parse(capacity(volume)):
        return NOTHING
    if not is_managed(volume) or storage_class is None or not storage_class.allow_volume_expansion:
        why = "waiting for an external controller to expand this PVC"
        return _told(claim, "Normal", "ExternalExpanding", why)
    larger = replace(volume, spec=replace(volume.spec, capacity={STORAGE: requested(claim)}))
    pending = PersistentVolumeClaimCondition(
        type=GROWTH_PENDING,
        status="True",
        message="Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
        last_transition_time=whole_seconds(now),
    )
    others = tuple(each for each in claim.status.conditions or () if each.type != GROWTH_PENDING)
    status = replace(claim.status, conditions=(*others, pending))
    why = "Require file system resize of volume on node"
    return Decision(
        (Update(PERSISTENTVOLUMES, larger),),
        replace(claim, status=status),
        events=(Announcement(claim, "Normal", "FileSystemResizeRequired", why),),
    )


def _without_volume(claim: PersistentVolumeClaim, view: View, waits: bool) -> Decision:
    name, storage_class = class_of(claim), view.storage_class
    if not name:
        why = "no persistent volumes available for this claim and no storage class is set"
        return _told(claim, "Normal", "FailedBinding", why)
    if storage_class is None:
        return _told(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
    if waits:
        return _waits_for_consumer(claim, view.pods)
    if storage_class.provisioner == PROVISIONER:
        return _provision(claim, storage_class, view)
    if storage_class.provisioner == NO_PROVISIONER:
        why = "no persistent volumes available for this claim and its storage class provisions none"
        return _told(claim, "Normal", "FailedBinding", why)
    why = (
        f"Waiting for a volume to be created either by the external provisioner '{storage_class.provisioner}' or "
        "manually by the system administrator. If volume creation is delayed, please verify that the provisioner is "
        "running and correctly registered."
    )
    return _told(claim, "Normal", "ExternalProvisioning", why)


def _waits_for_consumer(claim: PersistentVolumeClaim, pods: tuple[Pod, ...]) -> Decision:
    waiting = sorted(pod.metadata.name for pod in pods if not pod.spec.node_name)
    if waiting:
        return _told(claim, "Normal", "WaitForPodScheduled", f"waiting for pod {waiting[0]} to be scheduled")
    return _told(claim, "Normal", WAITS_FOR_FIRST, "waiting for first consumer to be created before binding")


def _provision(claim: PersistentVolumeClaim, storage_class: StorageClass, view: View) -> Decision:
    if why := refusal(claim, storage_class):
        return _told(
            claim,
            "Warning",
            "ProvisioningFailed",
            f'failed to provision volume with StorageClass "{storage_class.metadata.name}": {why}',
        )
    selected = (claim.metadata.annotations or {}).get(SELECTED_NODE)
    if selected is None:
        host = roomiest(view.nodes, view.volumes, storage_class)
    else:
        host = next((hostname(node) for node in view.nodes if node.metadata.name == selected), "")
    if not host and selected is not None:  # as provisioners do: the scheduler shall choose anew
        annotations = {
            name: value for name, value in (claim.metadata.annotations or {}).items() if name != SELECTED_NODE
        }
        return Decision((Update(PERSISTENTVOLUMECLAIMS, _with_metadata(claim, annotations=annotations or None)),))
    if not host:
        return _told(claim, "Warning", "ProvisioningFailed", "no node can hold the volume")
    volume = local_volume(claim, storage_class, host)
    why = f"Successfully provisioned volume {volume.metadata.name}"
    return Decision(
        (Create(PERSISTENTVOLUMES, volume),), events=(Announcement(claim, "Normal", "ProvisioningSucceeded", why),)
    )


def _waits_for_pod(claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> bool:
    """No volume is chosen before the scheduler has chosen a node."""
    return waits_for_first_consumer(storage_class) and SELECTED_NODE not in (claim.metadata.annotations or {})


def _told(claim: PersistentVolumeClaim, kind: str, reason: str, message: str) -> Decision:
    return Decision(events=(Announcement(claim, kind, reason, message),), requeue_after_s=RECHECK_S)


def _with_metadata(claim: PersistentVolumeClaim, **fields: object) -> PersistentVolumeClaim:
    meta: ObjectMeta = replace(claim.metadata, **fields)
    return replace(claim, metadata=meta)


def claim_controller(informers: Informers) -> Controller:
    claims, volumes, classes = (
        informers.of(PERSISTENTVOLUMECLAIMS),
        informers.of(PERSISTENTVOLUMES),
        informers.of(STORAGECLASSES),
    )
    pods, nodes = informers.of(PODS), informers.of(NODES)
    users = pods.add_index(USER_INDEX, lambda pod: (_text(pod.metadata.namespace, name) for name in claim_names(pod)))
    held = volumes.add_index(CLAIM_INDEX, lambda volume: [_text(*key) for key in claim_key(volume)])
    unclaimed = volumes.add_index(CLASS_INDEX, _class_if_unclaimed)
    of_class = claims.add_index(CLASS_INDEX, lambda claim: () if claim.spec.volume_name else (class_of(claim),))

    def decide(key: Key, now: datetime) -> Decision:
        claim = claims.get(*key)
        if claim is None:
            return NOTHING
        view = View(
            storage_class=classes.get("", class_of(claim)),
            volume=volumes.get("", claim.spec.volume_name or ""),
            free=(*held.get(_text(*key)), *unclaimed.get(class_of(claim))),
            volumes=tuple(volumes.items()),
            pods=users.get(_text(*key)),
            nodes=tuple(nodes.items()),
        )
        return reconcile(claim, view, now)

    def keys_of_volume(old: PersistentVolume | None, new: PersistentVolume | None) -> Iterable[Key]:
        for volume in (old, new):
            if volume is None:
                continue
            yield from claim_key(volume)
            yield from _keys(of_class.get(class_of_volume(volume)))

    def keys_of_class(old: StorageClass | None, new: StorageClass | None) -> Iterable[Key]:
        return _keys(of_class.get(new.metadata.name)) if new is not None else ()

    watches = (
        Watch(claims, own_key),
        Watch(volumes, keys_of_volume),
        Watch(classes, keys_of_class),
        Watch(pods, _keys_of_pod),
    )
    return Controller("persistentvolume-binder", PERSISTENTVOLUMECLAIMS, watches, decide)


def claim_key(volume: PersistentVolume) -> Iterator[Key]:
    reference = volume.spec.claim_ref
    if reference is not None:
        yield reference.namespace or "", reference.name or ""


def _keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
    pod = new or old
    if pod is not None and (old is None or new is None or old.spec.node_name != new.spec.node_name):
        yield from ((pod.metadata.namespace, name) for name in claim_names(pod))


def _keys(claims: Iterable[PersistentVolumeClaim]) -> Iterator[Key]:
    yield from ((claim.metadata.namespace, claim.metadata.name) for claim in claims)


def _class_if_unclaimed(volume: PersistentVolume) -> tuple[str, ...]:
    return (class_of_volume(volume),) if volume.spec.claim_ref is None else ()


def _text(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"
