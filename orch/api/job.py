"""Job (batch/v1): types and defaults. The rules are in `orch.api.job_rules`."""

from typing import Annotated

from msgspec.structs import replace

from orch.api.base import ApiStruct, Int32, Int64, Time, always, apply_set, merge_list
from orch.api.change import change, each_or_none, fill, fill_zero, into
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec

INDEXED, NON_INDEXED = "Indexed", "NonIndexed"
FAILED, TERMINATING_OR_FAILED = "Failed", "TerminatingOrFailed"
BACKOFF_LIMIT_DEFAULT = 6
BACKOFF_LIMIT_MAX = 2**31 - 1


class PodFailurePolicyOnExitCodesRequirement(ApiStruct):
    container_name: str | None = None
    operator: str = always("")
    values: Annotated[tuple[Int32, ...], apply_set()] = always(())


class PodFailurePolicyOnPodConditionsPattern(ApiStruct):
    status: str = always("")
    type: str = always("")


class PodFailurePolicyRule(ApiStruct):
    action: str = always("")
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    on_pod_conditions: tuple[PodFailurePolicyOnPodConditionsPattern, ...] | None = None


class PodFailurePolicy(ApiStruct):
    rules: tuple[PodFailurePolicyRule, ...] = always(())


class SuccessPolicyRule(ApiStruct):
    succeeded_count: Int32 | None = None
    succeeded_indexes: str | None = None


class SuccessPolicy(ApiStruct):
    rules: tuple[SuccessPolicyRule, ...] = always(())


class JobSpec(ApiStruct):
    active_deadline_seconds: Int64 | None = None
    backoff_limit: Int32 | None = None
    backoff_limit_per_index: Int32 | None = None
    completion_mode: str | None = None
    completions: Int32 | None = None
    managed_by: str | None = None
    manual_selector: bool | None = None
    max_failed_indexes: Int32 | None = None
    parallelism: Int32 | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    pod_replacement_policy: str | None = None
    selector: LabelSelector | None = None
    success_policy: SuccessPolicy | None = None
    suspend: bool | None = None
    template: PodTemplateSpec = always(PodTemplateSpec())
    ttl_seconds_after_finished: Int32 | None = None


class JobCondition(ApiStruct):
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class UncountedTerminatedPods(ApiStruct):
    failed: Annotated[tuple[str, ...] | None, apply_set()] = None
    succeeded: Annotated[tuple[str, ...] | None, apply_set()] = None


class JobStatus(ApiStruct):
    active: Int32 | None = None
    completed_indexes: str | None = None
    completion_time: Time | None = None
    conditions: Annotated[tuple[JobCondition, ...] | None, merge_list("type", is_atomic=True)] = None
    failed: Int32 | None = None
    failed_indexes: str | None = None
    ready: Int32 | None = None
    start_time: Time | None = None
    succeeded: Int32 | None = None
    terminating: Int32 | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None


class Job(Object):
    api_version: str = always("batch/v1")
    kind: str = always("Job")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: JobSpec = always(JobSpec())
    status: JobStatus = always(JobStatus())


def job_defaults(job: Job) -> Job:
    """Without any number a Job is one pod; a Job without labels has those of its template."""
    spec = job.spec
    if spec.completions is None and spec.parallelism is None:
        spec = fill(spec, completions=1)
    per_index = spec.backoff_limit_per_index is not None
    spec = fill(
        spec,
        parallelism=1,
        backoff_limit=BACKOFF_LIMIT_MAX if per_index else BACKOFF_LIMIT_DEFAULT,
        manual_selector=False,
        suspend=False,
    )
    spec = fill_zero(
        spec,
        completion_mode=NON_INDEXED,
        pod_replacement_policy=FAILED if spec.pod_failure_policy else TERMINATING_OR_FAILED,
    )
    metadata, labels = job.metadata, spec.template.metadata.labels
    if labels and not metadata.labels:
        metadata = replace(metadata, labels=labels)
    return change(job, metadata=metadata, spec=job_pod_defaults(spec))


def job_pod_defaults(spec: JobSpec) -> JobSpec:
    """What is filled in also where the spec is a template of Jobs."""
    return change(
        spec,
        template=template_defaults(spec.template),
        pod_failure_policy=into(spec.pod_failure_policy, _failure_policy_defaults),
    )


def _failure_policy_defaults(policy: PodFailurePolicy) -> PodFailurePolicy:
    return change(policy, rules=each_or_none(policy.rules, _rule_defaults))


def _rule_defaults(rule: PodFailurePolicyRule) -> PodFailurePolicyRule:
    patterns = each_or_none(rule.on_pod_conditions, lambda pattern: fill_zero(pattern, status="True"))
    return change(rule, on_pod_conditions=patterns)
