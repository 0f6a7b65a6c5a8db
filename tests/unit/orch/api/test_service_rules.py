from typing import Any

import pytest

from orch.api.kinds import SERVICES
from tests.unit.orch.api.objects import brief, service


def test_defaults() -> None:
    spec = service().spec
    assert (spec.type, spec.session_affinity, spec.internal_traffic_policy) == ("ClusterIP", "None", "Cluster")
    assert (spec.ports[0].protocol, spec.ports[0].target_port) == ("TCP", 80)
    assert spec.external_traffic_policy is None
    assert service(type="NodePort").spec.external_traffic_policy == "Cluster"
    assert service(type="LoadBalancer").spec.allocate_load_balancer_node_ports is True
    assert service(type="ExternalName", externalName="a.b").spec.internal_traffic_policy is None


def test_session_affinity() -> None:
    sticky = service(sessionAffinity="ClientIP").spec.session_affinity_config
    assert sticky.client_ip.timeout_seconds == 10800
    assert service(sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}}).spec.session_affinity_config is None


@pytest.mark.parametrize(
    "good",
    [
        service(),
        service(clusterIP="None"),
        service(type="NodePort"),
        service(type="LoadBalancer", sessionAffinity="ClientIP"),
        service(type="ExternalName", externalName="example.com."),
        service({"port": 53, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}),
        service({"port": 80, "targetPort": "http"}, externalIPs=["10.0.0.1"]),
    ],
)
def test_good_services(good: Any) -> None:
    assert SERVICES.validate(good) == []


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (service({"port": 0}), "ports[0].port", "Invalid"),
        (service({"port": 80, "protocol": "ICMP"}), "ports[0].protocol", "NotSupported"),
        (service({"port": 80, "targetPort": 70000}), "ports[0].targetPort", "Invalid"),
        (service({"port": 80, "targetPort": "HTTP"}), "ports[0].targetPort", "Invalid"),
        (service({"port": 80, "name": "a"}, {"port": 81}), "ports[1].name", "Required"),
        (service({"port": 80, "name": "a"}, {"port": 81, "name": "a"}), "ports[1].name", "Duplicate"),
        (service({"port": 80, "name": "a"}, {"port": 80, "name": "b"}), "ports[1]", "Duplicate"),
        (service({"port": 80, "nodePort": 30000}), "ports[0].nodePort", "Forbidden"),
        (service(type="Magic"), "type", "NotSupported"),
        (service(type="ExternalName"), "externalName", "Required"),
        (service(type="NodePort", clusterIP="None"), "clusterIPs[0]", "Invalid"),
        (service(clusterIP="x"), "clusterIPs[0]", "Invalid"),
        (service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.2"]), "clusterIPs", "Invalid"),
        (service(externalIPs=["x"]), "externalIPs[0]", "Invalid"),
        (service(sessionAffinity="Maybe"), "sessionAffinity", "NotSupported"),
        (service(externalTrafficPolicy="Local"), "externalTrafficPolicy", "Invalid"),
        (service(ipFamilies=["IPv5"]), "ipFamilies[0]", "NotSupported"),
        (service(loadBalancerClass="a/b"), "loadBalancerClass", "Forbidden"),
        (service(selector={"-": ""}), "selector", "Invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_services(bad: Any, field: str, reason: str) -> None:
    assert (f"spec.{field}", reason) in brief(SERVICES.validate(bad))


def test_ports_are_needed() -> None:
    assert brief(SERVICES.validate(service(ports=[]))) == [("spec.ports", "Required")]
    assert SERVICES.validate(service(ports=[], clusterIP="None")) == []


def test_the_address_is_kept() -> None:
    old = service(clusterIP="10.0.0.1")
    assert brief(SERVICES.validate_update(service(clusterIP="10.0.0.2"), old)) == [("spec.clusterIPs[0]", "Invalid")]
    away = service(type="ExternalName", externalName="a.b")
    assert SERVICES.validate_update(away, old) == []
    assert SERVICES.validate_update(old, away) == []
