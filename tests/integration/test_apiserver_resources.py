"""kubectl with volumes, quotas, limits, classes and policies: created, shown, described, refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, spread

MANIFEST = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ic}
spec: {controller: example.com/ic}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ing}
spec: {ingressClassName: ic, defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: shared}
provisioner: example.com/local
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: shared, hostPath: {path: /srv}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: lr}
spec: {limits: [{type: Container, default: {cpu: 100m}, defaultRequest: {cpu: 100m}}]}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: rc}
handler: runc
"""
SHOWN = {
    "netpol": "np",
    "ingressclass": "ic",
    "ing": "ing",
    "sc": "shared",
    "pv": "disk",
    "pvc": "data",
    "limits": "lr",
    "runtimeclass": "rc",
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


@pytest.fixture(params=spread(), ids=lambda kubectl: kubectl.name)
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


async def test_kinds_are_applied_shown_and_described(running: RunningServer, kubectl: Kubectl) -> None:
    await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=MANIFEST)
    again = await kubectl.run(running.kubeconfig, "apply", "-f", "-", stdin=MANIFEST)
    assert [line.split()[-1] for line in again.splitlines()] == ["unchanged"] * len(SHOWN)
    for resource, name in SHOWN.items():
        out = await kubectl.run(running.kubeconfig, "get", resource, "--no-headers")
        assert name in [line.split()[0] for line in out.splitlines()]
        assert name in await kubectl.run(running.kubeconfig, "describe", resource, name)
    out = await kubectl.run(running.kubeconfig, "get", "pvc", "data", "-o", "jsonpath={.spec.storageClassName}")
    assert out == "local"


async def test_a_quota_is_made_by_kubectl_and_holds(running: RunningServer, kubectl: Kubectl) -> None:
    await kubectl.run(running.kubeconfig, "create", "quota", "q", "--hard=pods=1")
    await kubectl.run(running.kubeconfig, "run", "one", "--image=app:1", "--restart=Never")
    out = await kubectl.run(running.kubeconfig, "run", "two", "--image=app:1", "--restart=Never", check=False)
    assert out == (
        'Error from server (Forbidden): pods "two" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, '
        "limited: pods=1\n"
    )


async def test_priority_classes(running: RunningServer, kubectl: Kubectl) -> None:
    await kubectl.run(running.kubeconfig, "create", "priorityclass", "high", "--value=1000", "--global-default=true")
    out = await kubectl.run(running.kubeconfig, "get", "pc", "--no-headers")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["high", "1000", "true"],
        ["system-cluster-critical", "2000000000", "false"],
        ["system-node-critical", "2000001000", "false"],
    ]
    await kubectl.run(running.kubeconfig, "run", "one", "--image=app:1", "--restart=Never")
    out = await kubectl.run(running.kubeconfig, "get", "pod", "one", "-o", "jsonpath={.spec.priority}")
    assert out == "1000"
