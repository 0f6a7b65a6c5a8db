"""The columns of jobs and cron jobs."""

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    age,
    container_images,
    container_names,
    created,
    selector,
    wide,
)
from orch.api.cronjob import CronJob
from orch.api.job import Job
from orch.api.meta import LabelSelector

WIDE_COLUMNS = tuple(map(wide, ("Containers", "Images", "Selector")))


def job_cells(job: Job, now: datetime) -> list[Cell]:
    containers = job.spec.template.spec.containers
    return [
        job.metadata.name,
        _job_status(job),
        _completions(job),
        _job_duration(job, now),
        created(job, now),
        container_names(containers),
        container_images(containers),
        selector(job.spec.selector or LabelSelector()),
    ]


def _job_status(job: Job) -> str:
    true = {condition.type for condition in job.status.conditions or () if condition.status == "True"}
    for final in ("Complete", "Failed"):
        if final in true:
            return final
    if job.metadata.deletion_timestamp is not None:
        return "Terminating"
    return next((state for state in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if state in true), "Running")


def _completions(job: Job) -> str:
    succeeded, parallelism = job.status.succeeded or 0, job.spec.parallelism or 0
    if job.spec.completions is not None:
        return f"{succeeded}/{job.spec.completions}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(job: Job, now: datetime) -> str:
    start = job.status.start_time
    return "" if start is None else age(start, job.status.completion_time or now)


def cron_job_cells(cron_job: CronJob, now: datetime) -> list[Cell]:
    spec, status = cron_job.spec, cron_job.status
    template = spec.job_template.spec
    containers = template.template.spec.containers
    return [
        cron_job.metadata.name,
        spec.schedule,
        spec.time_zone or NONE,
        UNSET if spec.suspend is None else str(spec.suspend),
        len(status.active or ()),
        NONE if status.last_schedule_time is None else age(status.last_schedule_time, now),
        created(cron_job, now),
        container_names(containers),
        container_images(containers),
        selector(template.selector or LabelSelector()),
    ]


JOBS = Printer(
    (
        NAME,
        Column("Status"),
        Column("Completions", description="Succeeded pods of wanted completions."),
        Column("Duration", description="Time from the start to the completion."),
        AGE,
        *WIDE_COLUMNS,
    ),
    job_cells,
)
CRONJOBS = Printer(
    (
        NAME,
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", "integer", description="Jobs that run now."),
        Column("Last Schedule"),
        AGE,
        *WIDE_COLUMNS,
    ),
    cron_job_cells,
)
