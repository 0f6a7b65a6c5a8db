"""The scale subresource (autoscaling/v1 Scale) of kinds with spec.replicas: works on plain data, so on every kind."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from controlplane.registry import failures
from controlplane.registry.interface import Stored
from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.selectors import from_label_selector, from_labels
from orch.api.subresources import Scale, ScaleSpec, ScaleStatus

T = TypeVar("T", bound=Object)

SCALE: Kind[Scale] = Kind(
    group="autoscaling", version="v1", kind="Scale", plural="scales", singular="scale", codec=StructCodec(Scale)
)


def scale_of(kind: Kind[Any], obj: Object) -> Scale:
    plain = kind.codec.to_plain(obj)
    spec, status = plain.get("spec") or {}, plain.get("status") or {}
    metadata = obj.metadata
    return Scale(
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            creation_timestamp=metadata.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=spec.get("replicas")),
        status=ScaleStatus(replicas=status.get("replicas") or 0, selector=_selector_text(spec.get("selector"))),
    )


def stored_scale(kind: Kind[Any], stored: Stored[Any]) -> Stored[Any]:
    scale = scale_of(kind, stored.obj)
    return Stored(scale, stored.revision, SCALE.codec.encode(scale))


def scaled(kind: Kind[T], obj: T, scale: Scale) -> T:
    """`obj` with the replicas of `scale`; its resourceVersion and uid become preconditions. Raises Invalid."""
    replicas = scale.spec.replicas or 0
    if replicas < 0:
        why = "must be greater than or equal to 0"
        raise failures.invalid_value(SCALE, obj.metadata.name, "spec.replicas", replicas, why)
    plain = kind.codec.to_plain(obj)
    plain["spec"] = {**(plain.get("spec") or {}), "replicas": replicas}
    plain["metadata"]["resourceVersion"] = scale.metadata.resource_version or obj.metadata.resource_version
    plain["metadata"]["uid"] = scale.metadata.uid or obj.metadata.uid
    return kind.codec.from_plain(plain)


def _selector_text(selector: Mapping[str, Any] | None) -> str | None:
    """A LabelSelector, or a map of labels as a ReplicationController has it."""
    if selector is None:
        return None
    if all(isinstance(value, str) for value in selector.values()):
        return str(from_labels(selector))
    return str(from_label_selector(msgspec.convert(selector, LabelSelector)))
