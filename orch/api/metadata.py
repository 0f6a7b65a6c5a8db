"""Rules of ObjectMeta and of labels, for every kind (apimachinery `api/validation`).

Invariant: nothing here knows a kind; what differs between kinds (scope, format of names) is an argument.
"""

from collections.abc import Callable, Mapping, Sequence

from orch.api.causes import Causes
from orch.api.formats import (
    dns_label_problem,
    dns_subdomain_problem,
    label_key_problem,
    label_value_problem,
)
from orch.api.meta import LabelSelector, LabelSelectorRequirement, Object, ObjectMeta, OwnerReference
from orch.errors import Cause

ANNOTATIONS_MAX_BYTES = 256 * 1024
ORPHAN_FINALIZER, FOREGROUND_FINALIZER = "orphan", "foregroundDeletion"
SYSTEM_FINALIZERS = frozenset({ORPHAN_FINALIZER, FOREGROUND_FINALIZER})

NameProblem = Callable[[str], str]


def metadata_rules(
    causes: Causes, meta: ObjectMeta, *, namespaced: bool = True, name_problem: NameProblem = dns_subdomain_problem
) -> None:
    if meta.generate_name:
        causes.check("metadata.generateName", meta.generate_name, name_problem(_as_full_name(meta.generate_name)))
    if not meta.name:
        causes.required("metadata.name", "name or generateName is required")
    else:
        causes.check("metadata.name", meta.name, name_problem(meta.name))
    _namespace_rules(causes, meta, namespaced)
    label_rules(causes, "metadata.labels", meta.labels)
    annotation_rules(causes, "metadata.annotations", meta.annotations)
    if meta.owner_references:
        _owner_rules(causes, meta.owner_references)
    _finalizer_rules(causes, meta.finalizers or ())


def metadata_update_rules(causes: Causes, new: ObjectMeta, old: ObjectMeta) -> None:
    """What no update may change. What the server sets by itself must have been carried over from `old` before."""
    causes.immutable("metadata.name", new.name, old.name)
    causes.immutable("metadata.namespace", new.namespace, old.namespace)
    causes.immutable("metadata.uid", new.uid, old.uid)
    causes.immutable("metadata.creationTimestamp", new.creation_timestamp, old.creation_timestamp)
    if old.deletion_timestamp is not None:
        added = sorted(set(new.finalizers or ()) - set(old.finalizers or ()))
        if added:
            causes.forbidden(
                "metadata.finalizers",
                f"no new finalizers can be added if the object is being deleted, found new finalizers {added}",
            )


def object_validator(*, namespaced: bool) -> Callable[[Object], Sequence[Cause]]:
    """Validation of a kind of which only the metadata is known."""

    def validate(obj: Object) -> Sequence[Cause]:
        causes = Causes()
        metadata_rules(causes, obj.metadata, namespaced=namespaced)
        return causes.found

    return validate


def validate_metadata_update(new: Object, old: Object) -> Sequence[Cause]:
    """Update validation of a kind without immutable fields of its own."""
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    return causes.found


def label_rules(causes: Causes, path: str, labels: Mapping[str, str] | None) -> None:
    for key, value in (labels or {}).items():
        causes.check(path, key, label_key_problem(key))
        causes.check(path, value, label_value_problem(value))


def annotation_rules(causes: Causes, path: str, annotations: Mapping[str, str] | None) -> None:
    total_bytes = 0
    for key, value in (annotations or {}).items():
        causes.check(path, key, label_key_problem(key.lower()))
        total_bytes += len(key.encode()) + len(value.encode())
    if total_bytes > ANNOTATIONS_MAX_BYTES:
        causes.too_long(path, ANNOTATIONS_MAX_BYTES)


def selector_rules(causes: Causes, path: str, selector: LabelSelector | None) -> None:
    if selector is None:
        return
    label_rules(causes, f"{path}.matchLabels", selector.match_labels)
    for index, expression in enumerate(selector.match_expressions or ()):
        _expression_rules(causes, f"{path}.matchExpressions[{index}]", expression)


def _expression_rules(causes: Causes, path: str, expression: LabelSelectorRequirement) -> None:
    match expression.operator:
        case "In" | "NotIn":
            if not expression.values:
                causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if expression.values:
                causes.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        case operator:
            causes.invalid(f"{path}.operator", operator, "not a valid selector operator")
    causes.check(f"{path}.key", expression.key, label_key_problem(expression.key))
    for index, value in enumerate(expression.values or ()):
        causes.check(f"{path}.values[{index}]", value, label_value_problem(value))


def _as_full_name(prefix: str) -> str:
    """A generated name goes on after the prefix, so that a dash at its end is none at the end of a name."""
    return prefix[:-1] + "a" if prefix.endswith("-") else prefix


def _namespace_rules(causes: Causes, meta: ObjectMeta, namespaced: bool) -> None:
    if not namespaced:
        if meta.namespace:
            causes.forbidden("metadata.namespace", "not allowed on this type")
    elif not meta.namespace:
        causes.required("metadata.namespace")
    else:
        causes.check("metadata.namespace", meta.namespace, dns_label_problem(meta.namespace))


def _owner_rules(causes: Causes, owners: Sequence[OwnerReference]) -> None:
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        if not owner.api_version:
            causes.invalid(f"{path}.apiVersion", owner.api_version, "version must not be empty")
        for name, value in (("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)):
            if not value:
                causes.invalid(f"{path}.{name}", value, "must not be empty")
    controllers = [owner.name for owner in owners if owner.controller]
    if len(controllers) > 1:
        causes.invalid(
            "metadata.ownerReferences",
            owners,
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}',
        )


def _finalizer_rules(causes: Causes, finalizers: Sequence[str]) -> None:
    for finalizer in finalizers:
        causes.check("metadata.finalizers", finalizer, label_key_problem(finalizer))
    if set(finalizers) >= SYSTEM_FINALIZERS:
        causes.invalid("metadata.finalizers", finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
