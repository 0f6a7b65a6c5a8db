"""CronJob (batch/v1)."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orch.api.base import ApiStruct, Int32, Int64, Time, always
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero
from orch.api.cron import schedule_problem
from orch.api.job import JobSpec, job_pod_defaults
from orch.api.job_rules import job_spec_rules
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.api.shared import ObjectReference
from orch.errors import Cause


class JobTemplateSpec(ApiStruct):
    metadata: ObjectMeta = always(ObjectMeta())
    spec: JobSpec = always(JobSpec())


class CronJobSpec(ApiStruct):
    concurrency_policy: str | None = None
    failed_jobs_history_limit: Int32 | None = None
    job_template: JobTemplateSpec = always(JobTemplateSpec())
    schedule: str = always("")
    starting_deadline_seconds: Int64 | None = None
    successful_jobs_history_limit: Int32 | None = None
    suspend: bool | None = None
    time_zone: str | None = None


class CronJobStatus(ApiStruct):
    active: tuple[ObjectReference, ...] | None = None
    last_schedule_time: Time | None = None
    last_successful_time: Time | None = None


class CronJob(Object):
    api_version: str = always("batch/v1")
    kind: str = always("CronJob")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: CronJobSpec = always(CronJobSpec())
    status: CronJobStatus = always(CronJobStatus())


SUCCESSFUL_JOBS_HISTORY_DEFAULT, FAILED_JOBS_HISTORY_DEFAULT = 3, 1
NAME_MAX_CHARS = 52
"""The name of a Job is the CronJob's with a time after it, and must be a label's value."""
CONCURRENCY_POLICIES = ("Allow", "Forbid", "Replace")
IN_SCHEDULE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


def cronjob_defaults(cronjob: CronJob) -> CronJob:
    """The template's own defaults are those of the Jobs that are made of it."""
    spec = fill(
        cronjob.spec,
        suspend=False,
        successful_jobs_history_limit=SUCCESSFUL_JOBS_HISTORY_DEFAULT,
        failed_jobs_history_limit=FAILED_JOBS_HISTORY_DEFAULT,
    )
    template = change(spec.job_template, spec=job_pod_defaults(spec.job_template.spec))
    return change(cronjob, spec=change(fill_zero(spec, concurrency_policy="Allow"), job_template=template))


def validate_cronjob(cronjob: CronJob) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, cronjob.metadata)
    if len(cronjob.metadata.name) > NAME_MAX_CHARS:
        why = f"must be no more than {NAME_MAX_CHARS} characters"
        causes.invalid("metadata.name", cronjob.metadata.name, why)
    spec = cronjob.spec
    _schedule_rules(causes, spec)
    for name, value in (
        ("startingDeadlineSeconds", spec.starting_deadline_seconds),
        ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
        ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
    ):
        causes.not_negative(f"spec.{name}", value)
    causes.one_of("spec.concurrencyPolicy", spec.concurrency_policy, CONCURRENCY_POLICIES)
    _template_rules(causes, "spec.jobTemplate.spec", spec.job_template.spec)
    return causes.found


def _schedule_rules(causes: Causes, spec: CronJobSpec) -> None:
    path, schedule = "spec.schedule", spec.schedule
    if not schedule:
        causes.required(path)
    elif "TZ" in schedule:
        causes.invalid(path, schedule, IN_SCHEDULE)
    else:
        causes.check(path, schedule, schedule_problem(schedule))
    if spec.time_zone is not None:
        causes.check("spec.timeZone", spec.time_zone, _time_zone_problem(spec.time_zone))


def _time_zone_problem(name: str) -> str:
    if not name:
        return "must be nil or non-empty value"
    if name.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    return "" if _is_time_zone(name) else f"unknown time zone {name}"


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _template_rules(causes: Causes, path: str, spec: JobSpec) -> None:
    job_spec_rules(causes, path, spec)
    if spec.selector is not None:
        causes.invalid(f"{path}.selector", spec.selector, "`selector` will be auto-generated")
    if spec.manual_selector:
        causes.not_supported(f"{path}.manualSelector", spec.manual_selector, ("nil", "false"))
