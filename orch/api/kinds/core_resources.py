"""The kinds of the core group (v1) that are about capacity: volumes, claims, quotas, limits."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.limitrange import LimitRange, limitrange_defaults, validate_limitrange
from orch.api.metadata import validate_metadata_update
from orch.api.persistentvolume import (
    PersistentVolume,
    persistentvolume_defaults,
    validate_persistentvolume,
    validate_persistentvolume_update,
)
from orch.api.persistentvolumeclaim import (
    PersistentVolumeClaim,
    persistentvolumeclaim_defaults,
    validate_persistentvolumeclaim,
    validate_persistentvolumeclaim_update,
)
from orch.api.resourcequota import (
    ResourceQuota,
    resourcequota_defaults,
    validate_resourcequota,
    validate_resourcequota_update,
)

PERSISTENTVOLUMES: Kind[PersistentVolume] = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    singular="persistentvolume",
    codec=StructCodec(PersistentVolume),
    set_defaults=persistentvolume_defaults,
    validate=validate_persistentvolume,
    validate_update=validate_persistentvolume_update,
    namespaced=False,
    short_names=("pv",),
    subresources=frozenset({"status"}),
)

PERSISTENTVOLUMECLAIMS: Kind[PersistentVolumeClaim] = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    codec=StructCodec(PersistentVolumeClaim),
    set_defaults=persistentvolumeclaim_defaults,
    validate=validate_persistentvolumeclaim,
    validate_update=validate_persistentvolumeclaim_update,
    short_names=("pvc",),
    subresources=frozenset({"status"}),
)

RESOURCEQUOTAS: Kind[ResourceQuota] = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    singular="resourcequota",
    codec=StructCodec(ResourceQuota),
    set_defaults=resourcequota_defaults,
    validate=validate_resourcequota,
    validate_update=validate_resourcequota_update,
    short_names=("quota",),
    subresources=frozenset({"status"}),
)

LIMITRANGES: Kind[LimitRange] = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    created_by_put=True,
    singular="limitrange",
    codec=StructCodec(LimitRange),
    set_defaults=limitrange_defaults,
    validate=validate_limitrange,
    validate_update=validate_metadata_update,
    short_names=("limits",),
)
