"""StatefulSet (apps/v1)."""

from collections.abc import Sequence
from typing import Annotated

from msgspec.structs import replace

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.change import change, each_or_none, fill, fill_zero
from orch.api.formats import dns_label_problem
from orch.api.int_or_percent import at_most_100_percent, count_or_percent_rules, is_zero
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.persistentvolumeclaim import PersistentVolumeClaim, persistentvolumeclaim_defaults
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.replicaset import template_owner_rules
from orch.errors import Cause


class RollingUpdateStatefulSetStrategy(ApiStruct):
    max_unavailable: IntOrString | None = None
    partition: Int32 | None = None


class StatefulSetUpdateStrategy(ApiStruct):
    rolling_update: RollingUpdateStatefulSetStrategy | None = None
    type: str | None = None


class StatefulSetOrdinals(ApiStruct):
    start: Int32 | None = None


class StatefulSetPersistentVolumeClaimRetentionPolicy(ApiStruct):
    when_deleted: str | None = None
    when_scaled: str | None = None


class StatefulSetSpec(ApiStruct):
    min_ready_seconds: Int32 | None = None
    ordinals: StatefulSetOrdinals | None = None
    persistent_volume_claim_retention_policy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    pod_management_policy: str | None = None
    replicas: Int32 | None = None
    revision_history_limit: Int32 | None = None
    selector: LabelSelector = always(LabelSelector())
    service_name: str | None = None
    template: PodTemplateSpec = always(PodTemplateSpec())
    update_strategy: StatefulSetUpdateStrategy = always(StatefulSetUpdateStrategy())
    volume_claim_templates: tuple[PersistentVolumeClaim, ...] | None = None


class StatefulSetCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class StatefulSetStatus(ApiStruct):
    available_replicas: Int32 | None = None
    collision_count: Int32 | None = None
    conditions: Annotated[tuple[StatefulSetCondition, ...] | None, merge_list("type")] = None
    current_replicas: Int32 | None = None
    current_revision: str | None = None
    observed_generation: Int64 | None = None
    ready_replicas: Int32 | None = None
    replicas: Int32 = always(0)
    update_revision: str | None = None
    updated_replicas: Int32 | None = None


class StatefulSet(Object):
    api_version: str = always("apps/v1")
    kind: str = always("StatefulSet")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: StatefulSetSpec = always(StatefulSetSpec())
    status: StatefulSetStatus = always(StatefulSetStatus())


REVISION_HISTORY_DEFAULT = 10
POD_MANAGEMENT_POLICIES = ("OrderedReady", "Parallel")
RETENTION_POLICIES = ("Delete", "Retain")


def statefulset_defaults(statefulset: StatefulSet) -> StatefulSet:
    spec = fill(statefulset.spec, replicas=1, revision_history_limit=REVISION_HISTORY_DEFAULT)
    spec = fill_zero(spec, pod_management_policy="OrderedReady")
    retention = spec.persistent_volume_claim_retention_policy or StatefulSetPersistentVolumeClaimRetentionPolicy()
    spec = change(
        spec,
        persistent_volume_claim_retention_policy=fill_zero(retention, when_deleted="Retain", when_scaled="Retain"),
        template=template_defaults(spec.template),
        update_strategy=_strategy_defaults(spec.update_strategy),
        volume_claim_templates=each_or_none(spec.volume_claim_templates, persistentvolumeclaim_defaults),
    )
    return change(statefulset, spec=spec)


def _strategy_defaults(strategy: StatefulSetUpdateStrategy) -> StatefulSetUpdateStrategy:
    """A strategy whose type was left out is a rolling update of all replicas."""
    strategy = fill_zero(strategy, type="RollingUpdate")
    if strategy.type != "RollingUpdate":
        return strategy
    rolling = strategy.rolling_update or RollingUpdateStatefulSetStrategy()
    return change(strategy, rolling_update=fill(rolling, partition=0))


def validate_statefulset(statefulset: StatefulSet) -> Sequence[Cause]:
    """Names of pods are made of the set's, which therefore is a DNS label."""
    causes = Causes()
    metadata_rules(causes, statefulset.metadata, name_problem=dns_label_problem)
    spec = statefulset.spec
    causes.one_of("spec.podManagementPolicy", spec.pod_management_policy, POD_MANAGEMENT_POLICIES)
    _strategy_rules(causes, "spec.updateStrategy", spec.update_strategy)
    if (retention := spec.persistent_volume_claim_retention_policy) is not None:
        path = "spec.persistentVolumeClaimRetentionPolicy"
        causes.one_of(f"{path}.whenDeleted", retention.when_deleted, RETENTION_POLICIES)
        causes.one_of(f"{path}.whenScaled", retention.when_scaled, RETENTION_POLICIES)
    for name, value in (
        ("replicas", spec.replicas),
        ("minReadySeconds", spec.min_ready_seconds),
        ("revisionHistoryLimit", spec.revision_history_limit),
        ("ordinals.start", spec.ordinals.start if spec.ordinals else None),
    ):
        causes.not_negative(f"spec.{name}", value)
    template_owner_rules(causes, spec.selector, spec.template, "StatefulSet")
    return causes.found


def _strategy_rules(causes: Causes, path: str, strategy: StatefulSetUpdateStrategy) -> None:
    causes.one_of(f"{path}.type", strategy.type, ("OnDelete", "RollingUpdate"))
    rolling = strategy.rolling_update
    if rolling is None:
        return
    if strategy.type == "OnDelete":
        causes.invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
        return
    causes.not_negative(f"{path}.rollingUpdate.partition", rolling.partition)
    if rolling.max_unavailable is not None:
        at = f"{path}.rollingUpdate.maxUnavailable"
        count_or_percent_rules(causes, at, rolling.max_unavailable)
        at_most_100_percent(causes, at, rolling.max_unavailable)
        if is_zero(rolling.max_unavailable):
            causes.invalid(at, rolling.max_unavailable, "cannot be 0")


_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "update_strategy",
    "revision_history_limit",
    "persistent_volume_claim_retention_policy",
    "min_ready_seconds",
)


def validate_statefulset_update(new: StatefulSet, old: StatefulSet) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if new.spec != replace(old.spec, **{name: getattr(new.spec, name) for name in _CHANGEABLE}):
        causes.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )
    return causes.found
