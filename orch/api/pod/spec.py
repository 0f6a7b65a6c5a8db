"""Pod, PodSpec and PodTemplateSpec (core/v1)."""

from typing import Annotated

from msgspec import field

from orch.api.base import ApiStruct, Int32, Int64, Quantity, always, atomic_map, merge_list
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.pod.affinity import Affinity
from orch.api.pod.container import Container, EphemeralContainer
from orch.api.pod.security import PodSecurityContext
from orch.api.pod.status import PodStatus
from orch.api.pod.volume import Volume
from orch.api.shared import LocalObjectReference, ResourceRequirements, Toleration


class HostAlias(ApiStruct):
    hostnames: tuple[str, ...] | None = None
    ip: str = always("")


class PodDNSConfigOption(ApiStruct):
    name: str | None = None
    value: str | None = None


class PodDNSConfig(ApiStruct):
    nameservers: tuple[str, ...] | None = None
    options: tuple[PodDNSConfigOption, ...] | None = None
    searches: tuple[str, ...] | None = None


class PodOS(ApiStruct):
    name: str = always("")


class PodReadinessGate(ApiStruct):
    condition_type: str = always("")


class PodResourceClaim(ApiStruct):
    name: str = always("")
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSchedulingGate(ApiStruct):
    name: str = always("")


class TopologySpreadConstraint(ApiStruct):
    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] | None = None
    max_skew: Int32 = always(0)
    min_domains: Int32 | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    topology_key: str = always("")
    when_unsatisfiable: str = always("")


class PodSpec(ApiStruct):
    active_deadline_seconds: Int64 | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    containers: Annotated[tuple[Container, ...], merge_list("name")] = always(())
    dns_config: PodDNSConfig | None = None
    dns_policy: str | None = None
    enable_service_links: bool | None = None
    ephemeral_containers: Annotated[tuple[EphemeralContainer, ...] | None, merge_list("name")] = None
    host_aliases: Annotated[tuple[HostAlias, ...] | None, merge_list("ip")] = None
    host_ipc: bool | None = field(default=None, name="hostIPC")
    host_network: bool | None = None
    host_pid: bool | None = field(default=None, name="hostPID")
    host_users: bool | None = None
    hostname: str | None = None
    hostname_override: str | None = None
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...] | None, merge_list("name")] = None
    init_containers: Annotated[tuple[Container, ...] | None, merge_list("name")] = None
    node_name: str | None = None
    node_selector: Annotated[dict[str, str] | None, atomic_map()] = None
    os: PodOS | None = None
    overhead: dict[str, Quantity] | None = None
    preemption_policy: str | None = None
    priority: Int32 | None = None
    priority_class_name: str | None = None
    readiness_gates: tuple[PodReadinessGate, ...] | None = None
    resource_claims: Annotated[tuple[PodResourceClaim, ...] | None, merge_list("name", retain_keys=True)] = None
    resources: ResourceRequirements | None = None
    restart_policy: str | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    scheduling_gates: Annotated[tuple[PodSchedulingGate, ...] | None, merge_list("name")] = None
    security_context: PodSecurityContext | None = None
    service_account: str | None = None
    service_account_name: str | None = None
    set_hostname_as_fqdn: bool | None = field(default=None, name="setHostnameAsFQDN")
    share_process_namespace: bool | None = None
    subdomain: str | None = None
    termination_grace_period_seconds: Int64 | None = None
    tolerations: tuple[Toleration, ...] | None = None
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...] | None,
        merge_list("topologyKey", keys=("topologyKey", "whenUnsatisfiable")),
    ] = None
    volumes: Annotated[tuple[Volume, ...] | None, merge_list("name", retain_keys=True)] = None


class Pod(Object):
    api_version: str = always("v1")
    kind: str = always("Pod")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: PodSpec = always(PodSpec())
    status: PodStatus = always(PodStatus())


class PodTemplateSpec(ApiStruct):
    metadata: ObjectMeta = always(ObjectMeta())
    spec: PodSpec = always(PodSpec())
