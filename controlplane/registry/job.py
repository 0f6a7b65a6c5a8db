"""Jobs: the server makes their selector and the labels that it selects (pkg/registry/batch/job `generateSelector`)."""

from msgspec.structs import replace

from controlplane.registry.strategy import Strategy
from orch.api.job import Job
from orch.api.job_rules import CONTROLLER_UID, generated_labels
from orch.api.meta import LabelSelector


class JobStrategy(Strategy[Job]):
    def prepare_create(self, obj: Job) -> Job:
        obj = super().prepare_create(obj)
        return obj if obj.spec.manual_selector else with_generated_selector(obj)


def with_generated_selector(job: Job) -> Job:
    """What the user wrote stays; where it contradicts, validation refuses the Job."""
    spec, template = job.spec, job.spec.template
    labels = {**generated_labels(job), **(template.metadata.labels or {})}
    selector = spec.selector or LabelSelector()
    chosen = {CONTROLLER_UID: job.metadata.uid, **(selector.match_labels or {})}
    spec = replace(
        spec,
        selector=replace(selector, match_labels=chosen),
        template=replace(template, metadata=replace(template.metadata, labels=labels)),
    )
    return replace(job, spec=spec)
