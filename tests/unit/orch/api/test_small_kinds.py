"""Defaults and rules of the kinds that fit into one file: config, nodes, namespaces, endpoints, events, leases."""

from typing import Any

import pytest

from orch.api.configmap import DATA_MAX_BYTES
from orch.api.kind import Kind
from orch.api.kinds import (
    CONFIGMAPS,
    ENDPOINTS,
    ENDPOINTSLICES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    SECRETS,
)
from tests.unit.orch.api.objects import brief, made

CASES: list[tuple[Kind[Any], dict[str, Any], list[tuple[str, str]]]] = [
    (CONFIGMAPS, {"data": {"a.b": "x"}, "binaryData": {"c": "eA=="}}, []),
    (CONFIGMAPS, {"data": {"a/b": "x"}}, [("data[a/b]", "Invalid")]),
    (CONFIGMAPS, {"data": {"a": "x"}, "binaryData": {"a": "eA=="}}, [("data[a]", "Invalid")]),
    (CONFIGMAPS, {"data": {"a": "x" * (DATA_MAX_BYTES + 1)}}, [("", "TooLong")]),
    (SECRETS, {"data": {"a": "eA=="}}, []),
    (SECRETS, {"data": {"a": "A" * 4 * (DATA_MAX_BYTES // 3 + 1)}}, [("data", "TooLong")]),
    (SECRETS, {"type": "kubernetes.io/tls"}, [("data[tls.crt]", "Required"), ("data[tls.key]", "Required")]),
    (SECRETS, {"type": "kubernetes.io/ssh-auth"}, [("data[ssh-privatekey]", "Required")]),
    (SECRETS, {"type": "kubernetes.io/basic-auth", "stringData": {"username": "x"}}, []),
    (
        SECRETS,
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{"}},
        [("data[.dockerconfigjson]", "Invalid")],
    ),
    (NAMESPACES, {"spec": {"finalizers": ["a b"]}}, [("spec.finalizers", "Invalid")]),
    (NODES, {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"}}, []),
    (
        NODES,
        {"spec": {"taints": [{"effect": "Now"}]}},
        [("spec.taints[0].key", "Required"), ("spec.taints[0].effect", "NotSupported")],
    ),
    (NODES, {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}}, [("spec.taints[1]", "Duplicate")]),
    (NODES, {"spec": {"podCIDRs": ["10.0.0.0"]}}, [("spec.podCIDRs[0]", "Invalid")]),
    (ENDPOINTS, {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}, []),
    (ENDPOINTS, {"subsets": [{}]}, [("subsets[0]", "Required")]),
    (
        ENDPOINTS,
        {"subsets": [{"addresses": [{"ip": "x"}], "ports": [{"port": 0}]}]},
        [("subsets[0].addresses[0].ip", "Invalid"), ("subsets[0].ports[0].port", "Invalid")],
    ),
    (ENDPOINTSLICES, {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}, []),
    (
        ENDPOINTSLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}]},
        [("endpoints[0].addresses[0]", "Invalid")],
    ),
    (ENDPOINTSLICES, {"addressType": "IPv4", "endpoints": [{}]}, [("endpoints[0].addresses", "Required")]),
    (ENDPOINTSLICES, {"addressType": "IPX"}, [("addressType", "NotSupported")]),
    (ENDPOINTSLICES, {"addressType": "IPv4", "ports": [{"port": 1}, {"port": 2}]}, [("ports[1].name", "Duplicate")]),
    (EVENTS, {"involvedObject": {"namespace": "default"}}, []),
    (EVENTS, {"involvedObject": {}}, []),
    (EVENTS, {"involvedObject": {"namespace": "x"}}, [("involvedObject.namespace", "Invalid")]),
    (LEASES, {"spec": {"leaseDurationSeconds": 0}}, [("spec.leaseDurationSeconds", "Invalid")]),
]


@pytest.mark.parametrize(
    ("kind", "plain", "causes"), CASES, ids=[f"{kind.kind}-{index}" for index, (kind, _, _) in enumerate(CASES)]
)
def test_rules(kind: Kind[Any], plain: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(kind.validate(made(kind, plain))) == causes


def test_string_data_of_a_secret_becomes_data() -> None:
    secret = made(SECRETS, {"data": {"a": "eA==", "b": "eA=="}, "stringData": {"b": "y"}})
    assert (secret.type, secret.data, secret.string_data) == ("Opaque", {"a": b"x", "b": b"y"}, None)


@pytest.mark.parametrize("kind", [CONFIGMAPS, SECRETS], ids=lambda kind: kind.kind)
def test_what_is_immutable_stays(kind: Kind[Any]) -> None:
    old = made(kind, {"data": {"a": "eA=="}, "immutable": True})
    new = made(kind, {"data": {"a": "eQ=="}})
    assert brief(kind.validate_update(new, old)) == [("immutable", "Forbidden"), ("data", "Forbidden")]
    assert kind.validate_update(old, old) == []
    assert kind.validate_update(old, new) == []


def test_the_type_of_a_secret_stays() -> None:
    new = made(SECRETS, {"type": "kubernetes.io/basic-auth", "stringData": {"username": "x"}})
    assert brief(SECRETS.validate_update(new, made(SECRETS, {}))) == [("type", "Invalid")]


def test_namespaces_carry_their_name_and_a_finalizer_while_they_live() -> None:
    living = made(NAMESPACES, {})
    assert living.metadata.labels == {"kubernetes.io/metadata.name": "web"}
    assert living.spec.finalizers == ("kubernetes",)
    dying = made(NAMESPACES, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert dying.spec.finalizers is None


def test_nodes() -> None:
    node = made(NODES, {"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": 2, "memory": "1024Ki"}}})
    assert node.spec.pod_cidrs == ("10.0.0.0/24",)
    assert node.status.capacity == node.status.allocatable == {"cpu": "2", "memory": "1Mi"}
    moved = made(NODES, {"spec": {"podCIDRs": ["10.0.1.0/24"]}})
    assert moved.spec.pod_cidr == "10.0.1.0/24"
    assert brief(NODES.validate_update(moved, node)) == [("spec.podCIDRs", "Forbidden")]
    assert NODES.validate_update(node, made(NODES, {})) == []


def test_ports_of_endpoints() -> None:
    endpoints = made(ENDPOINTS, {"subsets": [{"ports": [{"port": 80}]}]})
    assert endpoints.subsets[0].ports[0].protocol == "TCP"
    (port,) = made(ENDPOINTSLICES, {"ports": [{"port": 80}]}).ports
    assert (port.name, port.protocol) == ("", "TCP")
    other = made(ENDPOINTSLICES, {"addressType": "IPv6"})
    assert brief(ENDPOINTSLICES.validate_update(other, made(ENDPOINTSLICES, {"addressType": "IPv4"}))) == [
        ("addressType", "Invalid")
    ]


def test_events_keep_whole_seconds_of_utc() -> None:
    event = made(EVENTS, {"lastTimestamp": "2026-01-01T02:00:00.75+02:00"})
    assert EVENTS.codec.to_plain(event)["lastTimestamp"] == "2026-01-01T00:00:00Z"


def test_events_of_the_newer_api_need_more() -> None:
    event = made(EVENTS, {"eventTime": "2026-01-01T00:00:00.000000Z", "message": "x" * 1025})
    assert brief(EVENTS.validate(event)) == [
        ("reportingController", "Required"),
        ("reportingInstance", "Required"),
        ("action", "Required"),
        ("reason", "Required"),
        ("type", "Required"),
        ("message", "TooLong"),
    ]
