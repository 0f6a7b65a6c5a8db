"""Rules of what decides where a pod runs: node selectors, affinity, tolerations, topology spread."""

from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.formats import label_key_problem, label_value_problem
from orch.api.metadata import label_rules, selector_rules
from orch.api.pod.affinity import Affinity, PodAffinity, PodAffinityTerm, PodAntiAffinity
from orch.api.pod.spec import PodSpec, TopologySpreadConstraint
from orch.api.shared import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_NODE_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})


def placement_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    label_rules(causes, f"{path}.nodeSelector", spec.node_selector)
    toleration_rules(causes, f"{path}.tolerations", spec.tolerations or ())
    if spec.affinity is not None:
        _affinity_rules(causes, f"{path}.affinity", spec.affinity)
    _spread_rules(causes, f"{path}.topologySpreadConstraints", spec.topology_spread_constraints or ())


def toleration_rules(causes: Causes, path: str, tolerations: Sequence[Toleration]) -> None:
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        if toleration.key:
            causes.check(f"{at}.key", toleration.key, label_key_problem(toleration.key))
        elif toleration.operator != "Exists":
            causes.invalid(
                f"{at}.operator",
                toleration.operator or "",
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            causes.invalid(
                f"{at}.effect", toleration.effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        _toleration_value_rules(causes, at, toleration)
        causes.maybe_one_of(f"{at}.effect", toleration.effect, TAINT_EFFECTS)


def _toleration_value_rules(causes: Causes, path: str, toleration: Toleration) -> None:
    match toleration.operator:
        case "Equal" | "" | None:
            value = toleration.value or ""
            causes.check(f"{path}.operator", value, label_value_problem(value))
        case "Exists":
            if toleration.value:
                causes.invalid(f"{path}.operator", toleration.value, "value must be empty when `operator` is 'Exists'")
        case operator:
            causes.not_supported(f"{path}.operator", operator, ("Equal", "Exists"))


def _affinity_rules(causes: Causes, path: str, affinity: Affinity) -> None:
    node = affinity.node_affinity
    if node is not None:
        at = f"{path}.nodeAffinity"
        required = node.required_during_scheduling_ignored_during_execution
        if required is not None:
            node_selector_rules(causes, f"{at}.requiredDuringSchedulingIgnoredDuringExecution", required)
        for index, preferred in enumerate(node.preferred_during_scheduling_ignored_during_execution or ()):
            item = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
            _weight_rules(causes, item, preferred.weight)
            _node_term_rules(causes, f"{item}.preference", preferred.preference)
    _pod_affinity_rules(causes, f"{path}.podAffinity", affinity.pod_affinity)
    _pod_affinity_rules(causes, f"{path}.podAntiAffinity", affinity.pod_anti_affinity)


def node_selector_rules(causes: Causes, path: str, selector: NodeSelector) -> None:
    if not selector.node_selector_terms:
        causes.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(selector.node_selector_terms):
        _node_term_rules(causes, f"{path}.nodeSelectorTerms[{index}]", term)


def _pod_affinity_rules(causes: Causes, path: str, affinity: PodAffinity | PodAntiAffinity | None) -> None:
    if affinity is None:
        return
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution or ()):
        _pod_term_rules(causes, f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]", term)
    for index, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution or ()):
        at = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        _weight_rules(causes, at, weighted.weight)
        _pod_term_rules(causes, f"{at}.podAffinityTerm", weighted.pod_affinity_term)


def _pod_term_rules(causes: Causes, path: str, term: PodAffinityTerm) -> None:
    selector_rules(causes, f"{path}.labelSelector", term.label_selector)
    selector_rules(causes, f"{path}.namespaceSelector", term.namespace_selector)
    if not term.topology_key:
        causes.required(f"{path}.topologyKey", "can not be empty")
    else:
        causes.check(f"{path}.topologyKey", term.topology_key, label_key_problem(term.topology_key))
    for name, keys in (("matchLabelKeys", term.match_label_keys), ("mismatchLabelKeys", term.mismatch_label_keys)):
        for index, key in enumerate(keys or ()):
            causes.check(f"{path}.{name}[{index}]", key, label_key_problem(key))
        if keys and term.label_selector is None:
            causes.forbidden(f"{path}.{name}", "must not be specified when labelSelector is not set")


def _weight_rules(causes: Causes, path: str, weight: int) -> None:
    if not 1 <= weight <= 100:
        causes.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _node_term_rules(causes: Causes, path: str, term: NodeSelectorTerm) -> None:
    for index, requirement in enumerate(term.match_expressions or ()):
        _node_requirement_rules(causes, f"{path}.matchExpressions[{index}]", requirement)
    for index, requirement in enumerate(term.match_fields or ()):
        at = f"{path}.matchFields[{index}]"
        if requirement.key != "metadata.name":
            causes.invalid(f"{at}.key", requirement.key, "not a valid field selector key")
        if requirement.operator not in ("In", "NotIn"):
            causes.invalid(f"{at}.operator", requirement.operator, "not a valid selector operator")
        elif len(requirement.values or ()) != 1:
            causes.required(f"{at}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field")


def _node_requirement_rules(causes: Causes, path: str, requirement: NodeSelectorRequirement) -> None:
    values = requirement.values or ()
    match requirement.operator:
        case "In" | "NotIn":
            if not values:
                causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                causes.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        case "Gt" | "Lt":
            if len(values) != 1:
                causes.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        case operator:
            causes.invalid(f"{path}.operator", operator, "not a valid selector operator")
    causes.check(f"{path}.key", requirement.key, label_key_problem(requirement.key))


def _spread_rules(causes: Causes, path: str, constraints: Sequence[TopologySpreadConstraint]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        if constraint.max_skew <= 0:
            causes.invalid(f"{at}.maxSkew", constraint.max_skew, "must be greater than zero")
        if not constraint.topology_key:
            causes.required(f"{at}.topologyKey", "can not be empty")
        causes.one_of(f"{at}.whenUnsatisfiable", constraint.when_unsatisfiable, ("DoNotSchedule", "ScheduleAnyway"))
        pair = (constraint.topology_key, constraint.when_unsatisfiable)
        if pair in seen:
            causes.duplicate(at, f"{{{pair[0]}, {pair[1]}}}")
        seen.add(pair)
        _spread_policy_rules(causes, at, constraint)


def _spread_policy_rules(causes: Causes, path: str, constraint: TopologySpreadConstraint) -> None:
    if constraint.min_domains is not None:
        if constraint.min_domains <= 0:
            causes.invalid(f"{path}.minDomains", constraint.min_domains, "must be greater than zero")
        if constraint.when_unsatisfiable != "DoNotSchedule":
            causes.invalid(
                f"{path}.minDomains",
                constraint.min_domains,
                f'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "{constraint.when_unsatisfiable}"',
            )
    causes.maybe_one_of(f"{path}.nodeAffinityPolicy", constraint.node_affinity_policy, ("Honor", "Ignore"))
    causes.maybe_one_of(f"{path}.nodeTaintsPolicy", constraint.node_taints_policy, ("Honor", "Ignore"))
    selector_rules(causes, f"{path}.labelSelector", constraint.label_selector)
