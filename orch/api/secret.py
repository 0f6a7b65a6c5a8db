"""Secret (core/v1)."""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from orch.api.base import always
from orch.api.causes import Causes
from orch.api.change import fill_zero
from orch.api.configmap import key_rules, size_rules
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


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


def validate_secret(secret: Secret) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, secret.metadata)
    data = secret.data or {}
    key_rules(causes, "data", data)
    size_rules(causes, "data", data.values())
    _type_rules(causes, secret, data)
    return causes.found


def validate_secret_update(new: Secret, old: Secret) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("type", new.type, old.type)
    if old.immutable:
        if not new.immutable:
            causes.forbidden("immutable", "field is immutable when `immutable` is set")
        if (new.data or {}) != (old.data or {}):
            causes.forbidden("data", "field is immutable when `immutable` is set")
    return causes.found


def _type_rules(causes: Causes, secret: Secret, data: dict[str, bytes]) -> None:
    """What a secret of a known type must hold (core/v1 SecretType)."""
    match secret.type:
        case "kubernetes.io/service-account-token":
            if not (secret.metadata.annotations or {}).get("kubernetes.io/service-account.name"):
                causes.required("metadata.annotations[kubernetes.io/service-account.name]")
        case "kubernetes.io/dockercfg":
            _json_rules(causes, data, ".dockercfg")
        case "kubernetes.io/dockerconfigjson":
            _json_rules(causes, data, ".dockerconfigjson")
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                causes.required("data[username]")
                causes.required("data[password]")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                causes.required("data[ssh-privatekey]")
        case "kubernetes.io/tls":
            for key in ("tls.crt", "tls.key"):
                if key not in data:
                    causes.required(f"data[{key}]")


def _json_rules(causes: Causes, data: dict[str, bytes], key: str) -> None:
    if key not in data:
        causes.required(f"data[{key}]")
        return
    try:
        json.loads(data[key])
    except (ValueError, RecursionError) as error:
        causes.invalid(f"data[{key}]", "<secret contents redacted>", f"must be valid JSON: {error.__class__.__name__}")
