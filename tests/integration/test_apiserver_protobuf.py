"""`kubectl create` of every version for every kind that has a generator: the newer ones send protobuf."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from orch.api.kinds import ALL_KINDS
from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, installed

CREATES: Sequence[tuple[str, str, str, str]] = (
    ("configmaps", "configmap c --from-literal=colour=red", "configmap/c", "{.data.colour}=red"),
    ("secrets", "secret generic g --from-literal=key=value", "secret/g", "{.data.key}=dmFsdWU="),
    ("secrets", "secret tls t --cert={tls} --key={key}", "secret/t", "{.type}=kubernetes.io/tls"),
    (
        "secrets",
        "secret docker-registry r --docker-server=example.com --docker-username=u --docker-password=p",
        "secret/r",
        "{.type}=kubernetes.io/dockerconfigjson",
    ),
    ("services", "service clusterip ip --tcp=80:8080", "service/ip", "{.spec.ports[0].targetPort}=8080"),
    ("services", "service nodeport np --tcp=80 --node-port=30080", "service/np", "{.spec.ports[0].nodePort}=30080"),
    ("services", "service externalname en --external-name=a.example", "service/en", "{.spec.externalName}=a.example"),
    ("deployments", "deployment d --image=app:1", "deployment/d", "{.spec.strategy.type}=RollingUpdate"),
    ("namespaces", "namespace n", "namespace/n", "{.status.phase}=Active"),
    ("serviceaccounts", "serviceaccount robot", "serviceaccount/robot", "{.metadata.name}=robot"),
    ("resourcequotas", "quota q --hard=pods=3,cpu=1500m", "quota/q", "{.spec.hard.cpu}=1500m"),
    ("priorityclasses", "priorityclass high --value=1000", "priorityclass/high", "{.value}=1000"),
    ("jobs", "job j --image=app:1", "job/j", "{.spec.backoffLimit}=6"),
    ("cronjobs", "cronjob cj --image=app:1 --schedule=*/5+*+*+*+*", "cronjob/cj", "{.spec.concurrencyPolicy}=Allow"),
    (
        "poddisruptionbudgets",
        "poddisruptionbudget p --selector=app=web --min-available=50%",
        "pdb/p",
        "{.spec.minAvailable}=50%",
    ),
    (
        "ingresses",
        "ingress i --rule=a.example/*=web:80",
        "ingress/i",
        "{.spec.rules[0].http.paths[0].backend.service.port.number}=80",
    ),
)
"""Plural, arguments of `create` (+ for a space), what to get, and what is then found where."""
SINCE = {"ingresses": (1, 20), "poddisruptionbudgets": (1, 21), "cronjobs": (1, 21)}
"""Before, the generator made a version that is not served."""
SERVED = {kind.plural for kind in ALL_KINDS}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


@pytest.mark.parametrize("kubectl", [k for k in installed() if k.version >= (1, 24)], ids=lambda kubectl: kubectl.name)
async def test_tokens(running: RunningServer, kubectl: Kubectl) -> None:
    await kubectl.run(running.kubeconfig, "create", "serviceaccount", "robot")
    token = await kubectl.run(running.kubeconfig, "create", "token", "robot", "--duration=1h")
    assert token.count(".") == 2


@pytest.mark.parametrize("kubectl", installed(), ids=lambda kubectl: kubectl.name)
async def test_generators(running: RunningServer, kubectl: Kubectl) -> None:
    files = {"tls": running.directory / "server.crt", "key": running.directory / "server.key"}
    for plural, arguments, target, expected in CREATES:
        if plural not in SERVED or kubectl.version < SINCE.get(plural, (1, 0)):
            continue
        words = [word.replace("+", " ").format(**files) for word in arguments.split()]
        await kubectl.run(running.kubeconfig, "create", *words)
        path, _, value = expected.partition("=")
        found = await kubectl.run(running.kubeconfig, "get", target, "-o", f"jsonpath={path}")
        assert found == value, arguments
