"""PodTemplate (core/v1)."""

from collections.abc import Sequence

from orch.api.base import always
from orch.api.causes import Causes
from orch.api.change import change
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.api.pod.defaults import template_defaults
from orch.api.pod.spec import PodTemplateSpec
from orch.api.pod.validation import template_rules
from orch.errors import Cause


class PodTemplate(Object):
    api_version: str = always("v1")
    kind: str = always("PodTemplate")
    metadata: ObjectMeta = always(ObjectMeta())
    template: PodTemplateSpec = always(PodTemplateSpec())


def podtemplate_defaults(podtemplate: PodTemplate) -> PodTemplate:
    return change(podtemplate, template=template_defaults(podtemplate.template))


def validate_podtemplate(podtemplate: PodTemplate) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, podtemplate.metadata)
    template_rules(causes, "template", podtemplate.template)
    return causes.found
