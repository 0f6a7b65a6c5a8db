"""Defaults and rules of Ingress, IngressClass and NetworkPolicy."""

from typing import Any

import pytest

from orch.api.ingress import default_classes
from orch.api.kind import Kind
from orch.api.kinds import INGRESSCLASSES, INGRESSES, NETWORKPOLICIES
from tests.unit.orch.api.objects import brief, made

SERVICE = {"service": {"name": "web", "port": {"number": 80}}}
CREATED = "2026-01-0{}T00:00:00Z"


def rule(**path: Any) -> dict[str, Any]:
    return {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": SERVICE, **path}]}}]}


AT = "spec.rules[0].http.paths[0]"
INGRESS_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (rule(), []),
    ({"defaultBackend": SERVICE}, []),
    ({}, [("spec", "Invalid")]),
    (rule(pathType=""), [(f"{AT}.pathType", "Required")]),
    (rule(pathType="Regex"), [(f"{AT}.pathType", "NotSupported")]),
    (rule(path="a"), [(f"{AT}.path", "Invalid")]),
    (rule(path="/a//b/.."), [(f"{AT}.path", "Invalid"), (f"{AT}.path", "Invalid")]),
    (rule(path="", pathType="ImplementationSpecific"), []),
    (rule(backend={}), [(f"{AT}.backend", "Invalid")]),
    (rule(backend={**SERVICE, "resource": {"kind": "A", "name": "b"}}), [(f"{AT}.backend", "Invalid")]),
    (rule(backend={"resource": {"name": "b"}}), [(f"{AT}.backend.resource.kind", "Required")]),
    (rule(backend={"service": {"name": "web"}}), [(f"{AT}.backend.service.port", "Required")]),
    (
        rule(backend={"service": {"port": {"name": "http", "number": 80}}}),
        [(f"{AT}.backend.service.name", "Required"), (f"{AT}.backend.service.port", "Invalid")],
    ),
    ({"rules": [{"host": "10.0.0.1"}]}, [("spec.rules[0].host", "Invalid")]),
    ({"rules": [{"host": "*.example.com"}]}, []),
    ({"rules": [{"host": "a.*.com"}]}, [("spec.rules[0].host", "Invalid")]),
    ({"rules": [{"http": {}}]}, [("spec.rules[0].http.paths", "Required")]),
    ({"defaultBackend": SERVICE, "tls": [{"hosts": ["A"]}]}, [("spec.tls[0].hosts[0]", "Invalid")]),
    ({"defaultBackend": SERVICE, "ingressClassName": "A"}, [("spec.ingressClassName", "Invalid")]),
]  # fmt: skip

POLICY_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"podSelector": {}}, []),
    ({"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 90}]}]}, []),
    ({"ingress": [{"from": [{}]}]}, [("spec.ingress[0].from[0]", "Required")]),
    (
        {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
        [("spec.egress[0].to[0]", "Forbidden")],
    ),
    (
        {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/8", "x"]}}]}]},
        [("spec.egress[0].to[0].ipBlock.except[1]", "Invalid"), ("spec.egress[0].to[0].ipBlock.except[2]", "Invalid")],
    ),
    ({"egress": [{"to": [{"ipBlock": {}}]}]}, [("spec.egress[0].to[0].ipBlock.cidr", "Required")]),
    ({"egress": [{"to": [{"ipBlock": {"cidr": "x"}}]}]}, [("spec.egress[0].to[0].ipBlock.cidr", "Invalid")]),
    (
        {"ingress": [{"ports": [{"protocol": "ICMP"}, {"port": 0}, {"port": "Http"}]}]},
        [
            ("spec.ingress[0].ports[0].protocol", "NotSupported"),
            ("spec.ingress[0].ports[1].port", "Invalid"),
            ("spec.ingress[0].ports[2].port", "Invalid"),
        ],
    ),
    (
        {"ingress": [{"ports": [{"endPort": 1}, {"port": "http", "endPort": 1}, {"port": 2, "endPort": 1}]}]},
        [(f"spec.ingress[0].ports[{index}].endPort", "Invalid") for index in range(3)],
    ),
    ({"policyTypes": ["Both"]}, [("spec.policyTypes[0]", "NotSupported")]),
    ({"policyTypes": ["Ingress"] * 3}, [("spec.policyTypes", "Invalid")]),
    (
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
        [("spec.podSelector.matchExpressions[0].operator", "Invalid")],
    ),
]

CLASS_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"controller": "example.com/ingress"}, []),
    ({}, [("spec.controller", "Required")]),
    ({"controller": "ingress"}, [("spec.controller", "Invalid")]),
    (
        {"controller": "a.b/c", "parameters": {"scope": "Namespace"}},
        [(f"spec.parameters.{name}", "Required") for name in ("kind", "name", "namespace")],
    ),
    (
        {"controller": "a.b/c", "parameters": {"kind": "A", "name": "b", "namespace": "c"}},
        [("spec.parameters.namespace", "Forbidden")],
    ),
]

CASES = [
    *((INGRESSES, spec, causes) for spec, causes in INGRESS_CASES),
    *((NETWORKPOLICIES, spec, causes) for spec, causes in POLICY_CASES),
    *((INGRESSCLASSES, spec, causes) for spec, causes in CLASS_CASES),
]


@pytest.mark.parametrize(
    ("kind", "spec", "causes"), CASES, ids=[f"{kind.kind}-{index}" for index, (kind, _, _) in enumerate(CASES)]
)
def test_rules(kind: Kind[Any], spec: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(kind.validate(made(kind, {"spec": spec}))) == causes


def test_the_old_annotation_and_the_class_exclude_each_other() -> None:
    meta = {"annotations": {"kubernetes.io/ingress.class": "old"}}
    ingress = made(INGRESSES, {"metadata": meta, "spec": {"defaultBackend": SERVICE, "ingressClassName": "new"}})
    assert brief(INGRESSES.validate(ingress)) == [("annotations.kubernetes.io/ingress.class", "Invalid")]


def test_the_controller_of_a_class_stays() -> None:
    old, new = (made(INGRESSCLASSES, {"spec": {"controller": f"a.b/{name}"}}) for name in "cd")
    assert brief(INGRESSCLASSES.validate_update(new, old)) == [("spec.controller", "Invalid")]


def test_the_newest_default_class_comes_first() -> None:
    meta = {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    classes = [
        made(INGRESSCLASSES, {"metadata": {**meta, "name": name, "creationTimestamp": CREATED.format(day)}})
        for name, day in (("c", 1), ("b", 2), ("a", 2))
    ]
    assert [c.metadata.name for c in default_classes([*classes, made(INGRESSCLASSES, {})])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("spec", "types"),
    [({}, ("Ingress",)), ({"egress": [{}]}, ("Ingress", "Egress")), ({"policyTypes": ["Egress"]}, ("Egress",))],
)
def test_policy_types_follow_from_the_rules(spec: dict[str, Any], types: tuple[str, ...]) -> None:
    assert made(NETWORKPOLICIES, {"spec": spec}).spec.policy_types == types


def test_ports_of_policies_are_tcp() -> None:
    policy = made(NETWORKPOLICIES, {"spec": {"ingress": [{"ports": [{"port": 80}]}]}})
    assert policy.spec.ingress[0].ports[0].protocol == "TCP"
