"""The body of an apply request, checked before anything is made of it. Pure.

Unlike other bodies it is never lenient: a field that is not declared could be owned by nobody.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.registry.scale import SCALE
from orch.api.base import ApiStruct
from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.meta import ObjectMeta
from orch.api.schema import shape_of
from orch.api.walk import Walk
from orch.errors import BadRequest
from orch.managed.extract import problems
from orch.managed.schema import whole

_UNKNOWN = 'unknown field "'
_KEPT_OF_SCALE = ("name", "namespace", "uid", "resourceVersion")


def read_config(kind: Kind[Any], config: Any, subresource: str, name: str) -> Mapping[str, Any]:
    """Plain data of `kind` without nulls; of a Scale only the replicas are left. Raises BadRequest."""
    part = SCALE if subresource == "scale" else kind
    if not isinstance(config, Mapping):
        raise BadRequest("error decoding YAML: the configuration must be an object")
    _check_type(part, config)
    metadata = config.get("metadata") or {}
    if isinstance(metadata, Mapping) and metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    checked = _checked(part, config, name)
    return checked if part is kind else _of_scale(kind, checked)


def _check_type(kind: Kind[Any], config: Mapping[str, Any]) -> None:
    found = config.get("apiVersion") or ""
    if found != kind.api_version:
        text = f"Specified patch version: {found}, expected: {kind.api_version}"
        raise BadRequest(f"Incorrect version specified in apply patch. {text}")
    if config.get("kind") != kind.kind:
        raise BadRequest(f"the kind in the data ({config.get('kind')}) does not match the expected kind ({kind.kind})")


def _checked(kind: Kind[Any], config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if _is_exact(kind, config):
        return config
    subject = f"failed to create typed patch object ({name}; {kind.api_version}, Kind={kind.kind})"
    walk = Walk(subject)
    checked: dict[str, Any]
    if isinstance(kind.codec, StructCodec):
        struct: type[ApiStruct] = kind.codec.struct
        checked = walk.value(config, shape_of(struct), "")
    else:
        metadata = walk.value(config.get("metadata") or {}, shape_of(ObjectMeta), "metadata")
        checked = {**config, "metadata": metadata}
    wrong = [_undeclared(problem) for problem in walk.problems] or list(problems(checked, whole(kind)))
    if wrong:
        raise BadRequest(f"{subject}: {', '.join(wrong)}")
    return checked


def _is_exact(kind: Kind[Any], config: Mapping[str, Any]) -> bool:
    """The quick way for what is right: of the declared types, without nulls, each list item once."""
    try:
        kind.codec.from_plain(config)
    except msgspec.ValidationError:
        return False
    return b":null" not in msgspec.json.encode(config) and not any(problems(config, whole(kind)))


def _undeclared(problem: str) -> str:
    path = problem.removeprefix(_UNKNOWN).removesuffix('"')
    return f".{path}: field not declared in schema"


def _of_scale(kind: Kind[Any], scale: Mapping[str, Any]) -> Mapping[str, Any]:
    given = scale.get("metadata") or {}
    metadata = {name: given[name] for name in _KEPT_OF_SCALE if name in given}
    config: dict[str, Any] = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    replicas = (scale.get("spec") or {}).get("replicas")
    return config if replicas is None else {**config, "spec": {"replicas": replicas}}
