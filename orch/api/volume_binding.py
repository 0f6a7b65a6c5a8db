"""Which PersistentVolume a claim may have, and what control plane and nodes agree on about volumes. Pure.

As Kubernetes' pkg/controller/volume/persistentvolume (`findMatchingVolume`, `checkVolumeSatisfyClaim`). A managed
volume is one that this cluster's own provisioner made: its source names the provisioner as driver, it lies on the one
node that its node affinity names, and its deletion finalizer goes once that node has confirmed that the data is gone.
"""

from collections.abc import Iterable, Iterator

from orch.api import quantity
from orch.api.base import Quantity
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import STORAGE, PersistentVolumeClaim
from orch.api.pod.spec import Pod
from orch.api.pod.volume import Volume
from orch.api.selectors import from_label_selector
from orch.api.shared import ObjectReference
from orch.api.storageclass import WAITS_FOR_FIRST, StorageClass

PROVISIONER = "orch.dev/local"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
DELETION_FINALIZER = "orch.dev/local-volume"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
HOSTNAME = "kubernetes.io/hostname"


def class_of(claim: PersistentVolumeClaim) -> str:
    return (claim.metadata.annotations or {}).get(CLASS_ANNOTATION) or claim.spec.storage_class_name or ""


def class_of_volume(volume: PersistentVolume) -> str:
    return (volume.metadata.annotations or {}).get(CLASS_ANNOTATION) or volume.spec.storage_class_name or ""


def requested(claim: PersistentVolumeClaim) -> Quantity:
    return (claim.spec.resources.requests or {}).get(STORAGE, "0")


def capacity(volume: PersistentVolume) -> Quantity:
    return (volume.spec.capacity or {}).get(STORAGE, "0")


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """The claim has its volume for good, as kube-scheduler sees it."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in (claim.metadata.annotations or {})


def waits_for_first_consumer(storage_class: StorageClass | None) -> bool:
    """Claims of the class get their volume once a pod that uses them has its node."""
    return storage_class is not None and storage_class.volume_binding_mode == WAITS_FOR_FIRST


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    meta = claim.metadata
    return ObjectReference(
        api_version=claim.api_version, kind=claim.kind, namespace=meta.namespace, name=meta.name, uid=meta.uid
    )


def is_for(reference: ObjectReference, claim: PersistentVolumeClaim) -> bool:
    """A reference without uid reserves a volume for whichever claim has the name."""
    meta = claim.metadata
    return (reference.namespace, reference.name) == (meta.namespace, meta.name) and (
        not reference.uid or reference.uid == meta.uid
    )


def mismatch(claim: PersistentVolumeClaim, volume: PersistentVolume) -> str:
    """Why the claim cannot have the volume, in Kubernetes' words; empty when it can."""
    if (claim.spec.volume_mode or "Filesystem") != (volume.spec.volume_mode or "Filesystem"):
        return "incompatible volumeMode"
    if quantity.parse(capacity(volume)) < quantity.parse(requested(claim)):
        return "requested PV is too small"
    if class_of(claim) != class_of_volume(volume):
        return "storageClassName does not match"
    if not set(claim.spec.access_modes or ()) <= set(volume.spec.access_modes or ()):
        return "incompatible accessMode"
    return ""


def find_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, reserved_only: bool = False
) -> PersistentVolume | None:
    """A volume that is reserved for the claim, else the smallest free one that fits."""
    fitting = [volume for volume in volumes if _is_free(claim, volume) and not mismatch(claim, volume)]
    reserved = [volume for volume in fitting if volume.spec.claim_ref is not None]
    found = reserved or ([] if reserved_only else [volume for volume in fitting if _selected(claim, volume)])
    return min(found, key=lambda volume: (quantity.parse(capacity(volume)), volume.metadata.name), default=None)


def _is_free(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    if volume.metadata.deletion_timestamp is not None:
        return False
    reference = volume.spec.claim_ref
    return reference is None or is_for(reference, claim)


def _selected(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    selector = claim.spec.selector
    return selector is None or from_label_selector(selector).matches(volume.metadata.labels)


def is_managed(volume: PersistentVolume) -> bool:
    return volume.spec.csi is not None and volume.spec.csi.driver == PROVISIONER


def node_of(volume: PersistentVolume) -> str:
    """The host name label of the one node that the volume can be used on; empty: its affinity says something else."""
    affinity = volume.spec.node_affinity
    terms = affinity.required.node_selector_terms if affinity is not None and affinity.required is not None else ()
    if len(terms) != 1 or terms[0].match_fields:
        return ""
    for requirement in terms[0].match_expressions or ():
        if (requirement.key, requirement.operator, len(requirement.values or ())) == (HOSTNAME, "In", 1):
            return (requirement.values or ("",))[0]
    return ""


def claim_name(pod: Pod, volume: Volume) -> str:
    """The claim that a volume of the pod stands for; empty when it stands for none."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return ephemeral_claim_name(pod, volume) if volume.ephemeral is not None else ""


def ephemeral_claim_name(pod: Pod, volume: Volume) -> str:
    return f"{pod.metadata.name}-{volume.name}"


def claim_names(pod: Pod) -> Iterator[str]:
    for volume in pod.spec.volumes or ():
        if name := claim_name(pod, volume):
            yield name


def is_made_for(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Whether the claim of an ephemeral volume is the pod's, and not one that happens to have the name."""
    return any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references or ())
