"""The kinds of the group coordination.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.lease import Lease, validate_lease
from orch.api.metadata import validate_metadata_update

LEASES: Kind[Lease] = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    created_by_put=True,
    singular="lease",
    codec=StructCodec(Lease),
    validate=validate_lease,
    validate_update=validate_metadata_update,
)
