"""ControllerRevision (apps/v1): a state that a StatefulSet or DaemonSet can be rolled back to."""

from collections.abc import Sequence
from typing import Any

from orch.api.base import Int64, always
from orch.api.causes import Causes
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


class ControllerRevision(Object):
    api_version: str = always("apps/v1")
    kind: str = always("ControllerRevision")
    metadata: ObjectMeta = always(ObjectMeta())
    data: Any = None
    revision: Int64 = always(0)


def validate_controllerrevision(revision: ControllerRevision) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, revision.metadata)
    if revision.data is None:
        causes.required("data", "data is mandatory")
    causes.not_negative("revision", revision.revision)
    return causes.found


def validate_controllerrevision_update(new: ControllerRevision, old: ControllerRevision) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("data", new.data, old.data)
    return causes.found
