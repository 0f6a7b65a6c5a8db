"""Persistent volumes: a pod goes where its volumes are, or where they can be made.

As kube-scheduler's plugin VolumeBinding. `choices` says what is to be written of the claims before the pod is bound.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Hint, Rows
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.plugins.node_affinity import term_matches
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage
from orch.api.node import Node
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.storageclass import StorageClass
from orch.api.volume_binding import (
    NO_PROVISIONER,
    SELECTED_NODE,
    class_of,
    ephemeral_claim_name,
    find_match,
    is_bound,
    is_made_for,
    waits_for_first_consumer,
)

CONFLICT = "node(s) had volume node affinity conflict"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
LOST_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(frozen=True, slots=True)
class Reserve:
    """The volume is for the claim."""

    volume: PersistentVolume
    claim: PersistentVolumeClaim


@dataclass(frozen=True, slots=True)
class SelectNode:
    """A volume for the claim is to be made on the node."""

    claim: PersistentVolumeClaim
    node: str


def choices(pod: PodInfo, storage: Storage, node: Node) -> tuple[Reserve | SelectNode, ...]:
    """What makes the pod's unbound claims bound, on the node that it goes to."""
    made: list[Reserve | SelectNode] = []
    taken: set[str] = set()
    for claim in _unbound(pod, storage):
        match = find_match(claim, [v for v in _free_on(claim, storage, node) if v.metadata.name not in taken])
        if match is not None:
            taken.add(match.metadata.name)
            made.append(Reserve(match, claim))
        elif _selected(claim) != node.metadata.name:
            made.append(SelectNode(claim, node.metadata.name))
    return tuple(made)


class VolumeBinding:
    name = "VolumeBinding"
    helped_by = frozenset({Hint.STORAGE_CHANGED, Hint.NODE_RELABELLED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if not pod.claims:
            return None
        if refusal(pod, snapshot.storage):
            return np.zeros(len(snapshot.nodes), dtype=np.bool_)
        return _here(pod, snapshot) & _can_be_here(pod, snapshot)

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        if why := refusal(pod, snapshot.storage):
            return {why: 0}
        if any(_volume(claim, snapshot.storage) is None for claim in _bound(pod, snapshot.storage)):
            return {LOST_VOLUME: len(refused)}
        elsewhere = int((~_here(pod, snapshot)[refused]).sum())
        return +Counter({CONFLICT: elsewhere, NOTHING_TO_BIND: len(refused) - elsewhere})


def refusal(pod: PodInfo, storage: Storage) -> str:
    """Why the pod can go nowhere for now; empty when that is a question of nodes."""
    made_for_it = {ephemeral_claim_name(pod.pod, v) for v in pod.pod.spec.volumes or () if v.ephemeral is not None}
    for name in pod.claims:
        claim = storage.claim(pod.pod.metadata.namespace, name)
        if claim is None and name in made_for_it:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim.status.phase == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
        if claim.metadata.deletion_timestamp is not None:
            return f'persistentvolumeclaim "{name}" is being deleted'
        if name in made_for_it and not is_made_for(claim, pod.pod):
            return f'PVC "{name}" was not created for pod "{pod.pod.metadata.name}"'
        if not is_bound(claim) and not waits_for_first_consumer(storage.classes.get(class_of(claim))):
            return UNBOUND_IMMEDIATE
    return ""


def _here(pod: PodInfo, snapshot: Snapshot) -> Mask:
    """Nodes from which all volumes that the pod has can be reached."""
    mask = snapshot.present.copy()
    for claim in _bound(pod, snapshot.storage):
        volume = _volume(claim, snapshot.storage)
        mask &= _reached_from(volume, snapshot) if volume is not None else False
    return mask


def _reached_from(volume: PersistentVolume, snapshot: Snapshot) -> Mask:
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return snapshot.present
    terms = affinity.required.node_selector_terms
    return snapshot.mask(("VolumeBinding", terms), lambda node: any(term_matches(term, node) for term in terms))


def _can_be_here(pod: PodInfo, snapshot: Snapshot) -> Mask:
    """Nodes on which each volume that the pod lacks is there to be taken, or can be made."""
    mask = snapshot.present.copy()
    for claim in _unbound(pod, snapshot.storage):
        mask &= _for_claim(claim, snapshot)
    return mask


def _for_claim(claim: PersistentVolumeClaim, snapshot: Snapshot) -> Mask:
    if selected := _selected(claim):
        only = np.zeros(len(snapshot.nodes), dtype=np.bool_)
        if selected in snapshot.rows:
            only[snapshot.rows[selected]] = True
        return only
    storage = snapshot.storage
    mask = np.zeros(len(snapshot.nodes), dtype=np.bool_)
    storage_class = storage.classes.get(class_of(claim))
    if storage_class is not None and storage_class.provisioner != NO_PROVISIONER:
        mask |= _allowed(storage_class, snapshot)
    for volume in storage.free_volumes(class_of(claim)):
        if find_match(claim, (volume,)) is not None:
            mask |= _reached_from(volume, snapshot)
    return mask


def _allowed(storage_class: StorageClass, snapshot: Snapshot) -> Mask:
    terms = storage_class.allowed_topologies
    if not terms:
        return snapshot.present

    def allows(node: Node) -> bool:
        labels = node.metadata.labels or {}
        return any(all(labels.get(a.key) in a.values for a in term.match_label_expressions or ()) for term in terms)

    return snapshot.mask(("VolumeBinding", terms), allows)


def _free_on(claim: PersistentVolumeClaim, storage: Storage, node: Node) -> Iterator[PersistentVolume]:
    for volume in storage.free_volumes(class_of(claim)):
        affinity = volume.spec.node_affinity
        required = affinity.required if affinity is not None else None
        if required is None or any(term_matches(term, node) for term in required.node_selector_terms):
            yield volume


def _claims(pod: PodInfo, storage: Storage) -> Iterator[PersistentVolumeClaim]:
    for name in pod.claims:
        claim = storage.claim(pod.pod.metadata.namespace, name)
        if claim is not None:
            yield claim


def _bound(pod: PodInfo, storage: Storage) -> list[PersistentVolumeClaim]:
    return [claim for claim in _claims(pod, storage) if is_bound(claim)]


def _unbound(pod: PodInfo, storage: Storage) -> list[PersistentVolumeClaim]:
    return [claim for claim in _claims(pod, storage) if not is_bound(claim)]


def _volume(claim: PersistentVolumeClaim, storage: Storage) -> PersistentVolume | None:
    return storage.volumes.get(claim.spec.volume_name or "")


def _selected(claim: PersistentVolumeClaim) -> str:
    return (claim.metadata.annotations or {}).get(SELECTED_NODE, "")
