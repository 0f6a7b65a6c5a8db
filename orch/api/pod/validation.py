"""Validation of pods and pod templates: every cause at once, in Kubernetes' words (pkg/apis/core/validation).

It looks at defaulted objects; a field that defaulting would have filled is reported as missing here.
"""

from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.formats import dns_label_problem, dns_subdomain_problem, ip_problem, label_key_problem
from orch.api.memo import remembered
from orch.api.metadata import annotation_rules, label_rules, metadata_rules
from orch.api.pod.container import Container
from orch.api.pod.container_rules import PodFacts, container_rules, host_port_rules, no_run_rules, run_rules
from orch.api.pod.ephemeral_rules import NOT_ALLOWED, ephemeral_rules
from orch.api.pod.placement_rules import placement_rules
from orch.api.pod.pod_level import pod_level_rules
from orch.api.pod.resize_rules import resize_policy_rules
from orch.api.pod.resource_rules import amount_rules
from orch.api.pod.security_rules import pod_security_rules
from orch.api.pod.spec import Pod, PodDNSConfig, PodSpec, PodTemplateSpec
from orch.api.pod.volume_rules import volume_rules
from orch.errors import Cause

RESTART_POLICIES = ("Always", "Never", "OnFailure")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
NAMESERVERS_MAX = 3
SEARCH_PATHS_MAX = 32
DEADLINE_MAX_S = 2**31 - 1


def validate_pod(pod: Pod) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, pod.metadata)
    spec_rules(causes, "spec", pod.spec)
    return causes.found


def template_rules(causes: Causes, path: str, template: PodTemplateSpec) -> None:
    """What is true of every template."""
    label_rules(causes, f"{path}.metadata.labels", template.metadata.labels)
    annotation_rules(causes, f"{path}.metadata.annotations", template.metadata.annotations)
    spec_rules(causes, f"{path}.spec", template.spec)
    if template.spec.ephemeral_containers:
        causes.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def running_template_rules(causes: Causes, path: str, template: PodTemplateSpec, owner: str) -> None:
    """A template of pods that a controller, a kind named `owner`, keeps running."""
    template_rules(causes, path, template)
    if template.spec.restart_policy in ("Never", "OnFailure"):
        causes.not_supported(f"{path}.spec.restartPolicy", template.spec.restart_policy, ("Always",))
    if template.spec.active_deadline_seconds is not None:
        causes.forbidden(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {owner} is not Supported")


def spec_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    causes.found.extend(_spec_causes(spec, path))


@remembered
def _spec_causes(spec: PodSpec, path: str) -> Sequence[Cause]:
    causes = Causes()
    volume_rules(causes, f"{path}.volumes", spec.volumes or ())
    _all_container_rules(causes, path, spec)
    _policy_rules(causes, path, spec)
    _name_rules(causes, path, spec)
    placement_rules(causes, path, spec)
    _dns_rules(causes, path, spec)
    _host_alias_rules(causes, path, spec)
    _host_namespace_rules(causes, path, spec)
    pod_security_rules(causes, f"{path}.securityContext", spec.security_context, host_network=bool(spec.host_network))
    amount_rules(causes, f"{path}.overhead", spec.overhead or {})
    pod_level_rules(causes, f"{path}.resources", spec)
    return tuple(causes.found)


def _all_container_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    facts = PodFacts(
        volumes={volume.name: volume for volume in spec.volumes or ()},
        host_network=bool(spec.host_network),
        host_users=spec.host_users is not False,
        grace_period_s=spec.termination_grace_period_seconds or 0,
    )
    if not spec.containers:
        causes.required(f"{path}.containers")
    names: set[str] = set()
    for index, container in enumerate(spec.containers):
        at = f"{path}.containers[{index}]"
        container_rules(causes, at, container, facts)
        run_rules(causes, at, container, facts)
        _restart_rules(causes, at, container)
        resize_policy_rules(causes, at, container, spec.restart_policy)
        _unique_name(causes, at, container.name, names)
    for index, container in enumerate(spec.init_containers or ()):
        at = f"{path}.initContainers[{index}]"
        container_rules(causes, at, container, facts)
        _init_rules(causes, at, container, facts)
        resize_policy_rules(causes, at, container, spec.restart_policy)
        _unique_name(causes, at, container.name, names)
    for index, ephemeral in enumerate(spec.ephemeral_containers or ()):
        at = f"{path}.ephemeralContainers[{index}]"
        container_rules(causes, at, ephemeral, facts)
        no_run_rules(causes, at, ephemeral, NOT_ALLOWED)
        ephemeral_rules(causes, at, ephemeral, spec)
        _unique_name(causes, at, ephemeral.name, names)
    host_port_rules(causes, f"{path}.containers", spec.containers)


def _unique_name(causes: Causes, path: str, name: str, names: set[str]) -> None:
    if name and name in names:
        causes.duplicate(f"{path}.name", name)
    names.add(name)


def _restart_rules(causes: Causes, path: str, container: Container) -> None:
    if container.restart_policy:
        causes.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")


def _init_rules(causes: Causes, path: str, container: Container, facts: PodFacts) -> None:
    """An init container with restartPolicy Always is a sidecar: it runs beside the others."""
    causes.maybe_one_of(f"{path}.restartPolicy", container.restart_policy, ("Always",))
    if container.restart_policy == "Always":
        run_rules(causes, path, container, facts)
    else:
        no_run_rules(causes, path, container, "may not be set for init containers without restartPolicy=Always")


def _policy_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    causes.one_of(f"{path}.restartPolicy", spec.restart_policy, RESTART_POLICIES)
    causes.one_of(f"{path}.dnsPolicy", spec.dns_policy, DNS_POLICIES)
    causes.maybe_one_of(f"{path}.preemptionPolicy", spec.preemption_policy, ("Never", "PreemptLowerPriority"))
    grace_s = spec.termination_grace_period_seconds
    if grace_s is None:
        causes.required(f"{path}.terminationGracePeriodSeconds")
    causes.not_negative(f"{path}.terminationGracePeriodSeconds", grace_s)
    causes.between(f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, 1, DEADLINE_MAX_S)
    if spec.os is not None:
        causes.one_of(f"{path}.os.name", spec.os.name, ("linux", "windows"))
    for index, gate in enumerate(spec.readiness_gates or ()):
        causes.check(
            f"{path}.readinessGates[{index}].conditionType", gate.condition_type, label_key_problem(gate.condition_type)
        )


def _name_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    subdomains = (
        ("serviceAccountName", spec.service_account_name),
        ("nodeName", spec.node_name),
        ("priorityClassName", spec.priority_class_name),
        ("runtimeClassName", spec.runtime_class_name),
    )
    for name, value in subdomains:
        if value:
            causes.check(f"{path}.{name}", value, dns_subdomain_problem(value))
    for name, value in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if value:
            causes.check(f"{path}.{name}", value, dns_label_problem(value))
    if spec.scheduler_name:
        causes.check(f"{path}.schedulerName", spec.scheduler_name, label_key_problem(spec.scheduler_name))
    for index, gate in enumerate(spec.scheduling_gates or ()):
        causes.check(f"{path}.schedulingGates[{index}]", gate.name, label_key_problem(gate.name))
        if spec.node_name:
            causes.forbidden(f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared")


def _dns_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    config = spec.dns_config or PodDNSConfig()
    nameservers, searches = config.nameservers or (), config.searches or ()
    at = f"{path}.dnsConfig"
    if spec.dns_policy == "None" and not nameservers:
        causes.required(f"{at}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(nameservers) > NAMESERVERS_MAX:
        causes.invalid(f"{at}.nameservers", nameservers, f"must not have more than {NAMESERVERS_MAX} nameservers")
    for index, nameserver in enumerate(nameservers):
        causes.check(f"{at}.nameservers[{index}]", nameserver, ip_problem(nameserver))
    if len(searches) > SEARCH_PATHS_MAX:
        causes.invalid(f"{at}.searches", searches, f"must not have more than {SEARCH_PATHS_MAX} search paths")
    for index, search in enumerate(searches):
        if search != ".":
            plain = search.removesuffix(".").replace("_", "-")
            causes.check(f"{at}.searches[{index}]", search, dns_subdomain_problem(plain))
    for index, option in enumerate(config.options or ()):
        if not option.name:
            causes.required(f"{at}.options[{index}]")


def _host_alias_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    for index, alias in enumerate(spec.host_aliases or ()):
        at = f"{path}.hostAliases[{index}]"
        causes.check(f"{at}.ip", alias.ip, ip_problem(alias.ip))
        for name_index, hostname in enumerate(alias.hostnames or ()):
            causes.check(f"{at}.hostnames[{name_index}]", hostname, dns_subdomain_problem(hostname))


def _host_namespace_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    if spec.share_process_namespace and spec.host_pid:
        causes.invalid(
            f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )
    if spec.host_users is False:
        for name, value in (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)):
            if value:
                causes.forbidden(f"{path}.{name}", "when `hostUsers` is false")
