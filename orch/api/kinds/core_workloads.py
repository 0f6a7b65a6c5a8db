"""The kinds of the core group (v1) that make pods."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.metadata import validate_metadata_update
from orch.api.podtemplate import PodTemplate, podtemplate_defaults, validate_podtemplate
from orch.api.replicationcontroller import (
    ReplicationController,
    replicationcontroller_defaults,
    validate_replicationcontroller,
)

PODTEMPLATES: Kind[PodTemplate] = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    singular="podtemplate",
    codec=StructCodec(PodTemplate),
    set_defaults=podtemplate_defaults,
    validate=validate_podtemplate,
    validate_update=validate_metadata_update,
)

REPLICATIONCONTROLLERS: Kind[ReplicationController] = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    singular="replicationcontroller",
    codec=StructCodec(ReplicationController),
    set_defaults=replicationcontroller_defaults,
    validate=validate_replicationcontroller,
    validate_update=validate_metadata_update,
    short_names=("rc",),
    categories=("all",),
    subresources=frozenset({"status", "scale"}),
    fields={"status.replicas": lambda controller: str(controller.status.replicas)},
)
