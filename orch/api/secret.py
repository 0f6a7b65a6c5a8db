"""Secret (core/v1)."""

from msgspec.structs import replace

from orch.api.base import always
from orch.api.change import fill_zero
from orch.api.meta import Object, ObjectMeta


class Secret(Object):
    api_version: str = always("v1")
    kind: str = always("Secret")
    metadata: ObjectMeta = always(ObjectMeta())
    data: dict[str, bytes] | None = None
    immutable: bool | None = None
    string_data: dict[str, str] | None = None
    type: str | None = None


def secret_defaults(secret: Secret) -> Secret:
    """`stringData` is written into `data` and never kept."""
    secret = fill_zero(secret, type="Opaque")
    if secret.string_data is None:
        return secret
    texts = {key: text.encode() for key, text in secret.string_data.items()}
    return replace(secret, data={**(secret.data or {}), **texts} or None, string_data=None)
