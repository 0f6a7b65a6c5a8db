"""Secret (core/v1)."""

from orch.api.base import always
from orch.api.meta import Object, ObjectMeta


class Secret(Object):
    api_version: str = always("v1")
    kind: str = always("Secret")
    metadata: ObjectMeta = always(ObjectMeta())
    data: dict[str, bytes] | None = None
    immutable: bool | None = None
    string_data: dict[str, str] | None = None
    type: str | None = None
