from nodeagent.network.dns.resolv_conf import ResolvConf
from nodeagent.volumes.pod_files import PodDns, hostname_of, hosts_file, resolv_conf_file
from orch.api.meta import ObjectMeta
from orch.api.pod.spec import HostAlias, Pod, PodDNSConfig, PodDNSConfigOption, PodSpec

DNS = PodDns("10.96.0.10", "cluster.local", ResolvConf(("192.0.2.1",), ("example.org",), ("timeout:2",)))
OWN = "search shop.svc.cluster.local svc.cluster.local cluster.local example.org\n"


def pod(name: str = "web", **spec: object) -> Pod:
    return Pod(metadata=ObjectMeta(namespace="shop", name=name), spec=PodSpec(**spec))  # type: ignore[arg-type]


def test_cluster_names_come_first_by_default() -> None:
    assert resolv_conf_file(pod(), DNS) == f"nameserver 10.96.0.10\n{OWN}options ndots:5\n"


def test_a_pod_on_the_nodes_network_uses_the_nodes_resolvers_unless_told() -> None:
    node = "nameserver 192.0.2.1\nsearch example.org\noptions timeout:2\n"
    assert resolv_conf_file(pod(host_network=True), DNS) == node
    assert resolv_conf_file(pod(dns_policy="Default"), DNS) == node
    told = pod(host_network=True, dns_policy="ClusterFirstWithHostNet")
    assert resolv_conf_file(told, DNS) == f"nameserver 10.96.0.10\n{OWN}options ndots:5\n"


def test_a_pods_own_configuration_is_merged_in() -> None:
    config = PodDNSConfig(
        nameservers=("192.0.2.7", "10.96.0.10"),
        searches=("shop.example", "cluster.local"),
        options=(PodDNSConfigOption(name="ndots", value="2"), PodDNSConfigOption(name="edns0")),
    )
    assert resolv_conf_file(pod(dns_config=config), DNS) == (
        f"nameserver 10.96.0.10\nnameserver 192.0.2.7\n{OWN.rstrip()} shop.example\noptions ndots:2 edns0\n"
    )
    assert resolv_conf_file(pod(dns_policy="None", dns_config=config), DNS) == (
        "nameserver 192.0.2.7\nnameserver 10.96.0.10\nsearch shop.example cluster.local\noptions ndots:2 edns0\n"
    )


def test_hosts_name_the_pod_and_its_aliases() -> None:
    made = hosts_file(
        pod(hostname="h", subdomain="sub", host_aliases=(HostAlias(ip="192.0.2.9", hostnames=("a", "b")),)),
        "10.244.1.5",
        "cluster.local",
        "node-1",
        "",
    )
    lines = made.splitlines()
    assert "127.0.0.1\tlocalhost" in lines
    assert "10.244.1.5\th.sub.shop.svc.cluster.local\th" in lines
    assert lines[-1] == "192.0.2.9\ta\tb"


def test_a_pod_on_the_nodes_network_has_the_nodes_hosts() -> None:
    assert hosts_file(pod(host_network=True), "192.168.77.1", "cluster.local", "node-1", "1.2.3.4 x\n") == "1.2.3.4 x\n"


def test_a_long_name_is_cut_to_a_hostname() -> None:
    assert hostname_of(pod(name="a" * 62 + "-b"), "node-1") == "a" * 62
    assert hostname_of(pod(host_network=True), "node-1") == "node-1"
