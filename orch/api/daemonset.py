"""DaemonSet (apps/v1)."""

from collections.abc import Sequence
from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero
from orch.api.int_or_percent import at_most_100_percent, count_or_percent_rules, is_zero
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.replicaset import template_owner_rules
from orch.errors import Cause


class RollingUpdateDaemonSet(ApiStruct):
    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class DaemonSetUpdateStrategy(ApiStruct):
    rolling_update: RollingUpdateDaemonSet | None = None
    type: str | None = None


class DaemonSetSpec(ApiStruct):
    min_ready_seconds: Int32 | None = None
    revision_history_limit: Int32 | None = None
    selector: LabelSelector = always(LabelSelector())
    template: PodTemplateSpec = always(PodTemplateSpec())
    update_strategy: DaemonSetUpdateStrategy = always(DaemonSetUpdateStrategy())


class DaemonSetCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class DaemonSetStatus(ApiStruct):
    collision_count: Int32 | None = None
    conditions: Annotated[tuple[DaemonSetCondition, ...] | None, merge_list("type")] = None
    current_number_scheduled: Int32 = always(0)
    desired_number_scheduled: Int32 = always(0)
    number_available: Int32 | None = None
    number_misscheduled: Int32 = always(0)
    number_ready: Int32 = always(0)
    number_unavailable: Int32 | None = None
    observed_generation: Int64 | None = None
    updated_number_scheduled: Int32 | None = None


class DaemonSet(Object):
    api_version: str = always("apps/v1")
    kind: str = always("DaemonSet")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: DaemonSetSpec = always(DaemonSetSpec())
    status: DaemonSetStatus = always(DaemonSetStatus())


REVISION_HISTORY_DEFAULT = 10


def daemonset_defaults(daemonset: DaemonSet) -> DaemonSet:
    spec = fill(daemonset.spec, revision_history_limit=REVISION_HISTORY_DEFAULT)
    strategy = fill_zero(spec.update_strategy, type="RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update or RollingUpdateDaemonSet()
        strategy = change(strategy, rolling_update=fill(rolling, max_surge=0, max_unavailable=1))
    return change(daemonset, spec=change(spec, template=template_defaults(spec.template), update_strategy=strategy))


def validate_daemonset(daemonset: DaemonSet) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, daemonset.metadata)
    spec = daemonset.spec
    template_owner_rules(causes, spec.selector, spec.template, "DaemonSet")
    causes.not_negative("spec.minReadySeconds", spec.min_ready_seconds)
    causes.not_negative("spec.revisionHistoryLimit", spec.revision_history_limit)
    strategy, path = spec.update_strategy, "spec.updateStrategy"
    causes.one_of(f"{path}.type", strategy.type, ("OnDelete", "RollingUpdate"))
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            causes.required(f"{path}.rollingUpdate")
        else:
            _rolling_rules(causes, f"{path}.rollingUpdate", strategy.rolling_update)
    return causes.found


def _rolling_rules(causes: Causes, path: str, rolling: RollingUpdateDaemonSet) -> None:
    """A node's pod is replaced either after it has stopped or beside it, never both."""
    surge, unavailable = rolling.max_surge or 0, rolling.max_unavailable or 0
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        count_or_percent_rules(causes, f"{path}.{name}", value)
        at_most_100_percent(causes, f"{path}.{name}", value)
    if is_zero(surge) and is_zero(unavailable):
        causes.invalid(f"{path}.maxUnavailable", unavailable, "cannot be 0 when maxSurge is 0")
    elif not is_zero(surge) and not is_zero(unavailable):
        causes.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")


def validate_daemonset_update(new: DaemonSet, old: DaemonSet) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("spec.selector", new.spec.selector, old.spec.selector)
    return causes.found
