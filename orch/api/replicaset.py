"""ReplicaSet (apps/v1)."""

from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, Time, always, merge_list
from orch.api.change import change, fill
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec


class ReplicaSetSpec(ApiStruct):
    min_ready_seconds: Int32 | None = None
    replicas: Int32 | None = None
    selector: LabelSelector = always(LabelSelector())
    template: PodTemplateSpec = always(PodTemplateSpec())


class ReplicaSetCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class ReplicaSetStatus(ApiStruct):
    available_replicas: Int32 | None = None
    conditions: Annotated[tuple[ReplicaSetCondition, ...] | None, merge_list("type")] = None
    fully_labeled_replicas: Int32 | None = None
    observed_generation: Int64 | None = None
    ready_replicas: Int32 | None = None
    replicas: Int32 = always(0)
    terminating_replicas: Int32 | None = None


class ReplicaSet(Object):
    api_version: str = always("apps/v1")
    kind: str = always("ReplicaSet")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: ReplicaSetSpec = always(ReplicaSetSpec())
    status: ReplicaSetStatus = always(ReplicaSetStatus())


def replicaset_defaults(replicaset: ReplicaSet) -> ReplicaSet:
    spec = fill(replicaset.spec, replicas=1)
    return change(replicaset, spec=change(spec, template=template_defaults(spec.template)))
