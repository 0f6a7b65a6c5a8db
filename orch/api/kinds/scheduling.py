"""The kinds of the group scheduling.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.priorityclass import (
    PriorityClass,
    priorityclass_defaults,
    validate_priorityclass,
    validate_priorityclass_update,
)

PRIORITYCLASSES: Kind[PriorityClass] = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    singular="priorityclass",
    codec=StructCodec(PriorityClass),
    set_defaults=priorityclass_defaults,
    validate=validate_priorityclass,
    validate_update=validate_priorityclass_update,
    namespaced=False,
    short_names=("pc",),
)
