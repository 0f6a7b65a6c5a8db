"""The texts of a pod's /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure.

As kubelet writes them: pkg/kubelet/kubelet_pods.go (hosts) and pkg/kubelet/network/dns/dns.go (resolv.conf).
"""

from dataclasses import dataclass

from nodeagent.environment import ConfigError
from nodeagent.network.dns.resolv_conf import ResolvConf, write_resolv_conf
from orch.api.pod.spec import Pod, PodDNSConfig

NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
HOSTNAME_BYTES_MAX = 63
KERNEL_HOSTNAME_BYTES_MAX = 64
_HEADER = "# Managed by the node agent: written when a container starts.\n"
_LOOPBACK = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class PodDns:
    """How pods of this node resolve names."""

    address: str
    """Of the node's DNS server."""
    domain: str
    node: ResolvConf
    """The node's own resolv.conf, for dnsPolicy Default and the rest of the search list."""


def hostname_of(pod: Pod, node_name: str) -> str:
    if pod.spec.host_network:
        return node_name
    return (pod.spec.hostname_override or pod.spec.hostname or pod.metadata.name)[:HOSTNAME_BYTES_MAX].rstrip("-.")


def kernel_hostname(pod: Pod, node_name: str, domain: str) -> str:
    """What uname says in the pod: with setHostnameAsFQDN the name that the cluster's DNS gives it. Raises ConfigError
    when that is longer than the kernel takes."""
    hostname, spec = hostname_of(pod, node_name), pod.spec
    if not spec.set_hostname_as_fqdn or not spec.subdomain or spec.host_network:
        return hostname
    full = f"{hostname}.{spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"
    if len(full) > KERNEL_HOSTNAME_BYTES_MAX:
        raise ConfigError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({KERNEL_HOSTNAME_BYTES_MAX} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Pod, pod_ip: str, domain: str, node_name: str, node_hosts: str) -> str:
    """`node_hosts` is the node's own file, which a pod with host networking gets."""
    aliases = _alias_lines(pod)
    if pod.spec.host_network:
        return node_hosts + aliases
    hostname = hostname_of(pod, node_name)
    names = [hostname]
    if pod.spec.subdomain:
        names.insert(0, f"{hostname}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}")
    return _HEADER + _LOOPBACK + "\t".join([pod_ip, *names]) + "\n" + aliases


def _alias_lines(pod: Pod) -> str:
    lines = ["\t".join([alias.ip, *(alias.hostnames or ())]) + "\n" for alias in pod.spec.host_aliases or ()]
    return "".join(["\n# From hostAliases.\n", *lines]) if lines else ""


def resolv_conf_file(pod: Pod, dns: PodDns) -> str:
    base = _by_policy(pod, dns)
    return write_resolv_conf(_merged(base, pod.spec.dns_config) if pod.spec.dns_config else base)


def _by_policy(pod: Pod, dns: PodDns) -> ResolvConf:
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "None":
        return ResolvConf()
    if policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
        return dns.node
    own = (f"{pod.metadata.namespace}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain)
    searches = tuple(dict.fromkeys((*own, *dns.node.searches)))[:SEARCHES_MAX]
    return ResolvConf((dns.address,), searches, ("ndots:5",))


def _merged(base: ResolvConf, config: PodDNSConfig) -> ResolvConf:
    """Without doubles; an option of the pod replaces the one of the same name."""
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.options or ():
        name = option.name or ""
        options[name] = f"{name}:{option.value}" if option.value is not None else name
    return ResolvConf(
        tuple(dict.fromkeys((*base.nameservers, *(config.nameservers or ()))))[:NAMESERVERS_MAX],
        tuple(dict.fromkeys((*base.searches, *(config.searches or ()))))[:SEARCHES_MAX],
        tuple(options.values()),
    )
