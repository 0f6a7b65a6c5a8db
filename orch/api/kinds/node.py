"""The kinds of the group node.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.runtimeclass import (
    RuntimeClass,
    runtimeclass_defaults,
    validate_runtimeclass,
    validate_runtimeclass_update,
)

RUNTIMECLASSES: Kind[RuntimeClass] = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    created_by_put=True,
    singular="runtimeclass",
    codec=StructCodec(RuntimeClass),
    set_defaults=runtimeclass_defaults,
    validate=validate_runtimeclass,
    validate_update=validate_runtimeclass_update,
    namespaced=False,
)
