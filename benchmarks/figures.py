"""What the benchmarks share: a namespace of their own, pods to measure with, and how figures are printed."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from orch import kubeconfig
from orch.api.kinds import NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.client.client import Client, EventType
from orch.client.http import connect

NAMESPACE = "benchmark"


@asynccontextmanager
async def cluster_client(config: Path) -> AsyncIterator[Client]:
    """A client with the kubeconfig's identity, and an empty namespace that goes again at the end."""
    async with connect(kubeconfig.load([config]), user_agent="orch-benchmark") as client:
        await client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name=NAMESPACE)))
        try:
            yield client
        finally:
            revision = (await client.list(NAMESPACES)).resource_version
            async with client.watch(NAMESPACES, resource_version=revision) as events:
                await client.delete(NAMESPACES, NAMESPACE)
                async for event in events:
                    if event.type is EventType.DELETED and event.obj.metadata.name == NAMESPACE:
                        break


def pod(name: str, image: str, node_selector: dict[str, str] | None = None) -> Pod:
    """A pod that sleeps and stops at once."""
    container = Container(name="main", image=image, command=("sleep", "100000"))
    spec = PodSpec(containers=(container,), node_selector=node_selector, termination_grace_period_seconds=0)
    return Pod(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


def quantile(seconds: Sequence[float], share: float) -> float:
    """Nearest rank, in milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row(what: str, seconds: Sequence[float]) -> str:
    return (
        f"{what:<44} n={len(seconds):<4} min {quantile(seconds, 0):8.1f}  p50 {quantile(seconds, 0.5):8.1f}  "
        f"p99 {quantile(seconds, 0.99):8.1f}  max {quantile(seconds, 1):8.1f} ms"
    )
