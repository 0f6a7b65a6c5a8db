"""Rules of a container's environment, and of the field references that volumes share with it."""

import re
from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.formats import config_key_problem, dns_subdomain_problem, env_name_problem, label_key_problem
from orch.api.pod.container import (
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
)

ENV_FIELD_PATHS = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
})  # fmt: skip
VOLUME_FIELD_PATHS = frozenset({
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
})  # fmt: skip
RESOURCE_FIELDS = re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMGTPE]i)")
RESOURCE_FIELD_NAMES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")


def env_rules(causes: Causes, path: str, env: Sequence[EnvVar]) -> None:
    for index, variable in enumerate(env):
        at = f"{path}[{index}]"
        if not variable.name:
            causes.required(f"{at}.name")
        else:
            causes.check(f"{at}.name", variable.name, env_name_problem(variable.name))
        if variable.value_from is not None:
            if variable.value:
                causes.invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
            _source_rules(causes, f"{at}.valueFrom", variable.value_from)


def env_from_rules(causes: Causes, path: str, sources: Sequence[EnvFromSource]) -> None:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if source.prefix:
            causes.check(f"{at}.prefix", source.prefix, env_name_problem(source.prefix))
        given = [(n, r) for n, r in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)) if r]
        if not given:
            causes.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            causes.invalid(at, "", "may not have more than one field specified at a time")
        for name, ref in given:
            _reference_rules(causes, f"{at}.{name}.name", ref.name)


def _source_rules(causes: Causes, path: str, source: EnvVarSource) -> None:
    given = [name for name in source.__struct_fields__ if getattr(source, name) is not None]
    if not given:
        options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        causes.invalid(path, "", f"must specify one of: {options}")
    elif len(given) > 1:
        causes.invalid(path, "", "may not have more than one field specified at a time")
    if source.field_ref is not None:
        field_ref_rules(causes, f"{path}.fieldRef", source.field_ref, ENV_FIELD_PATHS)
    if source.resource_field_ref is not None:
        resource_field_rules(causes, f"{path}.resourceFieldRef", source.resource_field_ref, need_container=False)
    for name, ref in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if ref is not None:
            _reference_rules(causes, f"{path}.{name}.name", ref.name)
            _key_rules(causes, f"{path}.{name}.key", ref.key)


def _reference_rules(causes: Causes, path: str, name: str | None) -> None:
    if not name:
        causes.required(path)
    else:
        causes.check(path, name, dns_subdomain_problem(name))


def _key_rules(causes: Causes, path: str, key: str) -> None:
    if not key:
        causes.required(path)
    else:
        causes.check(path, key, config_key_problem(key))


def field_ref_rules(causes: Causes, path: str, ref: ObjectFieldSelector, supported: frozenset[str]) -> None:
    if not ref.field_path:
        causes.required(f"{path}.fieldPath")
        return
    if ref.api_version != "v1":
        causes.invalid(f"{path}.apiVersion", ref.api_version or "", 'only "v1" has fields that can be referred to')
    subscript = _SUBSCRIPT.fullmatch(ref.field_path)
    if subscript is not None:
        causes.check(f"{path}.fieldPath", subscript[2], label_key_problem(subscript[2].lower()))
    elif ref.field_path not in supported:
        causes.not_supported(f"{path}.fieldPath", ref.field_path, sorted(supported))


def resource_field_rules(causes: Causes, path: str, ref: ResourceFieldSelector, *, need_container: bool) -> None:
    if need_container and not ref.container_name:
        causes.required(f"{path}.containerName")
    if not ref.resource:
        causes.required(f"{path}.resource")
    elif not RESOURCE_FIELDS.fullmatch(ref.resource):
        causes.not_supported(f"{path}.resource", ref.resource, RESOURCE_FIELD_NAMES)
