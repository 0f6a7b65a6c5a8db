"""Deployment (apps/v1)."""

from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Time, always, merge_list, retain_keys
from orch.api.change import change, fill, fill_zero
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec


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
