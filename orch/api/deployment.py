"""Deployment (apps/v1)."""

from collections.abc import Sequence
from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Time, always, merge_list, retain_keys
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero
from orch.api.int_or_percent import at_most_100_percent, count_or_percent_rules, is_zero
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.replicaset import template_owner_rules
from orch.errors import Cause


class RollingUpdateDeployment(ApiStruct):
    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class DeploymentStrategy(ApiStruct):
    rolling_update: RollingUpdateDeployment | None = None
    type: str | None = None


class DeploymentSpec(ApiStruct):
    min_ready_seconds: Int32 | None = None
    paused: bool | None = None
    progress_deadline_seconds: Int32 | None = None
    replicas: Int32 | None = None
    revision_history_limit: Int32 | None = None
    selector: LabelSelector = always(LabelSelector())
    strategy: Annotated[DeploymentStrategy, retain_keys()] = always(DeploymentStrategy())
    template: PodTemplateSpec = always(PodTemplateSpec())


class DeploymentCondition(ApiStruct):
    last_transition_time: Time | None = None
    last_update_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class DeploymentStatus(ApiStruct):
    available_replicas: Int32 | None = None
    collision_count: Int32 | None = None
    conditions: Annotated[tuple[DeploymentCondition, ...] | None, merge_list("type")] = None
    observed_generation: Int64 | None = None
    ready_replicas: Int32 | None = None
    replicas: Int32 | None = None
    terminating_replicas: Int32 | None = None
    unavailable_replicas: Int32 | None = None
    updated_replicas: Int32 | None = None


class Deployment(Object):
    api_version: str = always("apps/v1")
    kind: str = always("Deployment")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: DeploymentSpec = always(DeploymentSpec())
    status: DeploymentStatus = always(DeploymentStatus())


REVISION_HISTORY_DEFAULT = 10
PROGRESS_DEADLINE_DEFAULT_S = 600
ROLLING_UPDATE_DEFAULT = "25%"


def deployment_defaults(deployment: Deployment) -> Deployment:
    spec = fill(
        deployment.spec,
        replicas=1,
        revision_history_limit=REVISION_HISTORY_DEFAULT,
        progress_deadline_seconds=PROGRESS_DEADLINE_DEFAULT_S,
    )
    spec = change(spec, strategy=_strategy_defaults(spec.strategy), template=template_defaults(spec.template))
    return change(deployment, spec=spec)


def _strategy_defaults(strategy: DeploymentStrategy) -> DeploymentStrategy:
    strategy = fill_zero(strategy, type="RollingUpdate")
    if strategy.type != "RollingUpdate":
        return strategy
    rolling = strategy.rolling_update or RollingUpdateDeployment()
    rolling = fill(rolling, max_surge=ROLLING_UPDATE_DEFAULT, max_unavailable=ROLLING_UPDATE_DEFAULT)
    return change(strategy, rolling_update=rolling)


def validate_deployment(deployment: Deployment) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, deployment.metadata)
    spec = deployment.spec
    template_owner_rules(causes, spec.selector, spec.template)
    for name, value in (
        ("replicas", spec.replicas),
        ("minReadySeconds", spec.min_ready_seconds),
        ("revisionHistoryLimit", spec.revision_history_limit),
        ("progressDeadlineSeconds", spec.progress_deadline_seconds),
    ):
        causes.not_negative(f"spec.{name}", value)
    deadline_s = spec.progress_deadline_seconds
    if deadline_s is not None and deadline_s <= (spec.min_ready_seconds or 0):
        causes.invalid("spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds")
    _strategy_rules(causes, spec.strategy)
    return causes.found


def validate_deployment_update(new: Deployment, old: Deployment) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("spec.selector", new.spec.selector, old.spec.selector)
    return causes.found


def _strategy_rules(causes: Causes, strategy: DeploymentStrategy) -> None:
    path = "spec.strategy"
    match strategy.type:
        case "Recreate":
            if strategy.rolling_update is not None:
                causes.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
        case "RollingUpdate":
            if strategy.rolling_update is None:
                causes.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")
            else:
                _rolling_rules(causes, f"{path}.rollingUpdate", strategy.rolling_update)
        case other:
            causes.one_of(f"{path}.type", other, ("Recreate", "RollingUpdate"))


def _rolling_rules(causes: Causes, path: str, rolling: RollingUpdateDeployment) -> None:
    surge, unavailable = rolling.max_surge or 0, rolling.max_unavailable or 0
    count_or_percent_rules(causes, f"{path}.maxUnavailable", unavailable)
    count_or_percent_rules(causes, f"{path}.maxSurge", surge)
    if is_zero(surge) and is_zero(unavailable):
        causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    at_most_100_percent(causes, f"{path}.maxUnavailable", unavailable)
