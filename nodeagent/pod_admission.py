"""Pods that this node refuses although they were bound to it, as kubelet's admission handlers do. Pure.

A refused pod has failed, before anything of it was made; whoever owns it makes another.
"""

from collections.abc import Iterable, Iterator, Sequence

from nodeagent.container_specs import container_specs
from nodeagent.pod_events import EndPod
from orch.api.pod.spec import Pod

SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
})  # fmt: skip
"""Kubernetes' list (pkg/kubelet/sysctl/safe_sysctls.go): a pod's own, and harmless to all others."""
ANY_ADDRESS = "0.0.0.0"
_SWAPPED = str.maketrans("./", "/.")

HostPort = tuple[str, int, str]
"""Protocol, port, address of the node."""


def refusal(pod: Pod, others: Iterable[Pod], unsafe_sysctls: Sequence[str]) -> EndPod | None:
    """`unsafe_sysctls`: names, or beginnings that end in `*`, which this node allows beside the safe ones. `others`
    run here."""
    if (name := _forbidden_sysctl(pod, unsafe_sysctls)) is not None:
        return _refused("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    wanted = set(_host_ports(pod))
    if any(_collide(one, other) for held in others for other in _host_ports(held) for one in wanted):
        return _refused("NodePorts", "Predicate NodePorts failed")
    return None


def dotted(name: str) -> str:
    """A sysctl's name with dots between its parts, whichever way it was written (sysctl.d(5))."""
    separator = next((character for character in name if character in "./"), ".")
    return name if separator == "." else name.translate(_SWAPPED)


def _refused(reason: str, message: str) -> EndPod:
    return EndPod(reason, f"Pod was rejected: {message}", grace_s=0, disrupts=False)


def _forbidden_sysctl(pod: Pod, unsafe_sysctls: Sequence[str]) -> str | None:
    context = pod.spec.security_context
    names = [dotted(sysctl.name) for sysctl in (context.sysctls if context else None) or ()]
    allowed = {*SAFE_SYSCTLS, *unsafe_sysctls}
    beginnings = tuple(pattern[:-1] for pattern in unsafe_sysctls if pattern.endswith("*"))
    return next((name for name in names if name not in allowed and not name.startswith(beginnings)), None)


def _host_ports(pod: Pod) -> Iterator[HostPort]:
    for container, _ in container_specs(pod):
        for port in container.ports or ():
            if port.host_port:
                yield port.protocol or "TCP", port.host_port, port.host_ip or ANY_ADDRESS


def _collide(one: HostPort, other: HostPort) -> bool:
    addresses = {one[2], other[2]}
    return one[:2] == other[:2] and (len(addresses) == 1 or ANY_ADDRESS in addresses)
