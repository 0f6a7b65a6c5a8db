"""Which objects belong to a controller object: by controller reference, adopted or released by selector.

Pure. As controller_ref_manager.go: what the selector matches and nobody controls is adopted, what is controlled and not
matched any more is released. Invariant: an object with another controller is never touched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controlplane.controllers.actions import Patch, Reference
from orch.api.kind import Kind
from orch.api.meta import Object, OwnerReference
from orch.api.selectors import Selector
from orch.client.informer import Informer

T = TypeVar("T", bound=Object)

CONTROLLER_INDEX = "controller"
_ORPHANS = "orphans/"


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    owned: tuple[T, ...]
    actions: tuple[Patch, ...] = ()
    """Adoptions and releases."""


def controller_ref(obj: Object) -> OwnerReference | None:
    return next((ref for ref in obj.metadata.owner_references or () if ref.controller), None)


def reference_to(owner: Object) -> OwnerReference:
    """As metav1.NewControllerRef."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def index_by_controller(informer: Informer[T]) -> None:
    """Lets `candidates` find an owner's objects and a namespace's orphans without a look at all others."""
    informer.add_index(CONTROLLER_INDEX, _controller_values)


def candidates(informer: Informer[T], owner: Object) -> tuple[T, ...]:
    """What `owner` controls, and what nobody controls in its namespace."""
    return (
        *informer.indexed(CONTROLLER_INDEX, owner.metadata.uid),
        *informer.indexed(CONTROLLER_INDEX, _ORPHANS + owner.metadata.namespace),
    )


def owned(informer: Informer[T], owner: Object) -> tuple[T, ...]:
    return informer.indexed(CONTROLLER_INDEX, owner.metadata.uid)


def claim(owner: Object, owner_kind: Kind[Any], kind: Kind[Any], selector: Selector, found: Iterable[T]) -> Claim[T]:
    """Adoption waits until a fresh read shows the owner alive: a stale owner would hand its heirs to the collector."""
    mine: list[T] = []
    actions: list[Patch] = []
    for obj in found:
        ref, matches = controller_ref(obj), selector.matches(obj.metadata.labels)
        if ref is None:
            if matches and not obj.metadata.deletion_timestamp and not owner.metadata.deletion_timestamp:
                actions.append(_adopt(owner, owner_kind, kind, obj))
        elif ref.uid == owner.metadata.uid:
            if matches:
                mine.append(obj)
            elif not owner.metadata.deletion_timestamp:
                actions.append(release(owner.metadata.uid, kind, obj))
    return Claim(tuple(mine), tuple(actions))


def _adopt(owner: Object, owner_kind: Kind[Any], kind: Kind[Any], obj: Object) -> Patch:
    reference = {
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.metadata.name, "uid": owner.metadata.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    metadata = {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
    alive = Reference(owner_kind, owner.metadata.namespace, owner.metadata.name, owner.metadata.uid)
    patch = {"metadata": metadata | {"ownerReferences": [reference]}}
    return Patch(kind, obj.metadata.namespace, obj.metadata.name, patch, alive=alive)


def release(owner_uid: str, kind: Kind[Any], obj: Object) -> Patch:
    """Takes the reference to the owner away."""
    patch = {"metadata": {"uid": obj.metadata.uid, "ownerReferences": [{"$patch": "delete", "uid": owner_uid}]}}
    return Patch(kind, obj.metadata.namespace, obj.metadata.name, patch)


def _controller_values(obj: Object) -> tuple[str, ...]:
    ref = controller_ref(obj)
    return (ref.uid,) if ref else (_ORPHANS + obj.metadata.namespace,)
