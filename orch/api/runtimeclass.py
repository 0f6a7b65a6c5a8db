"""RuntimeClass (node.k8s.io/v1): a handler of the node's runtime, what it costs, and where it is to be found."""

from collections.abc import Sequence
from typing import Annotated

from orch.api import quantity
from orch.api.base import ApiStruct, Quantity, always, atomic_map
from orch.api.causes import Causes
from orch.api.change import change, into
from orch.api.formats import dns_label_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import label_rules, metadata_rules, metadata_update_rules
from orch.api.pod.placement_rules import toleration_rules
from orch.api.pod.resource_rules import amount_rules
from orch.api.shared import Toleration
from orch.errors import Cause


class Overhead(ApiStruct):
    pod_fixed: dict[str, Quantity] | None = None


class Scheduling(ApiStruct):
    node_selector: Annotated[dict[str, str] | None, atomic_map()] = None
    tolerations: tuple[Toleration, ...] | None = None


class RuntimeClass(Object):
    api_version: str = always("node.k8s.io/v1")
    kind: str = always("RuntimeClass")
    metadata: ObjectMeta = always(ObjectMeta())
    handler: str = always("")
    overhead: Overhead | None = None
    scheduling: Scheduling | None = None


def runtimeclass_defaults(runtime_class: RuntimeClass) -> RuntimeClass:
    def canonical(overhead: Overhead) -> Overhead:
        return change(overhead, pod_fixed=quantity.canonical_map(overhead.pod_fixed))

    return change(runtime_class, overhead=into(runtime_class.overhead, canonical))


def validate_runtimeclass(runtime_class: RuntimeClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, runtime_class.metadata, namespaced=False)
    causes.check("handler", runtime_class.handler, dns_label_problem(runtime_class.handler))
    if runtime_class.overhead is not None:
        amount_rules(causes, "overhead.podFixed", runtime_class.overhead.pod_fixed or {})
    if runtime_class.scheduling is not None:
        label_rules(causes, "scheduling.nodeSelector", runtime_class.scheduling.node_selector)
        toleration_rules(causes, "scheduling.tolerations", runtime_class.scheduling.tolerations or ())
    return causes.found


def validate_runtimeclass_update(new: RuntimeClass, old: RuntimeClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("handler", new.handler, old.handler)
    return causes.found
