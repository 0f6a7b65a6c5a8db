from typing import Any

import pytest

from orch.api.kinds import PODS
from orch.api.pod.defaults import image_pull_policy, pod_defaults
from tests.unit.orch.api.objects import container, deployment, pod


def test_a_small_pod_gets_the_defaults_of_kubernetes() -> None:
    plain = PODS.codec.to_plain(pod(container(ports=[{"containerPort": 80}])))
    assert plain["spec"] == {
        "containers": [
            {
                "name": "app",
                "image": "registry.local/app:1",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("app", "Always"),
        ("app:latest", "Always"),
        ("app:1", "IfNotPresent"),
        ("localhost:5000/app", "Always"),
        ("localhost:5000/app:1", "IfNotPresent"),
        ("app@sha256:0a", "IfNotPresent"),
        ("app:latest@sha256:0a", "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert image_pull_policy(image) == policy


def test_requests_come_from_limits_in_pods_but_not_in_templates() -> None:
    limited = container(resources={"limits": {"cpu": 0.5, "memory": "1.5Gi"}, "requests": {"cpu": "100m"}})
    resources = pod(limited).spec.containers[0].resources
    assert resources.limits == {"cpu": "500m", "memory": "1536Mi"}
    assert resources.requests == {"cpu": "100m", "memory": "1536Mi"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [limited]}}
    assert deployment(template=template).spec.template.spec.containers[0].resources.requests == {"cpu": "100m"}


def test_probes_and_hooks() -> None:
    app = pod(
        container(
            livenessProbe={"httpGet": {"port": 80}, "timeoutSeconds": 0},
            readinessProbe={"grpc": {"port": 9}, "periodSeconds": 3},
            lifecycle={"preStop": {"httpGet": {"port": "admin"}}},
        )
    ).spec.containers[0]
    live, ready = app.liveness_probe, app.readiness_probe
    assert (live.http_get.path, live.http_get.scheme, live.timeout_seconds) == ("/", "HTTP", 1)
    assert (live.period_seconds, live.success_threshold, live.failure_threshold) == (10, 1, 3)
    assert (ready.grpc.service, ready.period_seconds) == ("", 3)
    assert app.lifecycle.pre_stop.http_get.scheme == "HTTP"


def test_ports_on_the_hosts_network_are_the_hosts_ports() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]
    assert [p.host_port for p in pod(container(ports=ports), hostNetwork=True).spec.containers[0].ports] == [80, 8081]
    assert [p.host_port for p in pod(container(ports=ports)).spec.containers[0].ports] == [None, 8081]


def test_references_in_the_environment() -> None:
    env = [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    name, cpu = pod(container(env=env)).spec.containers[0].env
    assert name.value_from.field_ref.api_version == "v1"
    assert cpu.value_from.resource_field_ref.divisor == "0"


@pytest.mark.parametrize(
    ("source", "defaulted"),
    [
        ({}, {"emptyDir": {}}),
        ({"emptyDir": {"sizeLimit": 1024}}, {"emptyDir": {"sizeLimit": "1024"}}),
        ({"configMap": {"name": "c"}}, {"configMap": {"name": "c", "defaultMode": 420}}),
        ({"secret": {"secretName": "s", "defaultMode": 0}}, {"secret": {"secretName": "s", "defaultMode": 0}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "0.5Gi"}}}}}},
            {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {"resources": {"requests": {"storage": "512Mi"}}, "volumeMode": "Filesystem"}
                    }
                }
            },
        ),
        ({"iscsi": {"lun": 1}}, {"iscsi": {"iqn": "", "iscsiInterface": "default", "lun": 1, "targetPortal": ""}}),
    ],
    ids=lambda value: next(iter(value), "none"),
)
def test_volumes(source: dict[str, Any], defaulted: dict[str, Any]) -> None:
    plain = PODS.codec.to_plain(pod(volumes=[{"name": "v", **source}]))
    assert plain["spec"]["volumes"] == [{"name": "v", **defaulted}]


def test_the_service_account_is_mirrored_in_its_old_field() -> None:
    assert pod(serviceAccountName="a").spec.service_account == "a"
    assert pod(serviceAccount="b").spec.service_account_name == "b"


def test_defaulting_a_defaulted_pod_copies_nothing() -> None:
    rich = pod(
        container(
            env=[{"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
            resources={"limits": {"cpu": 1}},
            livenessProbe={"httpGet": {"port": 80}},
        ),
        volumes=[{"name": "v"}, {"name": "c", "configMap": {"name": "x"}}],
        hostNetwork=True,
    )
    assert pod_defaults(rich) is rich
