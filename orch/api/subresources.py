"""Bodies of the binding, eviction and scale subresources."""

from orch.api.base import ApiStruct, Int32, always
from orch.api.meta import DeleteOptions, Object, ObjectMeta
from orch.api.shared import ObjectReference


class Binding(Object):
    api_version: str = always("v1")
    kind: str = always("Binding")
    metadata: ObjectMeta = always(ObjectMeta())
    target: ObjectReference = always(ObjectReference())


class Eviction(Object):
    api_version: str = always("policy/v1")
    kind: str = always("Eviction")
    metadata: ObjectMeta = always(ObjectMeta())
    delete_options: DeleteOptions | None = None


class ScaleSpec(ApiStruct):
    replicas: Int32 | None = None


class ScaleStatus(ApiStruct):
    replicas: Int32 = always(0)
    selector: str | None = None


class Scale(Object):
    api_version: str = always("autoscaling/v1")
    kind: str = always("Scale")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: ScaleSpec = always(ScaleSpec())
    status: ScaleStatus = always(ScaleStatus())
