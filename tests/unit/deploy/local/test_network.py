"""The choice of a subnet that nobody uses."""

import ipaddress

import pytest

from deploy.local.network import SUBNET_POOL, first_free
from deploy.local.spec import ClusterError


def test_the_first_that_overlaps_nothing() -> None:
    taken = [ipaddress.ip_network(text) for text in ("172.30.0.0/23", "10.0.0.0/8", "172.30.2.7/32", "fd00::/8")]
    assert first_free(SUBNET_POOL.subnets(new_prefix=24), taken) == "172.30.3.0/24"


def test_none_is_left() -> None:
    with pytest.raises(ClusterError, match="no free /24"):
        first_free(SUBNET_POOL.subnets(new_prefix=24), [ipaddress.ip_network("172.16.0.0/12")])
