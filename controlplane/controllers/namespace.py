"""Namespace deletion: everything in a terminating namespace goes, of every kind, then the namespace itself.

Knows metadata only. Invariant: the finalizer is taken away only when a fresh list of every namespaced kind is empty.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Decision, Delete, FinalizeNamespace
from controlplane.controllers.runner import Controller, KeysOf, Watch, own_key
from orch.api.kind import Kind, KindTable
from orch.api.kinds import NAMESPACES
from orch.api.meta import Object
from orch.api.namespace import FINALIZER, Namespace, NamespaceCondition
from orch.client.informer import Informers, Key
from orch.kit.clock import whole_seconds

BURST_MAX = 500
"""Objects deleted in one decision."""

Contents = Mapping[str, Sequence[Object]]
"""Resource -> the namespace's objects of it."""


def reconcile(namespace: Namespace, kinds: Sequence[Kind[Object]], contents: Contents, now: datetime) -> Decision:
    """`kinds`: all that are namespaced."""
    finalizers = namespace.spec.finalizers or ()
    if namespace.metadata.deletion_timestamp is None or FINALIZER not in finalizers:
        return NOTHING
    if not any(contents.values()):
        others = tuple(finalizer for finalizer in finalizers if finalizer != FINALIZER)
        emptied = replace(namespace, spec=replace(namespace.spec, finalizers=others or None))
        return Decision((FinalizeNamespace(emptied, tuple(kinds)),))
    deletes = [
        Delete(kind, obj.metadata.namespace, obj.metadata.name, obj.metadata.uid, propagation="Background")
        for kind in kinds
        for obj in contents.get(kind.resource, ())
        if obj.metadata.deletion_timestamp is None
    ]
    conditions = _conditions(namespace, contents, now)
    status = replace(namespace.status, conditions=conditions)
    changed = replace(namespace, status=status) if status != namespace.status else None
    return Decision(tuple(deletes[:BURST_MAX]), changed)


def _conditions(namespace: Namespace, contents: Contents, now: datetime) -> tuple[NamespaceCondition, ...]:
    """Who is in the way, as kube-controller-manager words it (namespace/deletion/status_condition_utils.go)."""
    remaining = {resource: len(objects) for resource, objects in sorted(contents.items()) if objects}
    held = Counter(
        finalizer for objects in contents.values() for obj in objects for finalizer in obj.metadata.finalizers or ()
    )
    resources = ", ".join(f"{resource} has {count} resource instances" for resource, count in remaining.items())
    finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    wanted = (
        NamespaceCondition(
            type="NamespaceContentRemaining",
            status="True",
            reason="SomeResourcesRemain",
            message=f"Some resources are remaining: {resources}",
        ),
        NamespaceCondition(
            type="NamespaceFinalizersRemaining",
            status="True" if held else "False",
            reason="SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
            message=f"Some content in the namespace has finalizers remaining: {finalizers}"
            if held
            else "All content-preserving finalizers finished",
        ),
    )
    before = {condition.type: condition for condition in namespace.status.conditions or ()}
    return tuple(_timed(condition, before.get(condition.type), now) for condition in wanted)


def _timed(condition: NamespaceCondition, before: NamespaceCondition | None, now: datetime) -> NamespaceCondition:
    same = before is not None and before.status == condition.status
    since = before.last_transition_time if before is not None and same else whole_seconds(now)
    return replace(condition, last_transition_time=since)


def namespace_controller(informers: Informers, kinds: KindTable) -> Controller:
    """Other kinds' informers must exist already, or be added as watches when their kind is registered."""
    namespaces = informers.of(NAMESPACES)

    def decide(key: Key, now: datetime) -> Decision:
        namespace = namespaces.get(*key)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return NOTHING
        namespaced = [kind for kind in kinds.stored() if kind.namespaced]
        contents = {
            kind.resource: informers.of(kind).by_namespace(namespace.metadata.name)
            for kind in namespaced
            if informers.has(kind)
        }
        return reconcile(namespace, namespaced, contents, now)

    contents = (content_watch(informers, kind) for kind in kinds.stored() if kind.namespaced)
    return Controller("namespace", NAMESPACES, (Watch(namespaces, own_key), *contents), decide)


def content_watch(informers: Informers, kind: Kind[Object]) -> Watch[Object]:
    """Changes of a namespaced kind, as far as they concern the end of a namespace."""
    return Watch(informers.of(kind), _terminating_namespace(informers))


def _terminating_namespace(informers: Informers) -> KeysOf[Object]:
    namespaces = informers.of(NAMESPACES)

    def keys_of(old: Object | None, new: Object | None) -> Iterable[Key]:
        obj = new or old
        namespace = namespaces.get("", obj.metadata.namespace) if obj else None
        if namespace is not None and namespace.metadata.deletion_timestamp is not None:
            yield "", namespace.metadata.name

    return keys_of
