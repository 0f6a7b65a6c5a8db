"""Node (core/v1)."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from orch.api import quantity
from orch.api.base import ApiStruct, Int32, Int64, Quantity, Time, always, merge_list, merge_set
from orch.api.causes import Causes
from orch.api.change import change, fill_zero
from orch.api.formats import cidr_problem, label_key_problem, label_value_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.shared import Taint
from orch.errors import Cause


class AttachedVolume(ApiStruct):
    device_path: str = always("")
    name: str = always("")


class ConfigMapNodeConfigSource(ApiStruct):
    kubelet_config_key: str = always("")
    name: str = always("")
    namespace: str = always("")
    resource_version: str | None = None
    uid: str | None = None


class ContainerImage(ApiStruct):
    names: tuple[str, ...] | None = None
    size_bytes: Int64 | None = None


class DaemonEndpoint(ApiStruct):
    port: Int32 = always(0, name="Port")


class NodeConfigSource(ApiStruct):
    config_map: ConfigMapNodeConfigSource | None = None


class NodeSpec(ApiStruct):
    config_source: NodeConfigSource | None = None
    external_id: str | None = field(default=None, name="externalID")
    pod_cidr: str | None = field(default=None, name="podCIDR")
    pod_cidrs: Annotated[tuple[str, ...] | None, merge_set()] = field(default=None, name="podCIDRs")
    provider_id: str | None = field(default=None, name="providerID")
    taints: tuple[Taint, ...] | None = None
    unschedulable: bool | None = None


class NodeAddress(ApiStruct):
    address: str = always("")
    type: str = always("")


class NodeCondition(ApiStruct):
    last_heartbeat_time: Time | None = None
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class NodeConfigStatus(ApiStruct):
    active: NodeConfigSource | None = None
    assigned: NodeConfigSource | None = None
    error: str | None = None
    last_known_good: NodeConfigSource | None = None


class NodeDaemonEndpoints(ApiStruct):
    kubelet_endpoint: DaemonEndpoint | None = None


class NodeFeatures(ApiStruct):
    supplemental_groups_policy: bool | None = None


class NodeSwapStatus(ApiStruct):
    capacity: Int64 | None = None


class NodeSystemInfo(ApiStruct):
    architecture: str = always("")
    boot_id: str = always("", name="bootID")
    container_runtime_version: str = always("")
    kernel_version: str = always("")
    kube_proxy_version: str = always("")
    kubelet_version: str = always("")
    machine_id: str = always("", name="machineID")
    operating_system: str = always("")
    os_image: str = always("")
    swap: NodeSwapStatus | None = None
    system_uuid: str = always("", name="systemUUID")


class NodeRuntimeHandlerFeatures(ApiStruct):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(ApiStruct):
    features: NodeRuntimeHandlerFeatures | None = None
    name: str | None = None


class NodeStatus(ApiStruct):
    addresses: Annotated[tuple[NodeAddress, ...] | None, merge_list("type")] = None
    allocatable: dict[str, Quantity] | None = None
    capacity: dict[str, Quantity] | None = None
    conditions: Annotated[tuple[NodeCondition, ...] | None, merge_list("type")] = None
    config: NodeConfigStatus | None = None
    daemon_endpoints: NodeDaemonEndpoints = always(NodeDaemonEndpoints())
    features: NodeFeatures | None = None
    images: tuple[ContainerImage, ...] | None = None
    node_info: NodeSystemInfo = always(NodeSystemInfo())
    phase: str | None = None
    runtime_handlers: tuple[NodeRuntimeHandler, ...] | None = None
    volumes_attached: tuple[AttachedVolume, ...] | None = None
    volumes_in_use: tuple[str, ...] | None = None


class Node(Object):
    api_version: str = always("v1")
    kind: str = always("Node")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: NodeSpec = always(NodeSpec())
    status: NodeStatus = always(NodeStatus())


def node_defaults(node: Node) -> Node:
    """`podCIDR` is the first of `podCIDRs`; what is allocatable is at most the capacity."""
    spec, status = node.spec, node.status
    if spec.pod_cidr:
        spec = fill_zero(spec, pod_cidrs=(spec.pod_cidr,))
    if spec.pod_cidrs:
        spec = fill_zero(spec, pod_cidr=spec.pod_cidrs[0])
    status = change(
        status,
        capacity=quantity.canonical_map(status.capacity),
        allocatable=quantity.canonical_map(status.allocatable),
    )
    return change(node, spec=spec, status=fill_zero(status, allocatable=status.capacity))


TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def validate_node(node: Node) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, node.metadata, namespaced=False)
    _taint_rules(causes, node.spec.taints or ())
    for index, cidr in enumerate(node.spec.pod_cidrs or ()):
        causes.check(f"spec.podCIDRs[{index}]", cidr, cidr_problem(cidr))
    for name, amounts in (("capacity", node.status.capacity), ("allocatable", node.status.allocatable)):
        for resource, amount in (amounts or {}).items():
            if quantity.parse(amount) < 0:
                causes.invalid(f"status.{name}.{resource}", amount, "must be greater than or equal to 0")
    return causes.found


def validate_node_update(new: Node, old: Node) -> Sequence[Cause]:
    """The pod range and the provider's id of a node are given once."""
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if old.spec.pod_cidrs and new.spec.pod_cidrs != old.spec.pod_cidrs:
        causes.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
        causes.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
    return causes.found


def _taint_rules(causes: Causes, taints: Sequence[Taint]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        if not taint.key:
            causes.required(f"{path}.key")
        else:
            causes.check(f"{path}.key", taint.key, label_key_problem(taint.key))
        causes.check(f"{path}.value", taint.value or "", label_value_problem(taint.value or ""))
        causes.one_of(f"{path}.effect", taint.effect, TAINT_EFFECTS)
        if (taint.key, taint.effect) in seen:
            causes.duplicate(path, taint)
        seen.add((taint.key, taint.effect))
