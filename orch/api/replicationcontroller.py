"""ReplicationController (core/v1)."""

from collections.abc import Sequence
from typing import Annotated

from msgspec.structs import replace

from orch.api.base import ApiStruct, Int32, Int64, Time, always, atomic_map, merge_list
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero, into
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import label_rules, metadata_rules
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.pod.validation import running_template_rules
from orch.api.replicaset import UNSELECTED
from orch.errors import Cause


class ReplicationControllerSpec(ApiStruct):
    min_ready_seconds: Int32 | None = None
    replicas: Int32 | None = None
    selector: Annotated[dict[str, str] | None, atomic_map()] = None
    template: PodTemplateSpec | None = None


class ReplicationControllerCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class ReplicationControllerStatus(ApiStruct):
    available_replicas: Int32 | None = None
    conditions: Annotated[tuple[ReplicationControllerCondition, ...] | None, merge_list("type")] = None
    fully_labeled_replicas: Int32 | None = None
    observed_generation: Int64 | None = None
    ready_replicas: Int32 | None = None
    replicas: Int32 = always(0)


class ReplicationController(Object):
    api_version: str = always("v1")
    kind: str = always("ReplicationController")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: ReplicationControllerSpec = always(ReplicationControllerSpec())
    status: ReplicationControllerStatus = always(ReplicationControllerStatus())


def replicationcontroller_defaults(controller: ReplicationController) -> ReplicationController:
    """The template's labels stand in for a missing selector and for missing labels."""
    spec = fill(controller.spec, replicas=1)
    spec = change(spec, template=into(spec.template, template_defaults))
    labels = spec.template.metadata.labels if spec.template else None
    metadata = controller.metadata
    if labels:
        spec = fill_zero(spec, selector=labels)
        metadata = metadata if metadata.labels else replace(metadata, labels=labels)
    return change(controller, metadata=metadata, spec=spec)


def validate_replicationcontroller(controller: ReplicationController) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, controller.metadata)
    spec = controller.spec
    causes.not_negative("spec.minReadySeconds", spec.min_ready_seconds)
    if not spec.selector:
        causes.required("spec.selector")
    label_rules(causes, "spec.selector", spec.selector)
    causes.not_negative("spec.replicas", spec.replicas)
    if spec.template is None:
        causes.required("spec.template")
    else:
        _template_rules(causes, spec.selector or {}, spec.template)
    return causes.found


def _template_rules(causes: Causes, selector: dict[str, str], template: PodTemplateSpec) -> None:
    labels = template.metadata.labels or {}
    if not selector.items() <= labels.items():
        causes.invalid("spec.template.metadata.labels", labels, UNSELECTED)
    running_template_rules(causes, "spec.template", template, "ReplicationController")
