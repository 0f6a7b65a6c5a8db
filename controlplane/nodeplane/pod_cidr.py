"""Which part of the cluster's pod addresses a node gets. Pure."""

from collections.abc import Collection
from ipaddress import ip_network

from orch.errors import OrchError


class NoPodCidrLeft(OrchError):
    """All parts of the cluster's pod range are given to nodes."""


def free_pod_cidr(cluster_cidr: str, prefix_length: int, taken: Collection[str]) -> str:
    """The lowest free network of that size, such as `10.244.3.0/24`. Raises NoPodCidrLeft."""
    for candidate in ip_network(cluster_cidr).subnets(new_prefix=prefix_length):
        if str(candidate) not in taken:
            return str(candidate)
    raise NoPodCidrLeft(f"all /{prefix_length} networks of {cluster_cidr} are in use; add nodes to a larger range")
