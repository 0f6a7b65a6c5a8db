"""ReplicaSet (apps/v1)."""

from collections.abc import Sequence
from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.change import change, fill
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules, selector_rules
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.pod.validation import running_template_rules
from orch.api.selectors import from_label_selector
from orch.errors import BadRequest, Cause


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


UNSELECTED = "`selector` does not match template `labels`"


def validate_replicaset(replicaset: ReplicaSet) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, replicaset.metadata)
    spec = replicaset.spec
    template_owner_rules(causes, spec.selector, spec.template, "ReplicaSet")
    causes.not_negative("spec.replicas", spec.replicas)
    causes.not_negative("spec.minReadySeconds", spec.min_ready_seconds)
    return causes.found


def validate_replicaset_update(new: ReplicaSet, old: ReplicaSet) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("spec.selector", new.spec.selector, old.spec.selector)
    return causes.found


def template_owner_rules(
    causes: Causes, selector: LabelSelector, template: PodTemplateSpec, owner: str = "Deployment"
) -> None:
    """Selector and template of a kind that keeps pods: the selector must select what the template makes."""
    running_template_rules(causes, "spec.template", template, owner)
    selector_rules(causes, "spec.selector", selector)
    if not selector.match_labels and not selector.match_expressions:
        causes.invalid("spec.selector", selector, f"empty selector is invalid for {owner.lower()}")
        return
    labels = template.metadata.labels or {}
    if not selects(selector, labels):
        causes.invalid("spec.template.metadata.labels", labels, UNSELECTED)


def selects(selector: LabelSelector, labels: dict[str, str]) -> bool:
    try:
        return from_label_selector(selector).matches(labels)
    except BadRequest:  # the operator does not exist, which selector_rules has reported
        return True
