from typing import Any

import pytest

from orch.api.kinds import PODS
from tests.unit.orch.api.objects import brief, container, pod


def test_a_rich_valid_pod_has_no_causes() -> None:
    rich = pod(
        container(
            ports=[{"containerPort": 80, "name": "http"}],
            env=[
                {"name": "A.b", "value": "x"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}],
            volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
            livenessProbe={"httpGet": {"port": "http"}},
            readinessProbe={"exec": {"command": ["true"]}},
            resources={"limits": {"cpu": 1, "example.com/gpu": 1}, "requests": {"cpu": "500m", "example.com/gpu": 1}},
            securityContext={"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        ),
        initContainers=[container(name="side", restartPolicy="Always", startupProbe={"tcpSocket": {"port": 1}})],
        volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}],
        tolerations=[{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 3}],
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a/b"}]}},
        topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        dnsPolicy="None",
        dnsConfig={"nameservers": ["10.0.0.1"], "searches": ["a.b.", "."]},
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
    )
    assert PODS.validate(rich) == []


CONTAINER_CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "Required"),
    ({"name": "A"}, "name", "Invalid"),
    ({"image": ""}, "image", "Required"),
    ({"image": " a"}, "image", "Invalid"),
    ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy", "NotSupported"),
    ({"ports": [{}]}, "ports[0].containerPort", "Required"),
    ({"ports": [{"containerPort": 70000}]}, "ports[0].containerPort", "Invalid"),
    ({"ports": [{"containerPort": 1, "protocol": "ICMP"}]}, "ports[0].protocol", "NotSupported"),
    ({"ports": [{"containerPort": 1, "name": "80"}]}, "ports[0].name", "Invalid"),
    ({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}, "ports[1].name", "Duplicate"),
    ({"ports": [{"containerPort": 1, "hostIP": "x"}]}, "ports[0].hostIP", "Invalid"),
    (
        {"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
        "ports[1].hostPort",
        "Duplicate",
    ),
    ({"env": [{}]}, "env[0].name", "Required"),
    ({"env": [{"name": "a=b"}]}, "env[0].name", "Invalid"),
    ({"env": [{"name": "A", "valueFrom": {}}]}, "env[0].valueFrom", "Invalid"),
    (
        {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]},
        "env[0].valueFrom",
        "Invalid",
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostname"}}}]},
        "env[0].valueFrom.fieldRef.fieldPath",
        "NotSupported",
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}]},
        "env[0].valueFrom.configMapKeyRef.key",
        "Required",
    ),
    ({"envFrom": [{}]}, "envFrom[0]", "Invalid"),
    ({"envFrom": [{"secretRef": {}}]}, "envFrom[0].secretRef.name", "Required"),
    ({"volumeMounts": [{"name": "nope", "mountPath": "/x"}]}, "volumeMounts[0].name", "NotFound"),
    ({"volumeMounts": [{"name": "v"}]}, "volumeMounts[0].mountPath", "Required"),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]},
        "volumeMounts[1].mountPath",
        "Invalid",
    ),
    ({"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../y"}]}, "volumeMounts[0].subPath", "Invalid"),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "mountPropagation": "Bidirectional"}]},
        "volumeMounts[0].mountPropagation",
        "Forbidden",
    ),
    ({"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}, "volumeDevices[0].name", "Invalid"),
    ({"livenessProbe": {}}, "livenessProbe", "Required"),
    (
        {"livenessProbe": {"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}}},
        "livenessProbe.tcpSocket",
        "Forbidden",
    ),
    ({"livenessProbe": {"exec": {}}}, "livenessProbe.exec.command", "Required"),
    (
        {"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}},
        "livenessProbe.successThreshold",
        "Invalid",
    ),
    ({"readinessProbe": {"tcpSocket": {"port": 0}}}, "readinessProbe.tcpSocket.port", "Invalid"),
    (
        {"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}},
        "readinessProbe.terminationGracePeriodSeconds",
        "Invalid",
    ),
    (
        {"readinessProbe": {"httpGet": {"port": 1, "scheme": "FTP"}, "periodSeconds": -1}},
        "readinessProbe.httpGet.scheme",
        "NotSupported",
    ),
    ({"lifecycle": {"preStop": {}}}, "lifecycle.preStop", "Required"),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, "lifecycle.preStop.sleep.seconds", "Invalid"),
    ({"lifecycle": {"stopSignal": "SIGNOTHING"}}, "lifecycle.stopSignal", "NotSupported"),
    ({"resources": {"limits": {"cpu": 1}, "requests": {"cpu": 2}}}, "resources.requests", "Invalid"),
    ({"resources": {"requests": {"memory": -1}}}, "resources.requests[memory]", "Invalid"),
    ({"resources": {"requests": {"gpus": 1}}}, "resources.requests[gpus]", "Invalid"),
    ({"resources": {"requests": {"example.com/gpu": 1}}}, "resources.limits", "Required"),
    ({"terminationMessagePolicy": "X"}, "terminationMessagePolicy", "NotSupported"),
    ({"restartPolicy": "Always"}, "restartPolicy", "Forbidden"),
    (
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        "securityContext",
        "Invalid",
    ),
    ({"securityContext": {"runAsUser": -1}}, "securityContext.runAsUser", "Invalid"),
    ({"securityContext": {"procMount": "Unmasked"}}, "securityContext.procMount", "Invalid"),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        "securityContext.seccompProfile.localhostProfile",
        "Required",
    ),
]


@pytest.mark.parametrize(("fields", "path", "reason"), CONTAINER_CASES, ids=lambda value: str(value)[:60])
def test_a_bad_container(fields: dict[str, Any], path: str, reason: str) -> None:
    bad = pod(container(**fields), volumes=[{"name": "v"}])
    assert (f"spec.containers[0].{path}", reason) in brief(PODS.validate(bad))


SPEC_CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"restartPolicy": "Perhaps"}, "restartPolicy", "NotSupported"),
    ({"dnsPolicy": "None"}, "dnsConfig.nameservers", "Required"),
    ({"dnsConfig": {"nameservers": ["1.1.1.1"] * 4}}, "dnsConfig.nameservers", "Invalid"),
    ({"terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds", "Invalid"),
    ({"activeDeadlineSeconds": 0}, "activeDeadlineSeconds", "Invalid"),
    ({"nodeName": "A"}, "nodeName", "Invalid"),
    ({"hostname": "a.b"}, "hostname", "Invalid"),
    ({"nodeSelector": {"-": "x"}}, "nodeSelector", "Invalid"),
    ({"schedulingGates": [{"name": "a"}], "nodeName": "n"}, "nodeName", "Forbidden"),
    ({"volumes": [{"name": "a"}, {"name": "a"}]}, "volumes[1].name", "Duplicate"),
    ({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]}, "volumes[0].hostPath", "Forbidden"),
    ({"volumes": [{"name": "a", "hostPath": {"path": "/a/../b"}}]}, "volumes[0].hostPath.path", "Invalid"),
    ({"volumes": [{"name": "a", "hostPath": {"path": "/", "type": "X"}}]}, "volumes[0].hostPath.type", "NotSupported"),
    ({"volumes": [{"name": "a", "configMap": {}}]}, "volumes[0].configMap.name", "Required"),
    (
        {"volumes": [{"name": "a", "secret": {"secretName": "s", "items": [{"key": "k", "path": "/p"}]}}]},
        "volumes[0].secret.items[0].path",
        "Invalid",
    ),
    (
        {"volumes": [{"name": "a", "secret": {"secretName": "s", "defaultMode": 512}}]},
        "volumes[0].secret.defaultMode",
        "Invalid",
    ),
    (
        {"volumes": [{"name": "a", "downwardAPI": {"items": [{"path": "x"}]}}]},
        "volumes[0].downwardAPI.items[0]",
        "Required",
    ),
    ({"volumes": [{"name": "a", "projected": {"sources": [{}]}}]}, "volumes[0].projected.sources[0]", "Required"),
    ({"tolerations": [{"value": "x"}]}, "tolerations[0].operator", "Invalid"),
    ({"tolerations": [{"key": "a", "effect": "Never"}]}, "tolerations[0].effect", "NotSupported"),
    ({"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, "tolerations[0].effect", "Invalid"),
    (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        "Required",
    ),
    (
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
        "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        "Required",
    ),
    (
        {"topologySpreadConstraints": [{"topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        "topologySpreadConstraints[0].maxSkew",
        "Invalid",
    ),
    ({"hostAliases": [{"ip": "x"}]}, "hostAliases[0].ip", "Invalid"),
    ({"shareProcessNamespace": True, "hostPID": True}, "shareProcessNamespace", "Invalid"),
    ({"hostUsers": False, "hostNetwork": True}, "hostNetwork", "Forbidden"),
    ({"os": {"name": "beos"}}, "os.name", "NotSupported"),
    ({"securityContext": {"sysctls": [{"name": "A"}]}}, "securityContext.sysctls[0].name", "Invalid"),
    ({"initContainers": [container()]}, "initContainers[0].name", "Duplicate"),
    (
        {"initContainers": [container(name="i", livenessProbe={"tcpSocket": {"port": 1}})]},
        "initContainers[0].livenessProbe",
        "Forbidden",
    ),
    ({"initContainers": [container(restartPolicy="No")]}, "initContainers[0].restartPolicy", "NotSupported"),
]


@pytest.mark.parametrize(("fields", "path", "reason"), SPEC_CASES, ids=lambda value: str(value)[:60])
def test_a_bad_spec(fields: dict[str, Any], path: str, reason: str) -> None:
    assert (f"spec.{path}", reason) in brief(PODS.validate(pod(**fields)))


def test_all_causes_are_named_at_once() -> None:
    bad = pod(container(image=""), container(), restartPolicy="X", metadata={"name": "A", "labels": {"a b": "c d"}})
    assert brief(PODS.validate(bad)) == [
        ("metadata.name", "Invalid"),
        ("metadata.labels", "Invalid"),
        ("metadata.labels", "Invalid"),
        ("spec.containers[0].image", "Required"),
        ("spec.containers[1].name", "Duplicate"),
        ("spec.restartPolicy", "NotSupported"),
    ]


def test_wording_is_that_of_kubernetes() -> None:
    causes = PODS.validate(pod(container(resources={"limits": {"cpu": 1}, "requests": {"cpu": 2}}), restartPolicy="X"))
    assert [cause.message for cause in causes] == [
        'Invalid value: "2": must be less than or equal to cpu limit of 1',
        'Unsupported value: "X": supported values: "Always", "Never", "OnFailure"',
    ]
