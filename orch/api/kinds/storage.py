"""The kinds of the group storage.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.storageclass import (
    StorageClass,
    storageclass_defaults,
    validate_storageclass,
    validate_storageclass_update,
)

STORAGECLASSES: Kind[StorageClass] = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    singular="storageclass",
    codec=StructCodec(StorageClass),
    set_defaults=storageclass_defaults,
    validate=validate_storageclass,
    validate_update=validate_storageclass_update,
    namespaced=False,
    short_names=("sc",),
)
