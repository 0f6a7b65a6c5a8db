"""What the server decides of an object's metadata (`rest.BeforeCreate` and `BeforeUpdate` of apiserver)."""

from datetime import datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from controlplane.registry import content, failures
from orch.api.kind import Kind
from orch.api.meta import Object, ObjectMeta
from orch.errors import BadRequest
from orch.kit.clock import whole_seconds

T = TypeVar("T", bound=Object)

GENERATED_NAME_MAX_CHARS = 63
NAME_SUFFIX_CHARS = 5
NO_REVISION = ("", "0")
"""resourceVersions that name none: apiserver reads both as 0."""
COLLECTIONS = ("annotations", "labels", "finalizers", "owner_references")


def check_addressed(kind: Kind[Any], obj: Object, namespace: str, name: str) -> None:
    """The body must be of the kind and in the namespace of the request, and carry its name. Raises BadRequest."""
    if obj.kind not in ("", kind.kind) or obj.api_version not in ("", kind.api_version):
        found = f"{obj.api_version}, Kind={obj.kind}"
        raise BadRequest(f"the object provided is of {found}, the request is for {kind.api_version}, Kind={kind.kind}")
    if namespace and obj.metadata.namespace not in ("", namespace):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if name and obj.metadata.name not in ("", name):
        raise BadRequest(f"the name of the object ({obj.metadata.name}) does not match the name on the URL ({name})")


def check_applied_anew(kind: Kind[Any], metadata: ObjectMeta, name: str) -> None:
    """What an apply creates must carry its name, and no uid, which would be that of another object."""
    if metadata.uid:
        why = f"uid mismatch: the provided object specified uid {metadata.uid}, and no existing object was found"
        raise failures.conflict(kind, name, why)
    if metadata.name != name:
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def as_new(kind: Kind[Any], obj: T, name: str) -> T:
    """The body of a PUT as what it creates: its resourceVersion is not heard, its uid is a precondition that fails.
    Raises Conflict."""
    if uid := obj.metadata.uid:
        raise failures.conflict(kind, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: ")
    return content.with_metadata(obj, name=name, resource_version="")


def named(kind: Kind[Any], obj: T, suffix: str) -> T:
    """With a name, made of generateName where there is none. Raises Invalid."""
    metadata = obj.metadata
    if metadata.name:
        return obj
    if not metadata.generate_name:
        raise failures.required(kind, "", "metadata.name", "name or generateName is required")
    return content.with_metadata(obj, name=generated_name(metadata.generate_name, suffix))


def generated_name(base: str, suffix: str) -> str:
    return base[: GENERATED_NAME_MAX_CHARS - len(suffix)] + suffix


def for_create(kind: Kind[Any], obj: T, namespace: str, *, uid: str, now: datetime, generation: int | None) -> T:
    if obj.metadata.resource_version not in NO_REVISION:
        raise BadRequest("resourceVersion should not be set on objects to be created")
    _check_path_segment(kind, obj.metadata.name)
    return content.with_metadata(
        _typed(kind, obj),
        namespace=namespace,
        uid=uid,
        creation_timestamp=whole_seconds(now),
        deletion_timestamp=None,
        deletion_grace_period_seconds=None,
        self_link=None,
        resource_version="",
        generation=generation,
        **_without_empties(obj.metadata),
    )


def _check_path_segment(kind: Kind[Any], name: str) -> None:
    """A name is a segment of URLs and of store keys, whatever else its kind demands of it. Raises Invalid."""
    if name in (".", "..") or "/" in name or "%" in name:
        raise failures.invalid_value(kind, name, "metadata.name", name, "may not be '.' or '..' or contain '/' or '%'")


def for_update(kind: Kind[Any], new: T, old: T) -> T:
    """What only the server sets stays as it was. Raises Conflict."""
    check_unchanged_since(kind, new.metadata, old.metadata)
    return content.with_metadata(_typed(kind, new), **_servers_own(new.metadata, old.metadata))


def check_unchanged_since(kind: Kind[Any], new: ObjectMeta, old: ObjectMeta) -> None:
    """A resourceVersion or uid in the new object is a precondition; resourceVersion "0" is none. Raises Conflict."""
    if new.resource_version not in (*NO_REVISION, old.resource_version):
        raise failures.conflict(kind, old.name)
    if new.uid and new.uid != old.uid:
        why = f"Precondition failed: UID in precondition: {new.uid}, UID in object meta: {old.uid}"
        raise failures.conflict(kind, old.name, why)


def _servers_own(new: ObjectMeta, old: ObjectMeta) -> dict[str, Any]:
    return {
        "name": old.name,
        "namespace": old.namespace,
        "uid": old.uid,
        "resource_version": old.resource_version,
        "creation_timestamp": old.creation_timestamp,
        "deletion_timestamp": old.deletion_timestamp,
        "deletion_grace_period_seconds": old.deletion_grace_period_seconds,
        "generation": old.generation,
        "generate_name": new.generate_name or old.generate_name,
        "self_link": old.self_link,
        **_without_empties(new),
    }


def _without_empties(metadata: ObjectMeta) -> dict[str, Any]:
    """What a client emptied is absent: Kubernetes writes no empty map or list in metadata."""
    return {name: getattr(metadata, name) or None for name in COLLECTIONS}


def _typed(kind: Kind[Any], obj: T) -> T:
    if obj.kind and obj.api_version:
        return obj
    return replace(obj, kind=kind.kind, api_version=kind.api_version)
