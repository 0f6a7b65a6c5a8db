"""How long from creating a pod (the API call begins) to seeing it Running (a watch), its image being on the node.

    .venv/bin/python -m benchmarks.pods [--kubeconfig FILE] [--image quickstart:1] [--count 20] [--burst 50]

One at a time, then a burst on one node; and from deleting to gone. Needs a running cluster that has the image.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import NAMESPACE, cluster_client, pod, row
from orch import kubeconfig
from orch.api.kinds import PODS
from orch.client.client import Client, EventType

TIMEOUT_S = 120.0


async def main(config: Path, image: str, count: int, burst: int, node: str) -> None:
    selector = {"kubernetes.io/hostname": node}
    async with cluster_client(config) as client:
        await _started(client, image, ["warm-up"], selector)
        started: list[float] = []
        gone: list[float] = []
        for index in range(count):
            started += await _started(client, image, [f"single-{index}"], selector)
            gone += await _gone(client, [f"single-{index}"])
        print(row("create -> seen Running, one at a time", started))
        print(row("delete -> gone, one at a time", gone))
        names = [f"burst-{index}" for index in range(burst)]
        print(row(f"create -> seen Running, {burst} at once", await _started(client, image, names, selector)))
        print(row(f"delete -> gone, {burst} at once", await _gone(client, names)))


async def _started(client: Client, image: str, names: Sequence[str], selector: dict[str, str]) -> list[float]:
    """Seconds per pod, from one common beginning."""
    revision = (await client.list(PODS, NAMESPACE)).resource_version
    begin, waiting, seconds = time.perf_counter(), set(names), []
    async with (
        asyncio.timeout(TIMEOUT_S),
        client.watch(PODS, NAMESPACE, resource_version=revision) as events,
        asyncio.TaskGroup() as group,
    ):
        for name in names:
            group.create_task(client.create(PODS, pod(name, image, selector)))
        async for event in events:
            if event.obj.status.phase == "Running" and event.obj.metadata.name in waiting:
                waiting.remove(event.obj.metadata.name)
                seconds.append(time.perf_counter() - begin)
            if not waiting:
                break
    return seconds


async def _gone(client: Client, names: Sequence[str]) -> list[float]:
    revision = (await client.list(PODS, NAMESPACE)).resource_version
    begin, waiting, seconds = time.perf_counter(), set(names), []
    async with (
        asyncio.timeout(TIMEOUT_S),
        client.watch(PODS, NAMESPACE, resource_version=revision) as events,
        asyncio.TaskGroup() as group,
    ):
        for name in names:
            group.create_task(client.delete(PODS, name, NAMESPACE))
        async for event in events:
            if event.type is EventType.DELETED and event.obj.metadata.name in waiting:
                waiting.remove(event.obj.metadata.name)
                seconds.append(time.perf_counter() - begin)
            if not waiting:
                break
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--image", default="quickstart:1")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--burst", type=int, default=50)
    parser.add_argument("--node", default="node-1")
    args = parser.parse_args()
    path = kubeconfig.find(args.kubeconfig, os.environ)[0]
    asyncio.run(main(path, args.image, args.count, args.burst, args.node))
