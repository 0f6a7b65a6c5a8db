"""ServiceAccount (core/v1)."""

from typing import Annotated

from orch.api.base import always, merge_list
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import LocalObjectReference, ObjectReference


class ServiceAccount(Object):
    api_version: str = always("v1")
    kind: str = always("ServiceAccount")
    metadata: ObjectMeta = always(ObjectMeta())
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None
    secrets: Annotated[tuple[ObjectReference, ...] | None, merge_list("name")] = None
