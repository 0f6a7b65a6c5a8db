"""Claims, volumes and storage classes as the scheduler sees them. Holds what informers bring; decides nothing."""

from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.storageclass import StorageClass
from orch.api.volume_binding import class_of_volume


class Storage:
    def __init__(self) -> None:
        self.classes: dict[str, StorageClass] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self._claims: dict[tuple[str, str], PersistentVolumeClaim] = {}
        self._free: dict[str, dict[str, PersistentVolume]] = {}

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self._claims.get((namespace, name))

    def free_volumes(self, storage_class: str) -> tuple[PersistentVolume, ...]:
        """Those of the class that are reserved for no claim, or for one by name only."""
        return tuple(self._free.get(storage_class, {}).values())

    def put_class(self, old: StorageClass | None, new: StorageClass | None) -> None:
        if old is not None:
            self.classes.pop(old.metadata.name, None)
        if new is not None:
            self.classes[new.metadata.name] = new

    def put_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if old is not None:
            self._claims.pop((old.metadata.namespace, old.metadata.name), None)
        if new is not None:
            self._claims[new.metadata.namespace, new.metadata.name] = new

    def put_volume(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if old is not None:
            self.volumes.pop(old.metadata.name, None)
            self._free.get(class_of_volume(old), {}).pop(old.metadata.name, None)
        if new is not None:
            self.volumes[new.metadata.name] = new
            if new.spec.claim_ref is None or not new.spec.claim_ref.uid:
                self._free.setdefault(class_of_volume(new), {})[new.metadata.name] = new
