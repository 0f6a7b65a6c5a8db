"""PersistentVolumes of the class `local`: which claims can have one, on which node, and what it says. Pure.

A volume is made by writing its object; the node's agent makes the file when a pod first mounts it.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from orch.api import quantity
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.persistentvolume import (
    CSIPersistentVolumeSource,
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from orch.api.persistentvolumeclaim import SINGLE_POD, STORAGE, PersistentVolumeClaim
from orch.api.shared import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from orch.api.storageclass import StorageClass
from orch.api.volume_binding import (
    DELETION_FINALIZER,
    HOSTNAME,
    PROVISIONED_BY,
    PROVISIONER,
    capacity,
    node_of,
    reference_to,
    requested,
)

PROVIDED_MODES = frozenset({"ReadWriteOnce", SINGLE_POD})
EPHEMERAL_STORAGE = "ephemeral-storage"


def refusal(claim: PersistentVolumeClaim, storage_class: StorageClass) -> str:
    """Why no local volume can be what the claim asks for; empty when one can."""
    spec = claim.spec
    if spec.selector is not None:
        return "claim.spec.selector is not supported for dynamic provisioning"
    if spec.volume_mode == "Block":
        return f"{PROVISIONER} does not support block volume provisioning"
    if spec.data_source is not None or spec.data_source_ref is not None:
        return f"{PROVISIONER} cannot fill a volume from spec.dataSourceRef"
    if not set(spec.access_modes or ()) <= PROVIDED_MODES:
        return f"{PROVISIONER} provides volumes of one node: accessModes may be {' or '.join(sorted(PROVIDED_MODES))}"
    if storage_class.parameters:
        return f"{PROVISIONER} takes no parameters, {sorted(storage_class.parameters)[0]!r} given"
    return ""


def roomiest(nodes: Iterable[Node], volumes: Sequence[PersistentVolume], storage_class: StorageClass) -> str:
    """The host name of the node with the most storage that no volume was promised; empty when there is no node."""
    promised: dict[str, Decimal] = {}
    for volume in volumes:
        promised[node_of(volume)] = promised.get(node_of(volume), Decimal(0)) + quantity.parse(capacity(volume))
    free = {
        host: quantity.parse((node.status.allocatable or {}).get(EPHEMERAL_STORAGE, 0)) - promised.get(host, Decimal(0))
        for node in nodes
        if (host := hostname(node)) and not node.spec.unschedulable and allows(storage_class, node)
    }
    return max(sorted(free), key=lambda host: free[host], default="")


def hostname(node: Node) -> str:
    return (node.metadata.labels or {}).get(HOSTNAME, "")


def allows(storage_class: StorageClass, node: Node) -> bool:
    """Whether the class' allowedTopologies have a term for the node."""
    terms, labels = storage_class.allowed_topologies, node.metadata.labels or {}
    return not terms or any(
        all(labels.get(asked.key) in asked.values for asked in term.match_label_expressions or ()) for term in terms
    )


def local_volume(claim: PersistentVolumeClaim, storage_class: StorageClass, host: str) -> PersistentVolume:
    """Reserved for the claim from the start, named after its uid as all provisioners do."""
    name = f"pvc-{claim.metadata.uid}"
    here = NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(host,)),))
    return PersistentVolume(
        metadata=ObjectMeta(name=name, annotations={PROVISIONED_BY: PROVISIONER}, finalizers=(DELETION_FINALIZER,)),
        spec=PersistentVolumeSpec(
            access_modes=claim.spec.access_modes,
            capacity={STORAGE: requested(claim)},
            claim_ref=reference_to(claim),
            csi=CSIPersistentVolumeSource(driver=PROVISIONER, volume_handle=name),
            mount_options=storage_class.mount_options,
            node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=(here,))),
            persistent_volume_reclaim_policy=storage_class.reclaim_policy,
            storage_class_name=storage_class.metadata.name,
            volume_mode="Filesystem",
        ),
    )
