"""Types that several kinds share: references, node selectors, resources, taints, load balancer status (core/v1)."""

from typing import Annotated, ClassVar

from orch.api.base import ApiStruct, Int32, Int64, Quantity, Time, always, apply_list


class PortStatus(ApiStruct):
    error: str | None = None
    port: Int32 = always(0)
    protocol: str = always("")


class LoadBalancerIngress(ApiStruct):
    hostname: str | None = None
    ip: str | None = None
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] | None = None


class LoadBalancerStatus(ApiStruct):
    ingress: tuple[LoadBalancerIngress, ...] | None = None


class LocalObjectReference(ApiStruct):
    is_atomic: ClassVar[bool] = True
    name: str | None = None


class NodeSelectorRequirement(ApiStruct):
    key: str = always("")
    operator: str = always("")
    values: tuple[str, ...] | None = None


class NodeSelectorTerm(ApiStruct):
    is_atomic: ClassVar[bool] = True
    match_expressions: tuple[NodeSelectorRequirement, ...] | None = None
    match_fields: tuple[NodeSelectorRequirement, ...] | None = None


class NodeSelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    node_selector_terms: tuple[NodeSelectorTerm, ...] = always(())


class ObjectReference(ApiStruct):
    is_atomic: ClassVar[bool] = True
    api_version: str | None = None
    field_path: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    resource_version: str | None = None
    uid: str | None = None


class ResourceClaim(ApiStruct):
    name: str = always("")
    request: str | None = None


class ResourceRequirements(ApiStruct):
    claims: Annotated[tuple[ResourceClaim, ...] | None, apply_list("name")] = None
    limits: dict[str, Quantity] | None = None
    requests: dict[str, Quantity] | None = None


class Taint(ApiStruct):
    effect: str = always("")
    key: str = always("")
    time_added: Time | None = None
    value: str | None = None


class Toleration(ApiStruct):
    effect: str | None = None
    key: str | None = None
    operator: str | None = None
    toleration_seconds: Int64 | None = None
    value: str | None = None


class TypedLocalObjectReference(ApiStruct):
    is_atomic: ClassVar[bool] = True
    api_group: str | None = None
    kind: str = always("")
    name: str = always("")


class TypedObjectReference(ApiStruct):
    api_group: str | None = None
    kind: str = always("")
    name: str = always("")
    namespace: str | None = None
