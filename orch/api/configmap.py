"""ConfigMap (core/v1)."""

from collections.abc import Collection, Mapping, Sequence

from orch.api.base import always
from orch.api.causes import Causes
from orch.api.formats import config_key_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


class ConfigMap(Object):
    api_version: str = always("v1")
    kind: str = always("ConfigMap")
    metadata: ObjectMeta = always(ObjectMeta())
    binary_data: dict[str, bytes] | None = None
    data: dict[str, str] | None = None
    immutable: bool | None = None


DATA_MAX_BYTES = 1024 * 1024


def validate_configmap(configmap: ConfigMap) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, configmap.metadata)
    texts, binaries = configmap.data or {}, configmap.binary_data or {}
    key_rules(causes, "data", texts)
    for key in texts:
        if key in binaries:
            causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    key_rules(causes, "binaryData", binaries)
    encoded = {key: text.encode() for key, text in texts.items()}
    size_rules(causes, "", (*encoded.values(), *binaries.values()))
    return causes.found


def validate_configmap_update(new: ConfigMap, old: ConfigMap) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if old.immutable:
        if not new.immutable:
            causes.forbidden("immutable", "field is immutable when `immutable` is set")
        if (new.data or {}) != (old.data or {}):
            causes.forbidden("data", "field is immutable when `immutable` is set")
        if (new.binary_data or {}) != (old.binary_data or {}):
            causes.forbidden("binaryData", "field is immutable when `immutable` is set")
    return causes.found


def key_rules(causes: Causes, path: str, data: Mapping[str, object]) -> None:
    for key in data:
        causes.check(f"{path}[{key}]", key, config_key_problem(key))


def size_rules(causes: Causes, path: str, contents: Collection[bytes]) -> None:
    if sum(len(content) for content in contents) > DATA_MAX_BYTES:
        causes.too_long(path, DATA_MAX_BYTES)
