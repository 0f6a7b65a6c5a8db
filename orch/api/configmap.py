"""ConfigMap (core/v1)."""

from orch.api.base import always
from orch.api.meta import Object, ObjectMeta


class ConfigMap(Object):
    api_version: str = always("v1")
    kind: str = always("ConfigMap")
    metadata: ObjectMeta = always(ObjectMeta())
    binary_data: dict[str, bytes] | None = None
    data: dict[str, str] | None = None
    immutable: bool | None = None
