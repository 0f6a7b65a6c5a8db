"""PriorityClass (scheduling.k8s.io/v1), and the two classes that every cluster has."""

from collections.abc import Sequence

from orch.api.base import Int32, always
from orch.api.causes import Causes
from orch.api.change import fill
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


class PriorityClass(Object):
    api_version: str = always("scheduling.k8s.io/v1")
    kind: str = always("PriorityClass")
    metadata: ObjectMeta = always(ObjectMeta())
    description: str | None = None
    global_default: bool | None = None
    preemption_policy: str | None = None
    value: Int32 = always(0)


PREEMPT = "PreemptLowerPriority"
PREEMPTION_POLICIES = (PREEMPT, "Never")
USER_PRIORITY_MAX = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = (
    PriorityClass(
        metadata=ObjectMeta(name="system-node-critical"),
        value=2_000_001_000,
        description="For pods without which their node does not work; nothing may displace them.",
    ),
    PriorityClass(
        metadata=ObjectMeta(name="system-cluster-critical"),
        value=2_000_000_000,
        description="For pods without which the cluster does not work; they may move to another node.",
    ),
)


def priorityclass_defaults(priority_class: PriorityClass) -> PriorityClass:
    return fill(priority_class, preemption_policy=PREEMPT)


def validate_priorityclass(priority_class: PriorityClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, priority_class.metadata, namespaced=False)
    if priority_class.metadata.name.startswith(SYSTEM_PREFIX):
        if problem := _system_problem(priority_class):
            causes.forbidden(
                "metadata.name",
                f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. "
                f"error: {problem}",
            )
    elif priority_class.value > USER_PRIORITY_MAX:
        causes.forbidden("value", f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}")
    causes.one_of("preemptionPolicy", priority_class.preemption_policy, PREEMPTION_POLICIES)
    return causes.found


def validate_priorityclass_update(new: PriorityClass, old: PriorityClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if new.value != old.value:
        causes.forbidden("value", "may not be changed in an update.")
    causes.immutable("preemptionPolicy", new.preemption_policy, old.preemption_policy)
    return causes.found


def _system_problem(priority_class: PriorityClass) -> str:
    name = priority_class.metadata.name
    known = next((c for c in SYSTEM_CLASSES if c.metadata.name == name), None)
    if known is None:
        return f"{name} is not a known system priority class"
    if priority_class.value != known.value:
        return f"value of {name} PriorityClass must be {known.value}"
    return f"globalDefault of {name} PriorityClass must be false" if priority_class.global_default else ""
