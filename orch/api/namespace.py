"""Namespace (core/v1)."""

from collections.abc import Sequence
from typing import Annotated

from orch.api.base import ApiStruct, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.change import change, fill_zero
from orch.api.formats import dns_label_problem, label_key_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.errors import Cause


class NamespaceSpec(ApiStruct):
    finalizers: tuple[str, ...] | None = None


class NamespaceCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class NamespaceStatus(ApiStruct):
    conditions: Annotated[tuple[NamespaceCondition, ...] | None, merge_list("type")] = None
    phase: str | None = None


class Namespace(Object):
    api_version: str = always("v1")
    kind: str = always("Namespace")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: NamespaceSpec = always(NamespaceSpec())
    status: NamespaceStatus = always(NamespaceStatus())


NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def namespace_defaults(namespace: Namespace) -> Namespace:
    """The label by which selectors find a namespace by name, and the finalizer that holds a namespace until it is
    empty; a namespace that is being deleted is not given the finalizer again."""
    metadata, spec = namespace.metadata, namespace.spec
    labels = metadata.labels or {}
    if metadata.name and labels.get(NAME_LABEL) != metadata.name:
        metadata = change(metadata, labels={**labels, NAME_LABEL: metadata.name})
    if metadata.deletion_timestamp is None:
        spec = fill_zero(spec, finalizers=(FINALIZER,))
    return change(namespace, metadata=metadata, spec=spec)


def validate_namespace(namespace: Namespace) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, namespace.metadata, namespaced=False, name_problem=dns_label_problem)
    for finalizer in namespace.spec.finalizers or ():
        causes.check("spec.finalizers", finalizer, label_key_problem(finalizer))
    return causes.found
