"""Defaults and rules of the kinds that make pods, beside Deployments: what the API fills in and what it refuses."""

from typing import Any

import pytest

from orch.api.kind import Kind
from orch.api.kinds import (
    CONTROLLERREVISIONS,
    CRONJOBS,
    DAEMONSETS,
    JOBS,
    PODDISRUPTIONBUDGETS,
    PODTEMPLATES,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
)
from orch.api.meta import LabelSelector
from tests.unit.orch.api.objects import brief, container, made

LABELS = {"app": "web"}
Spec = dict[str, Any]


def template(labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": LABELS if labels is None else labels}, "spec": {"containers": [container()], **spec}}


def keeper(**fields: Any) -> Spec:
    """The spec of a StatefulSet or DaemonSet."""
    return {"spec": {"selector": {"matchLabels": LABELS}, "template": template(), **fields}}


def job_spec(**fields: Any) -> Spec:
    return {
        "manualSelector": True,
        "selector": {"matchLabels": LABELS},
        "template": template(restartPolicy="Never"),
        **fields,
    }


def job(**fields: Any) -> Spec:
    return {"spec": job_spec(**fields)}


def cron_job(job_fields: Spec | None = None, **fields: Any) -> Spec:
    spec = {"template": template(restartPolicy="OnFailure"), **(job_fields or {})}
    return {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": spec}, **fields}}


def on_codes(action: str = "FailJob", *values: int, operator: str = "In") -> Spec:
    return {"action": action, "onExitCodes": {"operator": operator, "values": values or [1]}}


INDEXED: Spec = {"completionMode": "Indexed", "completions": 3}
WRONG_LABELS = ("spec.template.metadata.labels", "Invalid")

CASES: list[tuple[Kind[Any], Spec, list[tuple[str, str]]]] = [
    (PODTEMPLATES, {"template": template()}, []),
    (PODTEMPLATES, {"template": template({"a b": "x"})}, [("template.metadata.labels", "Invalid")]),
    (REPLICATIONCONTROLLERS, {"spec": {"template": template()}}, []),
    (
        REPLICATIONCONTROLLERS,
        {"spec": {"replicas": -1, "minReadySeconds": -1}},
        [
            ("spec.minReadySeconds", "Invalid"),
            ("spec.selector", "Required"),
            ("spec.replicas", "Invalid"),
            ("spec.template", "Required"),
        ],
    ),
    (REPLICATIONCONTROLLERS, {"spec": {"selector": {"a": "b"}, "template": template()}}, [WRONG_LABELS]),
    (
        REPLICATIONCONTROLLERS,
        {"spec": {"template": template(restartPolicy="Never")}},
        [("spec.template.spec.restartPolicy", "NotSupported")],
    ),
    (STATEFULSETS, keeper(), []),
    (STATEFULSETS, {**keeper(), "metadata": {"name": "a.b"}}, [("metadata.name", "Invalid")]),
    (
        STATEFULSETS,
        keeper(podManagementPolicy="Any", replicas=-1, ordinals={"start": -1}, minReadySeconds=-1),
        [
            ("spec.podManagementPolicy", "NotSupported"),
            ("spec.replicas", "Invalid"),
            ("spec.minReadySeconds", "Invalid"),
            ("spec.ordinals.start", "Invalid"),
        ],
    ),
    (
        STATEFULSETS,
        keeper(updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
        [("spec.updateStrategy.rollingUpdate", "Invalid")],
    ),
    (
        STATEFULSETS,
        keeper(updateStrategy={"rollingUpdate": {"partition": -1, "maxUnavailable": 0}}),
        [
            ("spec.updateStrategy.rollingUpdate.partition", "Invalid"),
            ("spec.updateStrategy.rollingUpdate.maxUnavailable", "Invalid"),
        ],
    ),
    (
        STATEFULSETS,
        keeper(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Keep"}),
        [("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "NotSupported")],
    ),
    (STATEFULSETS, keeper(selector={}), [("spec.selector", "Invalid")]),
    (DAEMONSETS, keeper(), []),
    (DAEMONSETS, keeper(updateStrategy={"type": "OnDelete"}), []),
    (DAEMONSETS, keeper(updateStrategy={"type": "Now"}), [("spec.updateStrategy.type", "NotSupported")]),
    (DAEMONSETS, keeper(template=template({"app": "other"})), [WRONG_LABELS]),
    (
        DAEMONSETS,
        keeper(updateStrategy={"rollingUpdate": {"maxSurge": 1}}),
        [("spec.updateStrategy.rollingUpdate.maxSurge", "Invalid")],
    ),
    (
        DAEMONSETS,
        keeper(updateStrategy={"rollingUpdate": {"maxUnavailable": "0%"}}),
        [("spec.updateStrategy.rollingUpdate.maxUnavailable", "Invalid")],
    ),
    (
        DAEMONSETS,
        keeper(updateStrategy={"rollingUpdate": {"maxSurge": "110%", "maxUnavailable": 0}}),
        [("spec.updateStrategy.rollingUpdate.maxSurge", "Invalid")],
    ),
    (CONTROLLERREVISIONS, {"data": {"spec": {}}, "revision": 1}, []),
    (CONTROLLERREVISIONS, {"revision": -1}, [("data", "Required"), ("revision", "Invalid")]),
    (PODDISRUPTIONBUDGETS, {"spec": {"minAvailable": 1}}, []),
    (PODDISRUPTIONBUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": "10%"}}, [("spec", "Invalid")]),
    (PODDISRUPTIONBUDGETS, {"spec": {"minAvailable": "101%"}}, [("spec.minAvailable", "Invalid")]),
    (PODDISRUPTIONBUDGETS, {"spec": {"maxUnavailable": "many"}}, [("spec.maxUnavailable", "Invalid")]),
    (
        PODDISRUPTIONBUDGETS,
        {"spec": {"unhealthyPodEvictionPolicy": "Never"}, "status": {"disruptionsAllowed": -1}},
        [("spec.unhealthyPodEvictionPolicy", "NotSupported"), ("status.disruptionsAllowed", "Invalid")],
    ),
    (JOBS, job(), []),
    (JOBS, job(template=template()), [("spec.template.spec.restartPolicy", "Required")]),
    (
        JOBS,
        job(parallelism=-1, completions=-1, backoffLimit=-1, activeDeadlineSeconds=-1, ttlSecondsAfterFinished=-1),
        [
            ("spec.parallelism", "Invalid"),
            ("spec.completions", "Invalid"),
            ("spec.activeDeadlineSeconds", "Invalid"),
            ("spec.backoffLimit", "Invalid"),
            ("spec.ttlSecondsAfterFinished", "Invalid"),
        ],
    ),
    (JOBS, job(completionMode="Some"), [("spec.completionMode", "NotSupported")]),
    (JOBS, job(completionMode="Indexed", parallelism=2), [("spec.completions", "Required")]),
    (JOBS, job(**INDEXED, parallelism=100_001), [("spec.parallelism", "Invalid")]),
    (JOBS, job(**INDEXED, maxFailedIndexes=1), [("spec.backoffLimitPerIndex", "Required")]),
    (JOBS, job(**INDEXED, maxFailedIndexes=4, backoffLimitPerIndex=1), [("spec.maxFailedIndexes", "Invalid")]),
    (JOBS, job(backoffLimitPerIndex=1), [("spec.backoffLimitPerIndex", "Invalid")]),
    (JOBS, job(successPolicy={"rules": [{"succeededCount": 1}]}), [("spec.successPolicy", "Invalid")]),
    (JOBS, job(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0,2", "succeededCount": 2}]}), []),
    (JOBS, job(**INDEXED, successPolicy={"rules": []}), [("spec.successPolicy.rules", "Required")]),
    (JOBS, job(**INDEXED, successPolicy={"rules": [{}]}), [("spec.successPolicy.rules[0]", "Required")]),
    (
        JOBS,
        job(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "2-1"}, {"succeededCount": 4}]}),
        [
            ("spec.successPolicy.rules[0].succeededIndexes", "Invalid"),
            ("spec.successPolicy.rules[1].succeededCount", "Invalid"),
        ],
    ),
    (JOBS, job(managedBy="me"), [("spec.managedBy", "Invalid")]),
    (JOBS, job(managedBy="example.com/me"), []),
    (JOBS, job(podReplacementPolicy="Never"), [("spec.podReplacementPolicy", "NotSupported")]),
    (JOBS, job(podFailurePolicy={"rules": [on_codes("Ignore", 1, 2, operator="NotIn")]}), []),
    (
        JOBS,
        job(
            podFailurePolicy={"rules": [on_codes()]},
            podReplacementPolicy="TerminatingOrFailed",
            template=template(restartPolicy="OnFailure"),
        ),
        [("spec.template.spec.restartPolicy", "Invalid"), ("spec.podReplacementPolicy", "NotSupported")],
    ),
    (
        JOBS,
        job(podFailurePolicy={"rules": [on_codes("FailIndex", 0, 3, 2, 2), {"action": "Wait"}]}),
        [
            ("spec.podFailurePolicy.rules[0].action", "Invalid"),
            ("spec.podFailurePolicy.rules[0].onExitCodes.values[0]", "Invalid"),
            ("spec.podFailurePolicy.rules[0].onExitCodes.values[3]", "Duplicate"),
            ("spec.podFailurePolicy.rules[0].onExitCodes.values", "Invalid"),
            ("spec.podFailurePolicy.rules[1].action", "NotSupported"),
            ("spec.podFailurePolicy.rules[1]", "Invalid"),
        ],
    ),
    (
        JOBS,
        job(podFailurePolicy={"rules": [{**on_codes(), "onPodConditions": [{"type": "X", "status": "Maybe"}]}]}),
        [
            ("spec.podFailurePolicy.rules[0].onPodConditions[0].status", "NotSupported"),
            ("spec.podFailurePolicy.rules[0]", "Invalid"),
        ],
    ),
    (
        JOBS,
        job(podFailurePolicy={"rules": [{"action": "Count", "onExitCodes": {"containerName": "x"}}]}),
        [
            ("spec.podFailurePolicy.rules[0].onExitCodes.operator", "Required"),
            ("spec.podFailurePolicy.rules[0].onExitCodes.containerName", "Invalid"),
            ("spec.podFailurePolicy.rules[0].onExitCodes.values", "Invalid"),
        ],
    ),
    (JOBS, job(selector=None), [("spec.selector", "Required")]),
    (JOBS, job(selector={"matchLabels": {"a": "b"}}), [WRONG_LABELS]),
    (CRONJOBS, cron_job(), []),
    (CRONJOBS, cron_job(timeZone="Europe/Berlin"), []),
    (CRONJOBS, cron_job(schedule=""), [("spec.schedule", "Required")]),
    (CRONJOBS, cron_job(schedule="* * * *"), [("spec.schedule", "Invalid")]),
    (CRONJOBS, cron_job(schedule="CRON_TZ=UTC * * * * *"), [("spec.schedule", "Invalid")]),
    (CRONJOBS, cron_job(timeZone=""), [("spec.timeZone", "Invalid")]),
    (CRONJOBS, cron_job(timeZone="Local"), [("spec.timeZone", "Invalid")]),
    (CRONJOBS, cron_job(timeZone="../etc/passwd"), [("spec.timeZone", "Invalid")]),
    (CRONJOBS, cron_job(timeZone="Mars/Olympus"), [("spec.timeZone", "Invalid")]),
    (
        CRONJOBS,
        cron_job(concurrencyPolicy="Some", startingDeadlineSeconds=-1, failedJobsHistoryLimit=-1),
        [
            ("spec.startingDeadlineSeconds", "Invalid"),
            ("spec.failedJobsHistoryLimit", "Invalid"),
            ("spec.concurrencyPolicy", "NotSupported"),
        ],
    ),
    (
        CRONJOBS,
        cron_job({"selector": {"matchLabels": LABELS}, "manualSelector": True}),
        [("spec.jobTemplate.spec.selector", "Invalid"), ("spec.jobTemplate.spec.manualSelector", "NotSupported")],
    ),
    (CRONJOBS, {**cron_job(), "metadata": {"name": "x" * 53}}, [("metadata.name", "Invalid")]),
]


@pytest.mark.parametrize(("kind", "plain", "expected"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_rules(kind: Kind[Any], plain: Spec, expected: list[tuple[str, str]]) -> None:
    assert brief(kind.validate(made(kind, plain))) == expected


SPEC_CHANGES: list[tuple[Kind[Any], Spec, Spec, list[tuple[str, str]]]] = [
    (DAEMONSETS, keeper(), keeper(selector={"matchLabels": {}}), [("spec.selector", "Invalid")]),
    (STATEFULSETS, keeper(), keeper(replicas=3, template=template(hostNetwork=True), minReadySeconds=1), []),
    (STATEFULSETS, keeper(), keeper(serviceName="other"), [("spec", "Forbidden")]),
    (CONTROLLERREVISIONS, {"data": {"a": 1}}, {"data": {"a": 1}, "revision": 2}, []),
    (CONTROLLERREVISIONS, {"data": {"a": 1}}, {"data": {"a": 2}}, [("data", "Invalid")]),
    (JOBS, job(), job(completions=1, parallelism=3, suspend=True, backoffLimit=1), []),
    (JOBS, job(), job(completions=3), [("spec.completions", "Invalid")]),
    (JOBS, job(**INDEXED, parallelism=3), job(**{**INDEXED, "completions": 2}, parallelism=2), []),
    (JOBS, job(), job(template=template(restartPolicy="Never", nodeName="a")), [("spec.template", "Invalid")]),
    (JOBS, job(), job(managedBy="example.com/me"), [("spec.managedBy", "Invalid")]),
    (
        JOBS,
        job(suspend=True),
        job(suspend=False, template=template(restartPolicy="Never", nodeSelector={"disk": "ssd"})),
        [],
    ),
    (
        JOBS,
        {**job(suspend=True), "status": {"startTime": "2026-01-01T00:00:00Z"}},
        job(template=template(restartPolicy="Never", nodeSelector={"disk": "ssd"})),
        [("spec.template", "Invalid")],
    ),
]


@pytest.mark.parametrize(("kind", "old", "new", "expected"), SPEC_CHANGES, ids=lambda value: getattr(value, "kind", ""))
def test_what_an_update_may_change(kind: Kind[Any], old: Spec, new: Spec, expected: list[tuple[str, str]]) -> None:
    assert brief(kind.validate_update(made(kind, new), made(kind, old))) == expected


def test_labels_of_the_template_stand_in_for_missing_ones() -> None:
    controller = made(REPLICATIONCONTROLLERS, {"spec": {"template": template()}})
    assert (controller.metadata.labels, controller.spec.selector, controller.spec.replicas) == (LABELS, LABELS, 1)
    assert made(JOBS, job()).metadata.labels == LABELS


def test_defaults_of_sets() -> None:
    stateful = made(STATEFULSETS, keeper(volumeClaimTemplates=[{"metadata": {"name": "data"}}])).spec
    assert (stateful.replicas, stateful.revision_history_limit, stateful.pod_management_policy) == (
        1,
        10,
        "OrderedReady",
    )
    assert (stateful.update_strategy.type, stateful.update_strategy.rolling_update.partition) == ("RollingUpdate", 0)
    assert stateful.persistent_volume_claim_retention_policy.when_scaled == "Retain"
    assert stateful.volume_claim_templates[0].spec.volume_mode == "Filesystem"
    rolling = made(DAEMONSETS, keeper()).spec.update_strategy.rolling_update
    assert (rolling.max_surge, rolling.max_unavailable) == (0, 1)


def test_defaults_of_jobs() -> None:
    spec = made(JOBS, job()).spec
    assert (spec.completions, spec.parallelism, spec.backoff_limit, spec.suspend) == (1, 1, 6, False)
    assert (spec.completion_mode, spec.pod_replacement_policy) == ("NonIndexed", "TerminatingOrFailed")
    assert made(JOBS, job(parallelism=2)).spec.completions is None
    indexed = made(
        JOBS,
        job(
            **INDEXED,
            backoffLimitPerIndex=1,
            podFailurePolicy={"rules": [{"action": "Count", "onPodConditions": [{"type": "X"}]}]},
        ),
    ).spec
    assert (indexed.backoff_limit, indexed.pod_replacement_policy) == (2**31 - 1, "Failed")
    assert indexed.pod_failure_policy.rules[0].on_pod_conditions[0].status == "True"


def test_defaults_of_cron_jobs_leave_the_job_to_its_making() -> None:
    spec = made(CRONJOBS, cron_job()).spec
    assert (spec.concurrency_policy, spec.suspend) == ("Allow", False)
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (3, 1)
    assert spec.job_template.spec.backoff_limit is None
    assert spec.job_template.spec.template.spec.dns_policy == "ClusterFirst"


def test_a_generated_selector_must_be_the_servers() -> None:
    wrong = made(JOBS, {"metadata": {"uid": "u"}, **job(manualSelector=False)})
    assert {cause.field for cause in JOBS.validate(wrong)} == {"spec.template.metadata.labels", "spec.selector"}
    assert wrong.spec.selector == LabelSelector(match_labels=LABELS)
