"""Pods that a node refuses."""

from typing import Any

import pytest

from nodeagent.pod_admission import dotted, refusal
from orch.api.pod.container import ContainerPort
from orch.api.pod.security import PodSecurityContext, Sysctl
from orch.api.pod.spec import Pod
from tests.unit.nodeagent.machine import a_container, a_pod


def with_sysctls(*names: str) -> Pod:
    sysctls = tuple(Sysctl(name=name, value="1") for name in names)
    return a_pod(security_context=PodSecurityContext(sysctls=sysctls))


@pytest.mark.parametrize(
    ("names", "allowed", "forbidden"),
    [
        (["net.ipv4.tcp_syncookies", "kernel.shm_rmid_forced"], [], None),
        (["net/ipv4/tcp_syncookies"], [], None),
        (["kernel.msgmax"], [], "kernel.msgmax"),
        (["net.ipv4.ip_forward", "kernel.msgmax"], ["kernel.msg*"], "net.ipv4.ip_forward"),
        (["kernel.msgmax"], ["kernel.msg*"], None),
        (["net.core.somaxconn"], ["net.core.somaxconn"], None),
        (["net.core.somaxconn2"], ["net.core.somaxconn"], "net.core.somaxconn2"),
    ],
)
def test_only_safe_and_allowed_sysctls_may_be_set(names: list[str], allowed: list[str], forbidden: str | None) -> None:
    refused = refusal(with_sysctls(*names), [], allowed)
    if forbidden is None:
        assert refused is None
    else:
        assert refused is not None
        assert (refused.reason, refused.disrupts) == ("SysctlForbidden", False)
        assert refused.message == f'Pod was rejected: forbidden sysctl: "{forbidden}" not allowlisted'


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("net.ipv4.conf.all.forwarding", "net.ipv4.conf.all.forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net.ipv4.conf.eth0/1.forwarding"),
    ],
)
def test_a_name_may_be_written_with_slashes(written: str, name: str) -> None:
    assert dotted(written) == name


def with_port(**port: Any) -> Pod:
    return a_pod(a_container(ports=(ContainerPort(container_port=80, **port),)))


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ({"host_port": 80}, {"host_port": 80}, True),
        ({"host_port": 80}, {"host_port": 81}, False),
        ({"host_port": 80}, {"host_port": 80, "protocol": "UDP"}, False),
        ({"host_port": 80, "host_ip": "192.0.2.1"}, {"host_port": 80}, True),
        ({"host_port": 80, "host_ip": "192.0.2.1"}, {"host_port": 80, "host_ip": "192.0.2.2"}, False),
        ({}, {}, False),
    ],
)
def test_a_port_of_the_node_is_taken_once(one: dict[str, Any], other: dict[str, Any], collide: bool) -> None:
    refused = refusal(with_port(**one), [with_port(**other)], [])
    assert (refused.reason if refused else None) == ("NodePorts" if collide else None)
