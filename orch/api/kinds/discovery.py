"""The kinds of the group discovery.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.endpointslice import (
    EndpointSlice,
    endpointslice_defaults,
    validate_endpointslice,
    validate_endpointslice_update,
)
from orch.api.kind import Kind

ENDPOINTSLICES: Kind[EndpointSlice] = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    singular="endpointslice",
    codec=StructCodec(EndpointSlice),
    set_defaults=endpointslice_defaults,
    validate=validate_endpointslice,
    validate_update=validate_endpointslice_update,
)
