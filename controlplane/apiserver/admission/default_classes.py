"""The class of what names none: StorageClass of a claim, IngressClass of an ingress; and whether a claim may grow.

As the plugins DefaultStorageClass, DefaultIngressClass and PersistentVolumeClaimResize of kube-apiserver.
"""

from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from controlplane.store.cache import WatchCache
from controlplane.store.shelf import EVERYTHING
from orch.api import quantity
from orch.api.ingress import CLASS_ANNOTATION, Ingress, default_classes
from orch.api.kinds import INGRESSCLASSES, INGRESSES, PERSISTENTVOLUMECLAIMS, STORAGECLASSES
from orch.api.persistentvolumeclaim import BOUND, STORAGE, PersistentVolumeClaim
from orch.api.storageclass import default_class

STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class DefaultClasses:
    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    async def admit(self, request: Request, obj: Any) -> Any:
        if obj is None or request.subresource:
            return obj
        creates = request.operation is Operation.CREATE
        if request.kind is PERSISTENTVOLUMECLAIMS:
            if creates:
                return self._with_storage_class(obj)
            if isinstance(request.old, PersistentVolumeClaim):
                self._check_growth(obj, request.old)
        elif request.kind is INGRESSES and creates:
            return self._with_ingress_class(obj)
        return obj

    def _with_storage_class(self, claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
        """An empty name is a choice: no class."""
        if claim.spec.storage_class_name is not None or STORAGE_CLASS_ANNOTATION in (claim.metadata.annotations or {}):
            return claim
        chosen = default_class(stored.obj for stored in self._cache.select(STORAGECLASSES, EVERYTHING))
        return claim if chosen is None else replace(
            claim, spec=replace(claim.spec, storage_class_name=chosen.metadata.name)
        )  # fmt: skip

    def _with_ingress_class(self, ingress: Ingress) -> Ingress:
        if ingress.spec.ingress_class_name is not None or CLASS_ANNOTATION in (ingress.metadata.annotations or {}):
            return ingress
        marked = default_classes(stored.obj for stored in self._cache.select(INGRESSCLASSES, EVERYTHING))
        if not marked:
            return ingress
        return replace(ingress, spec=replace(ingress.spec, ingress_class_name=marked[0].metadata.name))

    def _check_growth(self, new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
        before, after = (quantity.parse((c.spec.resources.requests or {}).get(STORAGE, 0)) for c in (old, new))
        if after <= before:
            return
        name = new.metadata.name
        if old.status.phase != BOUND:
            why = "Only bound persistent volume claims can be expanded"
            raise failures.forbidden(PERSISTENTVOLUMECLAIMS, name, why)
        stored = self._cache.get(STORAGECLASSES, "", old.spec.storage_class_name or "")
        if stored is None or not stored.obj.allow_volume_expansion:
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )
            raise failures.forbidden(PERSISTENTVOLUMECLAIMS, name, why)
