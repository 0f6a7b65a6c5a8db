"""Rules of Jobs (batch/v1): every cause at once, in Kubernetes' words (pkg/apis/batch/validation)."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from orch.api.causes import Causes
from orch.api.formats import dns_subdomain_problem, label_key_problem
from orch.api.job import (
    FAILED,
    INDEXED,
    NON_INDEXED,
    TERMINATING_OR_FAILED,
    Job,
    JobSpec,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicyRule,
)
from orch.api.metadata import metadata_rules, metadata_update_rules, selector_rules
from orch.api.pod.spec import PodTemplateSpec
from orch.api.pod.validation import template_rules
from orch.api.replicaset import UNSELECTED, selects
from orch.errors import Cause

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
"""Labels by which the pods of a Job are known."""

PARALLELISM_MAX_INDEXED = 100_000
POLICY_RULES_MAX = 20
EXIT_CODES_MAX = 255
POD_CONDITIONS_MAX = 20
MANAGED_BY_MAX_CHARS = 63
FAILURE_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def validate_job(job: Job) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, job.metadata)
    spec = job.spec
    _generated_selector_rules(causes, job)
    job_spec_rules(causes, "spec", spec)
    if spec.selector is None:
        causes.required("spec.selector")
        return causes.found
    selector_rules(causes, "spec.selector", spec.selector)
    labels = spec.template.metadata.labels or {}
    if not selects(spec.selector, labels):
        causes.invalid("spec.template.metadata.labels", labels, UNSELECTED)
    return causes.found


def _generated_selector_rules(causes: Causes, job: Job) -> None:
    """A selector that the server makes must meet the labels that it makes, whatever the user wrote."""
    spec = job.spec
    if spec.manual_selector or spec.selector is None:
        return
    generated, labels = generated_labels(job), spec.template.metadata.labels or {}
    for key, value in generated.items():
        if labels.get(key) != value:
            path = "spec.template.metadata.labels"
            causes.invalid(path, labels, f"must have the expected label {key} with value {value}")
    if not selects(spec.selector, generated):
        causes.invalid("spec.selector", spec.selector, "`selector` not auto-generated")


def generated_labels(job: Job) -> dict[str, str]:
    uid, name = job.metadata.uid, job.metadata.name
    return {OLD_CONTROLLER_UID: uid, OLD_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}


def job_spec_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    """All but the selector."""
    for name, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ):
        causes.not_negative(f"{path}.{name}", value)
    _managed_by_rules(causes, f"{path}.managedBy", spec.managed_by)
    causes.maybe_one_of(f"{path}.completionMode", spec.completion_mode, (INDEXED, NON_INDEXED))
    if spec.completion_mode == INDEXED:
        _indexed_rules(causes, path, spec)
    else:
        _non_indexed_rules(causes, path, spec)
    _failure_policy_rules(causes, path, spec)
    _replacement_rules(causes, path, spec)
    template_rules(causes, f"{path}.template", spec.template)
    if spec.template.spec.restart_policy not in ("OnFailure", "Never"):
        causes.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def _managed_by_rules(causes: Causes, path: str, name: str | None) -> None:
    """A domain, a slash and a path: `example.com/job-controller`."""
    if name is None:
        return
    if len(name) > MANAGED_BY_MAX_CHARS:
        causes.too_long(path, MANAGED_BY_MAX_CHARS)
    domain, slash, rest = name.partition("/")
    if not domain or not slash or not rest:
        causes.invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        causes.check(path, domain, dns_subdomain_problem(domain))


def _indexed_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    if spec.completions is None:
        causes.required(f"{path}.completions", f"when completion mode is {INDEXED}")
    if spec.parallelism is not None and spec.parallelism > PARALLELISM_MAX_INDEXED:
        why = f"must be less than or equal to {PARALLELISM_MAX_INDEXED} when completion mode is {INDEXED}"
        causes.invalid(f"{path}.parallelism", spec.parallelism, why)
    if spec.max_failed_indexes is not None:
        if spec.backoff_limit_per_index is None:
            causes.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
        if spec.completions is not None and spec.max_failed_indexes > spec.completions:
            causes.invalid(
                f"{path}.maxFailedIndexes", spec.max_failed_indexes, "must be less than or equal to completions"
            )
    if spec.success_policy is not None:
        _success_policy_rules(causes, f"{path}.successPolicy", spec.success_policy.rules, spec.completions or 0)


def _non_indexed_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    for name, value in (
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
        ("successPolicy", spec.success_policy),
    ):
        if value is not None:
            causes.invalid(f"{path}.{name}", value, "requires indexed completion mode")


def _success_policy_rules(causes: Causes, path: str, rules: Sequence[SuccessPolicyRule], completions: int) -> None:
    if not rules:
        causes.required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > POLICY_RULES_MAX:
        causes.too_many(f"{path}.rules", len(rules), POLICY_RULES_MAX)
    for index, rule in enumerate(rules):
        at = f"{path}.rules[{index}]"
        if rule.succeeded_count is None and rule.succeeded_indexes is None:
            causes.required(at, "at least one of succeededCount or succeededIndexes must be specified")
        chosen = completions
        if rule.succeeded_indexes is not None:
            count = indexes_count(rule.succeeded_indexes, completions)
            if count is None:
                why = f"must be increasing indexes and ranges below {completions}, such as 1,3-5"
                causes.invalid(f"{at}.succeededIndexes", rule.succeeded_indexes, why)
            else:
                chosen = count
        causes.not_negative(f"{at}.succeededCount", rule.succeeded_count)
        if rule.succeeded_count is not None and rule.succeeded_count > chosen:
            why = f"must be less than or equal to {chosen} (the number of specified indexes)"
            causes.invalid(f"{at}.succeededCount", rule.succeeded_count, why)


def indexes_count(text: str, completions: int) -> int | None:
    """How many indexes `1,3-5` names; None when it is malformed, not increasing, or beyond the completions."""
    count, last = 0, -1
    for part in text.split(",") if text else ():
        first_text, dash, end_text = part.partition("-")
        if not (first_text.isdecimal() and (end_text.isdecimal() if dash else True)):
            return None
        first, end = int(first_text), int(end_text) if dash else int(first_text)
        if not last < first <= end < completions:
            return None
        count, last = count + end - first + 1, end
    return count


def _failure_policy_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    if spec.pod_failure_policy is None:
        return
    rules, at = spec.pod_failure_policy.rules, f"{path}.podFailurePolicy.rules"
    if len(rules) > POLICY_RULES_MAX:
        causes.too_many(at, len(rules), POLICY_RULES_MAX)
    restart = spec.template.spec.restart_policy
    if restart != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        causes.invalid(f"{path}.template.spec.restartPolicy", restart, why)
    for index, rule in enumerate(rules):
        _failure_rule(causes, f"{at}[{index}]", rule, spec)


def _failure_rule(causes: Causes, path: str, rule: PodFailurePolicyRule, spec: JobSpec) -> None:
    causes.one_of(f"{path}.action", rule.action, FAILURE_ACTIONS)
    if rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
        causes.invalid(f"{path}.action", rule.action, "requires the backoffLimitPerIndex to be set")
    if rule.on_exit_codes is not None:
        _exit_code_rules(causes, f"{path}.onExitCodes", rule.on_exit_codes, spec.template)
    patterns = rule.on_pod_conditions or ()
    if len(patterns) > POD_CONDITIONS_MAX:
        causes.too_many(f"{path}.onPodConditions", len(patterns), POD_CONDITIONS_MAX)
    for index, pattern in enumerate(patterns):
        at = f"{path}.onPodConditions[{index}]"
        causes.check(f"{at}.type", pattern.type, label_key_problem(pattern.type))
        causes.one_of(f"{at}.status", pattern.status, ("False", "True", "Unknown"))
    if patterns and rule.on_exit_codes is not None:
        causes.invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
    if not patterns and rule.on_exit_codes is None:
        causes.invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_code_rules(
    causes: Causes, path: str, codes: PodFailurePolicyOnExitCodesRequirement, template: PodTemplateSpec
) -> None:
    causes.one_of(f"{path}.operator", codes.operator, ("In", "NotIn"))
    containers = (*template.spec.containers, *(template.spec.init_containers or ()))
    if codes.container_name is not None and codes.container_name not in {each.name for each in containers}:
        why = "must be one of the container or initContainer names in the pod template"
        causes.invalid(f"{path}.containerName", codes.container_name, why)
    values, at = codes.values, f"{path}.values"
    if not values:
        causes.invalid(at, values, "at least one value is required")
    if len(values) > EXIT_CODES_MAX:
        causes.too_many(at, len(values), EXIT_CODES_MAX)
    for index, value in enumerate(values):
        if codes.operator == "In" and value == 0:
            causes.invalid(f"{at}[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            causes.duplicate(f"{at}[{index}]", value)
    if list(values) != sorted(values):
        causes.invalid(at, values, "must be ordered")


def _replacement_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    supported = (FAILED,) if spec.pod_failure_policy else (FAILED, TERMINATING_OR_FAILED)
    causes.maybe_one_of(f"{path}.podReplacementPolicy", spec.pod_replacement_policy, supported)


def validate_job_update(new: Job, old: Job) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    changed, present = new.spec, old.spec
    if not _scales_indexes(changed, present):
        causes.immutable("spec.completions", changed.completions, present.completions)
    for name, field in (
        ("selector", "selector"),
        ("completion_mode", "completionMode"),
        ("pod_failure_policy", "podFailurePolicy"),
        ("backoff_limit_per_index", "backoffLimitPerIndex"),
        ("managed_by", "managedBy"),
        ("success_policy", "successPolicy"),
    ):
        causes.immutable(f"spec.{field}", getattr(changed, name), getattr(present, name))
    template = present.template
    if present.suspend and old.status.start_time is None:
        template = _with_placement_of(template, changed.template)
    causes.immutable("spec.template", changed.template, template)
    return causes.found


def _scales_indexes(new: JobSpec, old: JobSpec) -> bool:
    """An indexed Job may grow and shrink as long as all its indexes may run at once (KEP-3715)."""
    return new.completion_mode == INDEXED and new.completions == new.parallelism and old.completions == old.parallelism


_PLACEMENT: Sequence[str] = ("node_selector", "tolerations", "affinity", "scheduling_gates")


def _with_placement_of(template: PodTemplateSpec, other: PodTemplateSpec) -> PodTemplateSpec:
    """Where the pods of a Job that has not started go may still be changed (KEP-2926)."""
    placement: dict[str, Any] = {name: getattr(other.spec, name) for name in _PLACEMENT}
    metadata = replace(template.metadata, labels=other.metadata.labels, annotations=other.metadata.annotations)
    return replace(template, metadata=metadata, spec=replace(template.spec, **placement))
