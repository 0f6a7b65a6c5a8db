"""NetworkPolicy (networking.k8s.io/v1)."""

import ipaddress
from collections.abc import Sequence

from msgspec import field

from orch.api.base import ApiStruct, Int32, IntOrString, always
from orch.api.causes import Causes
from orch.api.change import change, each_or_none, fill, fill_zero
from orch.api.formats import cidr_problem, port_problem
from orch.api.meta import LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules, selector_rules
from orch.api.pod.probe_rules import port_or_name_rules
from orch.errors import Cause


class IPBlock(ApiStruct):
    cidr: str = always("")
    except_: tuple[str, ...] | None = field(default=None, name="except")


class NetworkPolicyPeer(ApiStruct):
    ip_block: IPBlock | None = None
    namespace_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None


class NetworkPolicyPort(ApiStruct):
    end_port: Int32 | None = None
    port: IntOrString | None = None
    protocol: str | None = None


class NetworkPolicyEgressRule(ApiStruct):
    ports: tuple[NetworkPolicyPort, ...] | None = None
    to: tuple[NetworkPolicyPeer, ...] | None = None


class NetworkPolicyIngressRule(ApiStruct):
    from_: tuple[NetworkPolicyPeer, ...] | None = field(default=None, name="from")
    ports: tuple[NetworkPolicyPort, ...] | None = None


class NetworkPolicySpec(ApiStruct):
    egress: tuple[NetworkPolicyEgressRule, ...] | None = None
    ingress: tuple[NetworkPolicyIngressRule, ...] | None = None
    pod_selector: LabelSelector = always(LabelSelector())
    policy_types: tuple[str, ...] | None = None


class NetworkPolicy(Object):
    api_version: str = always("networking.k8s.io/v1")
    kind: str = always("NetworkPolicy")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: NetworkPolicySpec = always(NetworkPolicySpec())


POLICY_TYPES = ("Egress", "Ingress")
PROTOCOLS = ("SCTP", "TCP", "UDP")


def networkpolicy_defaults(policy: NetworkPolicy) -> NetworkPolicy:
    """A policy that names no types is about ingress, and about egress if it has rules for it."""
    spec = policy.spec
    spec = fill_zero(spec, policy_types=("Ingress", "Egress") if spec.egress else ("Ingress",))
    spec = change(
        spec,
        egress=each_or_none(spec.egress, lambda rule: change(rule, ports=each_or_none(rule.ports, _port))),
        ingress=each_or_none(spec.ingress, lambda rule: change(rule, ports=each_or_none(rule.ports, _port))),
    )
    return change(policy, spec=spec)


def _port(port: NetworkPolicyPort) -> NetworkPolicyPort:
    return fill(port, protocol="TCP")


def validate_networkpolicy(policy: NetworkPolicy) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, policy.metadata)
    spec = policy.spec
    selector_rules(causes, "spec.podSelector", spec.pod_selector)
    for index, rule in enumerate(spec.ingress or ()):
        _port_rules(causes, f"spec.ingress[{index}]", rule.ports or ())
        _peer_rules(causes, f"spec.ingress[{index}].from", rule.from_ or ())
    for index, out in enumerate(spec.egress or ()):
        _port_rules(causes, f"spec.egress[{index}]", out.ports or ())
        _peer_rules(causes, f"spec.egress[{index}].to", out.to or ())
    types = spec.policy_types or ()
    if len(types) > len(POLICY_TYPES):
        causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return causes.found
    for index, name in enumerate(types):
        if name not in POLICY_TYPES:
            causes.not_supported(f"spec.policyTypes[{index}]", name, POLICY_TYPES)
    return causes.found


def validate_networkpolicy_update(new: NetworkPolicy, old: NetworkPolicy) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    return causes.found


def _port_rules(causes: Causes, path: str, ports: Sequence[NetworkPolicyPort]) -> None:
    for index, port in enumerate(ports):
        at = f"{path}.ports[{index}]"
        if port.protocol is not None and port.protocol not in PROTOCOLS:
            causes.not_supported(f"{at}.protocol", port.protocol, PROTOCOLS)
        if port.port is not None:
            port_or_name_rules(causes, f"{at}.port", port.port)
        if port.end_port is not None:
            _end_port_rules(causes, f"{at}.endPort", port.end_port, port.port)


def _end_port_rules(causes: Causes, path: str, end: int, port: IntOrString | None) -> None:
    if port is None:
        causes.invalid(path, end, "may not be specified when `port` is not specified")
    elif isinstance(port, str):
        causes.invalid(path, end, "may not be specified when `port` is non-numeric")
    elif end < port:
        causes.invalid(path, end, "must be greater than or equal to `port`")
    elif problem := port_problem(end):
        causes.invalid(path, end, problem)


def _peer_rules(causes: Causes, path: str, peers: Sequence[NetworkPolicyPeer]) -> None:
    for index, peer in enumerate(peers):
        at = f"{path}[{index}]"
        selectors = peer.pod_selector is not None or peer.namespace_selector is not None
        selector_rules(causes, f"{at}.podSelector", peer.pod_selector)
        selector_rules(causes, f"{at}.namespaceSelector", peer.namespace_selector)
        if peer.ip_block is not None:
            _block_rules(causes, f"{at}.ipBlock", peer.ip_block)
            if selectors:
                causes.forbidden(at, "may not specify both ipBlock and another peer")
        elif not selectors:
            causes.required(at, "must specify a peer")


def _block_rules(causes: Causes, path: str, block: IPBlock) -> None:
    if not block.cidr:
        causes.required(f"{path}.cidr")
        return
    if problem := cidr_problem(block.cidr):
        causes.invalid(f"{path}.cidr", block.cidr, problem)
        return
    whole = ipaddress.ip_network(block.cidr, strict=False)
    for index, text in enumerate(block.except_ or ()):
        at = f"{path}.except[{index}]"
        if problem := cidr_problem(text):
            causes.invalid(at, text, problem)
            continue
        part = ipaddress.ip_network(text, strict=False)
        if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
            causes.invalid(at, text, "must be a strict subset of `cidr`")
