"""Garbage collector: what owner references mean for every kind, by metadata alone.

An object whose owners are all gone goes; an owner deleted in the foreground waits for the dependents that block it; an
orphaning owner first gives up its dependents (propagation policies of meta/v1 DeleteOptions). Keys are (resource, uid).

Invariant: nothing is collected on the word of a cache. The owners' absence is read afresh, and the object itself must
still be in the state that was judged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from controlplane.controllers.actions import NOTHING, Action, Decision, Delete, Patch, Reference
from controlplane.controllers.ownership import release
from controlplane.controllers.runner import Controller, Watch
from orch.api.kind import Kind, KindTable
from orch.api.meta import Object, OwnerReference
from orch.api.metadata import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from orch.client.informer import Index, Informers, Key

OWNERS_INDEX = "owners"


class OwnerState(Enum):
    SOLID = auto()
    """It exists, or nobody can tell: its kind is unknown here."""
    WAITING = auto()
    """It is being deleted in the foreground and waits for its dependents."""
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Owner:
    ref: OwnerReference
    state: OwnerState
    address: Reference | None = None
    """Where a fresh read must not find it."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object of any kind."""

    kind: Kind[Object]
    obj: Object


def reconcile(item: Item, owners: Sequence[Owner], dependents: Sequence[Item]) -> Decision:
    metadata = item.obj.metadata
    finalizers = metadata.finalizers or ()
    if metadata.deletion_timestamp is not None:
        if ORPHAN_FINALIZER in finalizers:
            return Decision(_orphan(item, dependents) or (_without_finalizer(item, ORPHAN_FINALIZER),))
        if FOREGROUND_FINALIZER in finalizers and not any(_blocks(each.obj, metadata.uid) for each in dependents):
            return Decision((_without_finalizer(item, FOREGROUND_FINALIZER),))
        return Decision(_unblock_cycle(item, owners, dependents)) if FOREGROUND_FINALIZER in finalizers else NOTHING
    solid = [owner for owner in owners if owner.state is OwnerState.SOLID]
    absent = [owner for owner in owners if owner.state is OwnerState.ABSENT]
    waiting = [owner for owner in owners if owner.state is OwnerState.WAITING]
    if not absent and not waiting:
        return NOTHING
    if solid:
        return Decision(tuple(release(owner.ref.uid, item.kind, item.obj) for owner in (*absent, *waiting)))
    policy = _own_policy(finalizers) or ("Foreground" if waiting and dependents else "Background")
    gone = tuple(owner.address for owner in absent if owner.address is not None)
    return Decision((_collect(item, policy, gone),))


def _collect(item: Item, policy: str, absent: tuple[Reference, ...]) -> Delete:
    metadata = item.obj.metadata
    return Delete(
        item.kind,
        metadata.namespace,
        metadata.name,
        metadata.uid,
        resource_version=metadata.resource_version,
        propagation=policy,
        absent=absent,
    )


def _own_policy(finalizers: Sequence[str]) -> str:
    """What the object's own finalizers ask for."""
    if ORPHAN_FINALIZER in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND_FINALIZER in finalizers else ""


def _orphan(item: Item, dependents: Sequence[Item]) -> tuple[Action, ...]:
    return tuple(release(item.obj.metadata.uid, each.kind, each.obj) for each in dependents)


def _blocks(dependent: Object, uid: str) -> bool:
    return any(ref.uid == uid and ref.block_owner_deletion for ref in dependent.metadata.owner_references or ())


def _unblock_cycle(item: Item, owners: Sequence[Owner], dependents: Sequence[Item]) -> tuple[Action, ...]:
    """Two that wait for each other would wait for ever: the item stops blocking its waiting owners."""
    waiting = {owner.ref.uid for owner in owners if owner.state is OwnerState.WAITING}
    mutual = [each.obj.metadata.uid for each in dependents if each.obj.metadata.uid in waiting]
    blocking = [uid for uid in mutual if _blocks(item.obj, uid)]
    if not blocking:
        return ()
    references = [{"uid": uid, "blockOwnerDeletion": False} for uid in blocking]
    patch = {"metadata": {"uid": item.obj.metadata.uid, "ownerReferences": references}}
    return (Patch(item.kind, item.obj.metadata.namespace, item.obj.metadata.name, patch),)


def _without_finalizer(item: Item, finalizer: str) -> Patch:
    metadata = item.obj.metadata
    patch = {
        "metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "$deleteFromPrimitiveList/finalizers": [finalizer],
        }
    }
    return Patch(item.kind, metadata.namespace, metadata.name, patch)


class OwnerGraph:
    """Owners and dependents, read from the informers of all kinds. Kinds may be added while it is in use."""

    def __init__(self, informers: Informers, kinds: KindTable) -> None:
        self._informers, self._kinds = informers, kinds
        self._watched: dict[str, Kind[Object]] = {}
        self._owned: dict[str, tuple[Kind[Object], Index[Object]]] = {}

    def watch(self, kind: Kind[Object]) -> Watch[Object]:
        """Takes the kind into the graph; the watch that feeds the collector."""
        informer = self._informers.of(kind)
        owned = informer.add_index(OWNERS_INDEX, lambda obj: [ref.uid for ref in obj.metadata.owner_references or ()])
        self._watched[kind.resource], self._owned[kind.resource] = kind, (kind, owned)

        def keys_of(old: Object | None, new: Object | None) -> Iterable[Key]:
            return self._keys(kind, old, new)

        return Watch(informer, keys_of)

    def item(self, key: Key) -> Item | None:
        kind = self._watched.get(key[0])
        obj = self._informers.of(kind).by_uid(key[1]) if kind else None
        return Item(kind, obj) if kind and obj else None

    def owners(self, item: Item) -> list[Owner]:
        return [self._owner(item, ref) for ref in item.obj.metadata.owner_references or ()]

    def dependents(self, uid: str) -> list[Item]:
        return [Item(kind, obj) for kind, owned in self._owned.values() for obj in owned.get(uid)]

    def _owner(self, item: Item, ref: OwnerReference) -> Owner:
        kind = self._kind_of(ref)
        if kind is None or kind.resource not in self._watched or (kind.namespaced and not item.kind.namespaced):
            return Owner(ref, OwnerState.SOLID)
        namespace = item.obj.metadata.namespace if kind.namespaced else ""
        found = self._informers.of(kind).get(namespace, ref.name)
        if found is None or found.metadata.uid != ref.uid:
            return Owner(ref, OwnerState.ABSENT, Reference(kind, namespace, ref.name, ref.uid))
        waits = found.metadata.deletion_timestamp is not None and FOREGROUND_FINALIZER in (
            found.metadata.finalizers or ()
        )
        return Owner(ref, OwnerState.WAITING if waits else OwnerState.SOLID)

    def _kind_of(self, ref: OwnerReference) -> Kind[Object] | None:
        """Owners may be named in any form in which they are served."""
        kind = self._kinds.by_kind(ref.api_version, ref.kind)
        return kind.stored if kind else None

    def _keys(self, kind: Kind[Object], old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is not None and new is not None and _view(old) == _view(new):
            return
        for obj in (old, new):
            if obj is not None:
                yield from self._owner_keys(obj)
        if new is not None:
            yield kind.resource, new.metadata.uid
        ending = old if new is None else new if new.metadata.deletion_timestamp is not None else None
        for dependent in self.dependents(ending.metadata.uid) if ending else ():
            yield dependent.kind.resource, dependent.obj.metadata.uid

    def _owner_keys(self, obj: Object) -> Iterable[Key]:
        for ref in obj.metadata.owner_references or ():
            kind = self._kind_of(ref)
            owner = self._informers.of(kind).by_uid(ref.uid) if kind and kind.resource in self._watched else None
            if kind is not None and owner is not None and owner.metadata.deletion_timestamp is not None:
                yield kind.resource, ref.uid


def _view(obj: Object) -> tuple[object, ...]:
    """What the collector sees of an object."""
    metadata = obj.metadata
    return metadata.owner_references, metadata.finalizers, metadata.deletion_timestamp


def garbage_collector(graph: OwnerGraph, kinds: KindTable) -> Controller:
    def decide(key: Key, now: datetime) -> Decision:
        item = graph.item(key)
        if item is None:
            return NOTHING
        return reconcile(item, graph.owners(item), graph.dependents(key[1]))

    watches = tuple(graph.watch(kind) for kind in kinds.stored())
    # Decisions carry no status, so the kind that keys name never matters.
    return Controller("garbage-collector", next(iter(kinds)), watches, decide)
