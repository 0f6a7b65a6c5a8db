"""The kinds of the group batch."""

from orch.api.codec import StructCodec
from orch.api.cronjob import CronJob, cronjob_defaults, validate_cronjob
from orch.api.job import Job, job_defaults
from orch.api.job_rules import validate_job, validate_job_update
from orch.api.kind import Kind
from orch.api.metadata import validate_metadata_update

JOBS: Kind[Job] = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    singular="job",
    codec=StructCodec(Job),
    set_defaults=job_defaults,
    validate=validate_job,
    validate_update=validate_job_update,
    categories=("all",),
    subresources=frozenset({"status"}),
    fields={"status.successful": lambda job: str(job.status.succeeded or 0)},
)

CRONJOBS: Kind[CronJob] = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    singular="cronjob",
    codec=StructCodec(CronJob),
    set_defaults=cronjob_defaults,
    validate=validate_cronjob,
    validate_update=validate_metadata_update,
    short_names=("cj",),
    categories=("all",),
    subresources=frozenset({"status"}),
)
